//! The one directory that holds everything embedded, owned by one process at a time.

use std::{
    env, fs,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt as _, distr::Alphanumeric};
use rustix::{
    fs::{FlockOperation, flock},
    process::geteuid,
};

use crate::{Error, error::doing};

/// Root's data. Root's own home directory is closed to the user that Postgres runs as.
pub(crate) const SYSTEM_DIR: &str = "/var/lib/beadle";

const LOCK: &str = "lock";
const DATABASE_URL: &str = "database_url";
const THROWAWAY_PREFIX: &str = "beadle-throwaway-";

/// A look at the lock by [`Home::running_database_url`] holds it for an instant; an owner keeps it.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The directory of one owner. Clones share it; it is free again when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Home {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    throwaway: bool,
    postgres_runs: AtomicBool,
    /// Closed on exec, so no child inherits the lock.
    _lock: File,
}

impl Home {
    /// Takes `path`, or the [default](Home::default_path), and makes what is missing in it.
    pub fn open(path: Option<PathBuf>) -> Result<Home, Error> {
        let path = path.map_or_else(Home::default_path, Ok)?;
        Home::take(path, false)
    }

    /// A new home under the system's temporary directory, removed when the last clone is dropped.
    /// What killed processes have left of theirs is removed first.
    pub fn throwaway() -> Result<Home, Error> {
        let parent = env::temp_dir();
        for entry in doing(fs::read_dir(&parent), "list", &parent)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(THROWAWAY_PREFIX) {
                remove_if_abandoned(&entry.path());
            }
        }
        let path = parent.join(format!("{THROWAWAY_PREFIX}{}", random_word(12)));
        doing(DirBuilder::new().mode(0o711).create(&path), "create", &path)?;
        Home::take(path, true)
    }

    /// `BEADLE_HOME`, else a place that fits the user.
    pub fn default_path() -> Result<PathBuf, Error> {
        match env::var_os("BEADLE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => Ok(PathBuf::from(path)),
            None => user_data_dir(),
        }
    }

    /// The database of the process that owns the home at `path` now, without disturbing it.
    /// None when nobody owns it or its Postgres is not ready.
    pub fn running_database_url(path: Option<PathBuf>) -> Option<String> {
        Home::secret_of_owner(path, DATABASE_URL)
    }

    /// What the process that owns the home at `path` now keeps under `name`, without disturbing it.
    pub fn secret_of_owner(path: Option<PathBuf>, name: &str) -> Option<String> {
        let path = path.or_else(|| Home::default_path().ok())?;
        let lock = File::open(path.join(LOCK)).ok()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                fs::read_to_string(path.join("keys").join(name)).ok()
            }
            _ => None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.held.path
    }

    /// Where mail lands that is not sent to anybody.
    pub fn mail_dir(&self) -> PathBuf {
        self.path().join("mail")
    }

    pub fn storage_dir(&self) -> PathBuf {
        self.path().join("storage")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.path().join("log")
    }

    pub(crate) fn key_path(&self, name: &str) -> PathBuf {
        self.path().join("keys").join(name)
    }

    /// The secret kept under `name`, if there is one.
    pub fn key(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.key_path(name);
        match fs::read_to_string(&path) {
            Ok(secret) if !secret.trim().is_empty() => Ok(Some(secret.trim().to_owned())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => doing(Err(error), "read", path),
        }
    }

    /// Keeps `secret` under `name`, whole or not at all.
    pub fn keep_key(&self, name: &str, secret: &str) -> Result<(), Error> {
        let path = self.key_path(name);
        let half = self.key_path(&format!("{name}.tmp"));
        let mut options = OpenOptions::new();
        let mut file = doing(
            options.write(true).create(true).truncate(true).mode(0o600).open(&half),
            "create",
            &half,
        )?;
        doing(file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()), "write", &half)?;
        doing(fs::rename(&half, &path), "create", &path)
    }

    pub(crate) fn publish_database_url(&self, url: &str) -> Result<(), Error> {
        self.keep_key(DATABASE_URL, url)
    }

    pub(crate) fn withdraw_database_url(&self) {
        // A file that stays is harmless: it is believed only while the lock is held.
        let _ = fs::remove_file(self.key_path(DATABASE_URL));
    }

    /// Claims the place of this home's only Postgres.
    pub(crate) fn claim_postgres(&self) -> Result<PostgresClaim, Error> {
        if self.held.postgres_runs.swap(true, Ordering::AcqRel) {
            let pid = Some(std::process::id());
            return Err(Error::InUse { path: self.path().to_owned(), pid });
        }
        Ok(PostgresClaim { home: self.clone() })
    }

    fn take(path: PathBuf, throwaway: bool) -> Result<Home, Error> {
        doing(DirBuilder::new().recursive(true).mode(0o711).create(&path), "create", &path)?;
        let path = doing(path.canonicalize(), "resolve", &path)?;
        let lock = lock(&path)?;
        if geteuid().is_root() {
            open_to_search(&path)?;
        }
        // The log too: Postgres writes refused rows into it.
        for name in ["keys", "storage", "mail", "log"] {
            let dir = path.join(name);
            doing(DirBuilder::new().recursive(true).create(&dir), "create", &dir)?;
            doing(fs::set_permissions(&dir, Permissions::from_mode(0o700)), "close", dir)?;
        }
        let postgres_runs = AtomicBool::new(false);
        Ok(Home { held: Arc::new(Held { path, throwaway, postgres_runs, _lock: lock }) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.throwaway {
            // What cannot be removed now is removed by the next throw-away home.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Says that this home's Postgres runs; held until its process has ended.
#[derive(Debug)]
pub(crate) struct PostgresClaim {
    home: Home,
}

impl Drop for PostgresClaim {
    fn drop(&mut self) {
        self.home.held.postgres_runs.store(false, Ordering::Release);
    }
}

/// Where this user's programs keep data.
pub(crate) fn user_data_dir() -> Result<PathBuf, Error> {
    if geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_DIR));
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .ok_or(Error::NoHome)?;
    Ok(data.join("beadle"))
}

pub(crate) fn random_word(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// Locks `<home>/lock` and writes this process's number into it.
fn lock(home: &Path) -> Result<File, Error> {
    let path = home.join(LOCK);
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = doing(options.open(&path), "open", &path)?;
    let mut tries = 1;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return doing(Err(error.into()), "lock", path);
        }
        if tries == LOCK_TRIES {
            let mut owner = String::new();
            doing(file.read_to_string(&mut owner), "read", &path)?;
            return Err(Error::InUse { path: home.to_owned(), pid: owner.trim().parse().ok() });
        }
        tries += 1;
        thread::sleep(LOCK_PAUSE);
    }
    let pid = format!("{}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.rewind());
    doing(written.and_then(|()| file.write_all(pid.as_bytes())), "write", &path)?;
    Ok(file)
}

/// Lets the user that Postgres runs as pass through to its data; nobody can list the directory.
fn open_to_search(path: &Path) -> Result<(), Error> {
    let mode = doing(fs::metadata(path), "look at", path)?.permissions().mode();
    if mode & 0o011 == 0o011 {
        return Ok(());
    }
    doing(fs::set_permissions(path, Permissions::from_mode(mode | 0o011)), "open", path)
}

fn remove_if_abandoned(path: &Path) {
    let ours = |meta: fs::Metadata| meta.is_dir() && meta.uid() == geteuid().as_raw();
    if !fs::symlink_metadata(path).is_ok_and(ours) {
        return;
    }
    let Ok(lock) = File::open(path.join(LOCK)) else { return };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        // One that is just going is somebody else's to finish.
        let _ = fs::remove_dir_all(path);
    }
}
