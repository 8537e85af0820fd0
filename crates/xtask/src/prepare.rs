//! Asks Postgres about every SQL macro again, after applying all migrations to an empty database.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use embedded::{Postgres, Version};

use crate::{
    install::{self, Scope},
    queries::{self, Queries},
    shell::{Shell, cargo, root},
};

/// Where the answers are kept, for builds without a database.
const KEPT: &str = ".sqlx";
const DATABASE: &str = "prepare";

/// Kept by sqlx itself; queries may ask about it.
const MIGRATIONS_TABLE: &str = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, \
     description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(), \
     success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)";

/// Brings `.sqlx/` up to date.
#[tokio::main]
pub async fn run() -> anyhow::Result<()> {
    install::run(Scope::Up)?;
    let shell = Shell::new()?;
    let fresh = shell.with_postgres(Version::Pg18, async |postgres| ask(&shell, postgres).await);
    let changes = queries::write(&root().join(KEPT), &fresh.await?)?;
    println!(
        "{}",
        if changes.is_empty() { "nothing has changed".into() } else { changes.join("\n") }
    );
    Ok(())
}

/// Fails unless `.sqlx/` agrees with the code and the migrations.
pub async fn check(shell: &Shell, postgres: &Postgres) -> anyhow::Result<()> {
    let fresh = ask(shell, postgres).await?;
    let differences = queries::compare(&queries::read(&root().join(KEPT))?, &fresh);
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{KEPT}/ is out of date, run `cargo xtask prepare`:\n{}", differences.join("\n"))
}

/// Expands every SQL macro against a migrated database and returns what sqlx has learned.
async fn ask(shell: &Shell, postgres: &Postgres) -> anyhow::Result<Queries> {
    postgres.create_database(DATABASE).await?;
    migrate(shell, postgres).await.context("apply the migrations")?;
    let answers = root().join("target/sqlx");
    if answers.exists() {
        fs::remove_dir_all(&answers).context("empty target/sqlx")?;
    }
    fs::create_dir_all(&answers).context("create target/sqlx")?;
    // The clock of the file system, because cargo compares with that.
    let now = fs::metadata(&answers)?.modified()?;
    let _touched = Touched::new(&sources_with_macros()?, now)?;
    let mut command = cargo();
    command.args(["check", "--quiet", "--workspace", "--all-targets"]);
    command.env("DATABASE_URL", postgres.url(DATABASE));
    command.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &answers);
    shell.run(command).await?;
    queries::read(&answers)
}

/// Applies the migrations with psql: a program with macros could not be built before they agree.
async fn migrate(shell: &Shell, postgres: &Postgres) -> anyhow::Result<()> {
    let mut table = postgres.psql(DATABASE);
    table.arg("--command").arg(MIGRATIONS_TABLE);
    shell.run(table).await?;
    let mut files = files_below(&root().join("migrations"), "sql")?;
    files.sort();
    for file in files {
        let mut psql = postgres.psql(DATABASE);
        if !fs::read(&file)?.starts_with(b"-- no-transaction") {
            psql.arg("--single-transaction");
        }
        psql.arg("--file").arg(&file);
        // What a migration selects is of no interest here.
        psql.stdout(Stdio::null());
        shell.run(psql).await?;
    }
    Ok(())
}

/// Makes sources look new to cargo, which expands their macros again, and then old again, so that
/// nothing else is built anew.
struct Touched {
    files: Vec<(PathBuf, SystemTime)>,
    now: SystemTime,
}

impl Touched {
    fn new(files: &[PathBuf], now: SystemTime) -> anyhow::Result<Touched> {
        let mut touched = Touched { files: Vec::new(), now };
        for path in files {
            let before = fs::metadata(path)?.modified()?;
            touched.files.push((path.clone(), before));
            set_modified(path, now).with_context(|| format!("touch {}", path.display()))?;
        }
        Ok(touched)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        for (path, before) in &self.files {
            // A file that somebody has edited meanwhile is new.
            if fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|at| at == self.now) {
                // At worst its crate is built once more.
                let _ = set_modified(path, *before);
            }
        }
    }
}

fn set_modified(path: &Path, at: SystemTime) -> std::io::Result<()> {
    File::options().append(true).open(path)?.set_modified(at)
}

fn sources_with_macros() -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for top in ["crates", "workers"] {
        for file in files_below(&root().join(top), "rs")? {
            if has_macro(&fs::read_to_string(&file).with_context(|| format!("read {file:?}"))?) {
                sources.push(file);
            }
        }
    }
    Ok(sources)
}

/// Whether `source` calls one of sqlx's `query…!` macros.
fn has_macro(source: &str) -> bool {
    source.match_indices("query").any(|(at, word)| {
        let rest =
            source[at + word.len()..].trim_start_matches(|c: char| c == '_' || c.is_lowercase());
        rest.starts_with("!(")
    })
}

fn files_below(top: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory);
        for entry in entries.with_context(|| format!("list {}", directory.display()))? {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type()))?;
            if kind?.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_macro_is_recognised_and_nothing_else() {
        for source in ["sqlx::query!(\"x\")", "query_as!(A)", "query_file_scalar!(\"a.sql\")"] {
            assert!(has_macro(source), "{source}");
        }
        for source in ["sqlx::query(\"x\")", "let query = 1;", "query != other", "a_query_string"] {
            assert!(!has_macro(source), "{source}");
        }
    }

    #[test]
    fn a_touched_file_gets_its_time_back_unless_it_was_edited() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let now = fs::metadata(directory.path())?.modified()?;
        let old = now - std::time::Duration::from_secs(60);
        let files = ["kept.rs", "edited.rs"].map(|name| directory.path().join(name));
        for file in &files {
            fs::write(file, "")?;
            set_modified(file, old)?;
        }
        let touched = Touched::new(&files, now)?;
        let later = now + std::time::Duration::from_secs(60);
        set_modified(&files[1], later)?;
        assert_eq!(fs::metadata(&files[0])?.modified()?, now);
        drop(touched);
        assert_eq!(fs::metadata(&files[0])?.modified()?, old);
        assert_eq!(fs::metadata(&files[1])?.modified()?, later);
        Ok(())
    }
}
