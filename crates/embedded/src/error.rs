//! Why an embedded service could not start or stop, and what to do about it.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use crate::Version;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path} is in use by {}: stop it, or set BEADLE_HOME to another directory",
        pid.map_or("another process".to_owned(), |pid| format!("process {pid}")),
        path = path.display()
    )]
    InUse { path: PathBuf, pid: Option<u32> },

    #[error("there is no place for data, because HOME is not set: set BEADLE_HOME to a directory")]
    NoHome,

    #[error(
        "PostgreSQL {version} is not installed (looked in {}): run `cargo xtask install`, or set \
         BEADLE_POSTGRES_TREE to the directory that holds `pginstall18` and `pginstall`",
        looked_in.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoTree { version: Version, looked_in: Vec<PathBuf> },

    #[error(
        "{} holds data of PostgreSQL {found}, not of {wanted}; it was left untouched: move it \
         away, or start PostgreSQL {found}",
        dir.display()
    )]
    WrongVersion { dir: PathBuf, found: String, wanted: Version },

    #[error(
        "{} is neither empty nor a Postgres data directory; it was left untouched: move it away",
        .0.display()
    )]
    NotData(PathBuf),

    #[error(
        "{} exists but its password file {} does not: put that file back, or move the data away",
        data.display(), key.display()
    )]
    NoPassword { data: PathBuf, key: PathBuf },

    #[error(
        "user {user}, which Postgres runs as because it refuses to run as root, may not enter {}: \
         choose another BEADLE_HOME, or `chmod o+x` that directory",
        path.display()
    )]
    Closed { path: PathBuf, user: String },

    #[error("port {0} on 127.0.0.1 is in use: stop what listens there, or choose another port")]
    PortInUse(u16),

    #[error("{program} failed ({status}): {output}")]
    Failed { program: &'static str, status: ExitStatus, output: String },

    #[error("Postgres ended before it was ready ({status}); the end of {}:\n{tail}", log.display())]
    Ended { status: ExitStatus, log: PathBuf, tail: String },

    #[error(
        "Postgres was not ready after {} s; the end of {}:\n{tail}",
        waited.as_secs(), log.display()
    )]
    NotReady { waited: Duration, log: PathBuf, tail: String },

    #[error("Postgres process {pid} does not end, not even when killed: see what blocks it")]
    Stuck { pid: i32 },

    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Says what was being done, and to which file, when `result` is an error.
pub(crate) fn doing<T>(
    result: io::Result<T>,
    action: &'static str,
    path: impl Into<PathBuf>,
) -> Result<T, Error> {
    result.map_err(|source| Error::Io { action, path: path.into(), source })
}
