//! Who Postgres runs as: this process's user, or somebody harmless when that is root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, lchown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Signal, geteuid, getpid, getppid, set_parent_process_death_signal};

use crate::{Error, error::doing};

/// The first of these that exists runs Postgres for root.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user to change to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Who to become for the cluster in `data`: nobody else unless this process is root, then the
    /// owner of the data, and for new data one of [`CANDIDATES`].
    pub fn for_data(data: &Path) -> Result<Option<Account>, Error> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        match fs::metadata(data) {
            Ok(owner) if owner.uid() != 0 => Ok(Some(Account {
                name: format!("number {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            })),
            _ => {
                let users = doing(fs::read_to_string("/etc/passwd"), "read", "/etc/passwd")?;
                Ok(Some(choose(&users)))
            }
        }
    }

    /// Gives `path` and all below it to this account, `path` itself last: as long as that is not
    /// done, it shows that something is left to do.
    pub fn own(&self, path: &Path) -> Result<(), Error> {
        if !path.is_symlink() && path.is_dir() {
            for entry in doing(fs::read_dir(path), "list", path)? {
                self.own(&doing(entry, "list", path)?.path())?;
            }
        }
        doing(lchown(path, Some(self.uid), Some(self.gid)), "change the owner of", path)
    }

    /// Whether `path` belongs to this account.
    pub fn owns(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| meta.uid() == self.uid)
    }

    /// Checks that this account can walk down to `path`.
    pub fn check_can_enter(&self, path: &Path) -> Result<(), Error> {
        match self.first_closed(path) {
            Some(path) => Err(Error::Closed { path, user: self.name.clone() }),
            None => Ok(()),
        }
    }

    fn first_closed(&self, path: &Path) -> Option<PathBuf> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        let closed = ancestors.into_iter().find(|directory| {
            fs::metadata(directory).is_ok_and(|meta| {
                let search = match (meta.uid() == self.uid, meta.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                meta.mode() & search == 0
            })
        });
        closed.map(Path::to_path_buf)
    }
}

/// A command that runs as `account` with an environment of its own: neither `PG…` variables nor the
/// caller's locale or working directory reach it, and it gets `signal` when this process dies.
///
/// The signal comes when the *thread* that starts the command ends, so start it from one that stays.
pub fn command(program: &Path, account: Option<&Account>, signal: Signal) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    // A Ctrl-C in the terminal is for this process, which decides when its children stop.
    command.process_group(0);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    end_with_this_process(&mut command, signal);
    command
}

#[expect(unsafe_code, reason = "only a call between fork and exec can tie a child to its parent")]
fn end_with_this_process(command: &mut Command, signal: Signal) {
    let parent = getpid();
    // SAFETY: the closure makes two system calls and touches no memory of its parent. It runs after
    // the change of user, which would clear the setting.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            match getppid() {
                Some(now) if now == parent => Ok(()),
                // The parent died before the call above, so its signal would never come.
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            }
        });
    }
}

fn choose(users: &str) -> Account {
    CANDIDATES
        .iter()
        .find_map(|name| users.lines().find_map(|line| parse(line, name)))
        // What every Linux calls nobody, also where the list of users is empty.
        .unwrap_or(Account { name: "nobody".to_owned(), uid: 65534, gid: 65534 })
}

fn parse(line: &str, name: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    if fields.first() != Some(&name) {
        return None;
    }
    let uid = fields.get(2)?.parse().ok().filter(|uid| *uid != 0)?;
    Some(Account { name: name.to_owned(), uid, gid: fields.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_becomes_postgres_else_nobody_and_never_root() {
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:99:98::/:/bin/false";
        assert_eq!(choose(nobody), Account { name: "nobody".into(), uid: 99, gid: 98 });
        let both = format!("{nobody}\npostgres:x:101:104::/var/lib/postgresql:/bin/bash");
        assert_eq!(choose(&both), Account { name: "postgres".into(), uid: 101, gid: 104 });
        assert_eq!(choose("postgres:x:0:0::/:/bin/sh").uid, 65534);
        assert_eq!(choose("broken line\npostgres:x").uid, 65534);
    }

    #[test]
    fn a_directory_closed_to_the_account_is_named() -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let outer = tempfile::tempdir()?;
        let inner = outer.path().join("inner");
        fs::create_dir(&inner)?;
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700))?;
        let stranger = Account { name: "stranger".into(), uid: 4_000_000, gid: 4_000_000 };
        let error = stranger.check_can_enter(&inner).unwrap_err().to_string();
        assert!(error.contains(&outer.path().display().to_string()), "{error}");
        assert!(error.contains("stranger"), "{error}");
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711))?;
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o711))?;
        stranger.check_can_enter(&inner)?;
        Ok(())
    }
}
