//! Every check of this repository, the cheap ones first; the first that fails is the last.

mod report;
mod tally;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};
use embedded::{DATABASE, Postgres, Version};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use self::{report::Report, tally::Tally};
use crate::{
    install::{self, Scope},
    prepare,
    shell::{Failed, Shell, cargo, check, root},
};

/// The crate whose tests also run on the oldest Postgres that is supported.
const SMOKE_CRATE: &str = "queue";

/// Runs all checks and prints the summary last.
#[tokio::main]
pub async fn run() -> anyhow::Result<ExitCode> {
    let shell = Shell::new()?;
    let mut report = Report::default();
    let result = checks(&shell, &mut report).await;
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    report.print(result.is_err());
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.downcast_ref().map_or(ExitCode::FAILURE, |it: &Failed| it.code()),
    })
}

async fn checks(shell: &Shell, report: &mut Report) -> anyhow::Result<()> {
    report.step("install", async |_| install::run(Scope::Test)).await?;
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    report.step("format", async |_| shell.run(format).await).await?;
    let on_18 = async |postgres: &Postgres| {
        let lint = offline(postgres, &["clippy", "--workspace", "--all-targets"]);
        report
            .step("lint, with offline SQL macros", async |_| deny_warnings(shell, lint).await)
            .await?;
        report
            .step("offline SQL macros up to date", async |_| prepare::check(shell, postgres).await)
            .await?;
        let test = offline(postgres, &["test", "--workspace", "--no-fail-fast"]);
        report
            .step("tests on PostgreSQL 18", async |tally| run_tests(shell, test, tally).await)
            .await
    };
    shell.with_postgres(Version::Pg18, on_18).await?;
    let on_16 = async |postgres: &Postgres| {
        let title = format!("tests of {SMOKE_CRATE} on PostgreSQL 16");
        report.step(&title, async |tally| smoke(shell, postgres, tally).await).await
    };
    shell.with_postgres(Version::Pg16, on_16).await
}

/// A cargo command whose SQL macros use `.sqlx/` and whose tests use `postgres`.
fn offline(postgres: &Postgres, args: &[&str]) -> Command {
    let mut command = cargo();
    command.args(args).env("SQLX_OFFLINE", "true").env("DATABASE_URL", postgres.url(DATABASE));
    command
}

async fn deny_warnings(shell: &Shell, mut lint: Command) -> anyhow::Result<()> {
    lint.args(["--", "-D", "warnings"]);
    shell.run(lint).await
}

/// Runs a command that prints like cargo's tests do: shown as it comes, and counted.
async fn run_tests(shell: &Shell, mut command: Command, tally: &mut Tally) -> anyhow::Result<()> {
    command.stdout(Stdio::piped());
    let mut child = shell.spawn(command)?;
    let output = child.stdout.take().context("read what the tests print")?;
    let count = async {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).await? > 0 {
            std::io::stdout().write_all(&line)?;
            tally.read(&String::from_utf8_lossy(&line));
            line.clear();
        }
        anyhow::Ok(())
    };
    let (status, ()) = tokio::try_join!(shell.wait(child), count)?;
    check("a test program".to_owned(), status)
}

/// Runs the tests of one crate again, as they were built for the whole workspace: another choice of
/// packages would mean other features, and build half of the dependencies anew.
async fn smoke(shell: &Shell, postgres: &Postgres, tally: &mut Tally) -> anyhow::Result<()> {
    let package = root().join("crates").join(SMOKE_CRATE);
    let mut list = cargo();
    list.args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    list.env("SQLX_OFFLINE", "true");
    let output = tokio::process::Command::from(list).output().await.context("list the tests")?;
    let programs = test_programs(&String::from_utf8_lossy(&output.stdout), &package);
    ensure!(!programs.is_empty(), "cargo names no test program of {SMOKE_CRATE}");
    for program in programs {
        let mut command = Command::new(program);
        command.current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
        command.env("DATABASE_URL", postgres.url(DATABASE));
        run_tests(shell, command, tally).await?;
    }
    Ok(())
}

/// Finds the test programs of `package` in cargo's messages, one JSON object per line.
fn test_programs(messages: &str, package: &Path) -> Vec<PathBuf> {
    let manifest = format!("\"manifest_path\":\"{}\"", package.join("Cargo.toml").display());
    let ours = messages.lines().filter(|line| line.contains(&manifest));
    let program = |line: &str| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split_once('"')?.0))
    };
    ours.filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_programs_of_one_package_are_found() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/b/queue/Cargo.toml","executable":null}
{"reason":"compiler-artifact","manifest_path":"/b/queue/Cargo.toml","executable":"/t/queue-1"}
{"reason":"compiler-artifact","manifest_path":"/b/queue/Cargo.toml","executable":"/t/crash-2","fresh":true}
{"reason":"compiler-artifact","manifest_path":"/b/api/Cargo.toml","executable":"/t/api-3"}
{"reason":"build-finished","success":true}"#;
        let programs = test_programs(messages, Path::new("/b/queue"));
        assert_eq!(programs, [PathBuf::from("/t/queue-1"), PathBuf::from("/t/crash-2")]);
    }
}
