//! The data directory: made once and whole, recognised, never of the wrong version.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{DATABASE, orphans, run};
use crate::{
    Error, Home, Version,
    account::{self, Account},
    error::doing,
    home::random_word,
};

const PASSWORD_KEY: &str = "postgres";
const PASSWORD_LENGTH: usize = 32;

/// A data directory that a server may be started on.
pub struct Cluster {
    pub data: PathBuf,
    pub password: String,
    /// Who the server runs as; None for this process's user.
    pub account: Option<Account>,
}

impl Cluster {
    /// Finds or makes the data directory of `version` in `home`, with nobody working on it.
    pub async fn prepare(
        home: &Home,
        tree: &Path,
        version: Version,
        durable: bool,
    ) -> Result<Cluster, Error> {
        let data = home.path().join(format!("postgres-{version}"));
        let exists = is_made(&data, version)?;
        let account = Account::for_data(&data)?;
        if let Some(account) = &account {
            account.check_can_enter(home.path())?;
            account.check_can_enter(&tree.join("bin"))?;
        }
        let password = match home.key(PASSWORD_KEY)? {
            Some(password) => password,
            None if exists => {
                return Err(Error::NoPassword { data, key: home.key_path(PASSWORD_KEY) });
            }
            None => {
                let password = random_word(PASSWORD_LENGTH);
                home.keep_key(PASSWORD_KEY, &password)?;
                password
            }
        };
        let cluster = Cluster { data, password, account };
        if exists {
            orphans::end(&cluster.data).await?;
            // Data that root has restored from a copy belongs to root.
            if let Some(account) = cluster.account.as_ref().filter(|it| !it.owns(&cluster.data)) {
                account.own(&cluster.data)?;
            }
        } else {
            cluster.make(tree, durable).await?;
        }
        Ok(cluster)
    }

    /// Makes the directory under another name first, so that the real name is always a whole one.
    async fn make(&self, tree: &Path, durable: bool) -> Result<(), Error> {
        let half = self.data.with_extension("tmp");
        let password_file = self.data.with_extension("password");
        orphans::end(&half).await?;
        remove(&half)?;
        remove(&password_file)?;
        doing(DirBuilder::new().mode(0o700).create(&half), "create", &half)?;
        self.write_password(&password_file)?;
        if let Some(account) = &self.account {
            account.own(&half)?;
            account.own(&password_file)?;
        }
        let made = self.initdb(tree, &half, &password_file, durable).await;
        remove(&password_file)?;
        made?;
        doing(fs::rename(&half, &self.data), "create", &self.data)
    }

    fn write_password(&self, path: &Path) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = doing(file, "create", path)?;
        doing(file.write_all(self.password.as_bytes()), "write", path)
    }

    async fn initdb(
        &self,
        tree: &Path,
        half: &Path,
        password_file: &Path,
        durable: bool,
    ) -> Result<(), Error> {
        let with_locale = |locale: &str| -> Command {
            let program = tree.join("bin/initdb");
            let mut initdb = account::command(&program, self.account.as_ref(), Signal::KILL);
            initdb.arg("--pgdata").arg(half).arg("--pwfile").arg(password_file);
            initdb.args(["--username", DATABASE, "--auth=scram-sha-256", "--encoding=UTF8"]);
            initdb.args(["--no-instructions", &format!("--locale={locale}")]);
            initdb.args(Some("--no-sync").filter(|_| !durable));
            initdb
        };
        match run(with_locale("C.UTF-8").into(), "initdb").await {
            Err(Error::Failed { output, .. }) if output.contains("invalid locale name") => {
                run(with_locale("C").into(), "initdb").await
            }
            result => result,
        }
    }
}

/// Whether `data` holds a cluster of `version`. What is something else is an error; an empty
/// directory is as good as none.
fn is_made(data: &Path, version: Version) -> Result<bool, Error> {
    let marker = data.join("PG_VERSION");
    match fs::read_to_string(&marker) {
        Ok(found) if found.trim() == version.to_string() => Ok(true),
        Ok(found) => {
            let (dir, found) = (data.to_owned(), found.trim().to_owned());
            Err(Error::WrongVersion { dir, found, wanted: version })
        }
        Err(error) if is_missing(&error) => match fs::read_dir(data).map(Iterator::count) {
            Ok(0) => Ok(false),
            Ok(_) => Err(Error::NotData(data.to_owned())),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => doing(Err(error), "list", data),
        },
        Err(error) => doing(Err(error), "read", marker),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if !is_missing(&error) => doing(Err(error), "remove", path),
        _ => Ok(()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
