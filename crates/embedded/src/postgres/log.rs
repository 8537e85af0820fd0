//! The server's log file, bounded in size, and its end for error messages.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{Error, Home, error::doing};

/// Past this size the log becomes `postgres.log.1` at the next start, in place of an older one.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// What a start can write before it is cut, and how much of that an error shows.
const MAX_READ_BYTES: u64 = 256 * 1024;
const TAIL_LINES: usize = 20;

pub struct Log {
    path: PathBuf,
}

impl Log {
    pub fn open(home: &Home) -> Result<Log, Error> {
        let log = Log { path: home.log_dir().join("postgres.log") };
        if log.len() > MAX_BYTES {
            let old = home.log_dir().join("postgres.log.1");
            doing(fs::rename(&log.path, &old), "replace", old)?;
        }
        Ok(log)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// An open file to append to, for the server's output.
    pub fn handle(&self) -> Result<File, Error> {
        doing(OpenOptions::new().append(true).create(true).open(&self.path), "open", &self.path)
    }

    /// What was written after the first `from` bytes.
    pub fn since(&self, from: u64) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The last lines written after the first `from` bytes.
    pub fn tail(&self, from: u64) -> String {
        let text = self.since(from);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
