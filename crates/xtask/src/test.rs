//! Every check of this repository, the cheap ones first; the first that fails is the last.

mod pooler;
mod report;
mod tally;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use embedded::{DATABASE, Postgres, Version};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::timeout,
};

use self::{pooler::Pooler, report::Report, tally::Tally};
use crate::{
    install::{self, Scope},
    prepare,
    shell::{Failed, Shell, cargo, root},
};

/// The crate whose tests also run on the oldest Postgres that is supported.
const SMOKE_CRATE: &str = "queue";
/// Those of its tests that also run behind a pooler, and without notifications.
const ENGINE_TESTS: &str = "engine";

/// Promises that hold only without a pooler, and why.
const NOT_BEHIND_A_POOLER: [(&str, &str); 2] = [
    (
        "push::without_a_database_callers_hear_of_it_and_with_it_pushes_go_on",
        "a pooler goes on to refuse for some seconds after the database is back",
    ),
    (
        "operate::notifications_arrive_unless_these_tests_are_to_do_without",
        "a pooler takes the session that listens",
    ),
];

/// A test that hangs must not hold everything up; none that works takes nearly as long.
const SILENCE_LIMIT: Duration = Duration::from_secs(300);

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
    let on_18 = async |postgres: &Postgres| on_newest(shell, report, postgres).await;
    let programs = shell.with_postgres(Version::Pg18, on_18).await?;
    let on_16 = async |postgres: &Postgres| {
        let title = format!("tests of {SMOKE_CRATE} on PostgreSQL 16");
        report.step(&title, async |tally| smoke(shell, postgres, programs, tally).await).await
    };
    shell.with_postgres(Version::Pg16, on_16).await
}

/// All checks that need a database. Returns the test programs of [`SMOKE_CRATE`].
async fn on_newest(
    shell: &Shell,
    report: &mut Report,
    postgres: &Postgres,
) -> anyhow::Result<Vec<PathBuf>> {
    // The macros use `.sqlx/` here, as they do on a machine without a database.
    let offline = |args: &[&str]| {
        let mut command = cargo();
        command.args(args).env("SQLX_OFFLINE", "true").env("DATABASE_URL", postgres.url(DATABASE));
        command
    };
    let lint = offline(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    report.step("lint, with offline SQL macros", async |_| shell.run(lint).await).await?;
    let fresh = async |_: &mut Tally| prepare::check(shell, postgres).await;
    report.step("offline SQL macros are up to date", fresh).await?;
    let build = ["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"];
    let build = offline(&build);
    let programs =
        report.step("build the tests", async |_| build_tests(shell, build).await).await?;
    let test = offline(&["test", "--workspace", "--no-fail-fast"]);
    report
        .step("tests on PostgreSQL 18", async |tally| run_tests(shell, test, tally).await)
        .await?;
    let behind_pooler = async |tally: &mut Tally| {
        let pooler = Pooler::start(shell, postgres).await?;
        let setting = ("BEADLE_TEST_POOLER", pooler.address());
        run_engine(shell, postgres, &programs, setting, &NOT_BEHIND_A_POOLER, tally).await
    };
    report.step("tests of the engine behind PgBouncer", behind_pooler).await?;
    let deaf = async |tally: &mut Tally| {
        let setting = ("BEADLE_TEST_DEAF", "1");
        run_engine(shell, postgres, &programs, setting, &[], tally).await
    };
    report.step("tests of the engine without notifications", deaf).await?;
    Ok(programs)
}

/// Builds all tests and returns the programs of [`SMOKE_CRATE`].
async fn build_tests(shell: &Shell, mut build: Command) -> anyhow::Result<Vec<PathBuf>> {
    build.stdout(Stdio::piped());
    let mut building = shell.spawn(build)?;
    let mut messages = String::new();
    let mut output = building.stdout()?;
    let read =
        async { output.read_to_string(&mut messages).await.context("read cargo's messages") };
    tokio::try_join!(building.wait(shell), read)?;
    let programs = test_programs(&messages, &smoke_package());
    ensure!(!programs.is_empty(), "cargo names no test program of {SMOKE_CRATE}");
    Ok(programs)
}

/// Runs a command that prints like cargo's tests do: shown as it comes, and counted.
async fn run_tests(shell: &Shell, command: Command, tally: &mut Tally) -> anyhow::Result<()> {
    let show_and_count = |line: &[u8]| {
        tally.read(&String::from_utf8_lossy(line));
        std::io::stdout().write_all(line).context("print")
    };
    read_lines(shell, command, show_and_count).await
}

/// Runs a command and reads what it prints to the last line: where it fails, that says why.
async fn read_lines(
    shell: &Shell,
    mut command: Command,
    mut read: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    command.stdout(Stdio::piped());
    let mut running = shell.spawn(command)?;
    let mut output = BufReader::new(running.stdout()?);
    let reading = async {
        let mut line = Vec::new();
        while timeout(SILENCE_LIMIT, output.read_until(b'\n', &mut line))
            .await
            .with_context(|| format!("no test has ended for {} s", SILENCE_LIMIT.as_secs()))?
            .context("read what the tests print")?
            > 0
        {
            read(&line)?;
            line.clear();
        }
        anyhow::Ok(())
    };
    let ending = async { anyhow::Ok(running.wait(shell).await) };
    let (ended, ()) = tokio::try_join!(ending, reading)?;
    ended
}

/// Runs the engine's tests again under a setting, but for those that cannot hold there.
async fn run_engine(
    shell: &Shell,
    postgres: &Postgres,
    programs: &[PathBuf],
    (variable, value): (&str, &str),
    without: &[(&str, &str)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let is_engine = |program: &&PathBuf| {
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.rsplit_once('-').is_some_and(|(name, _)| name == ENGINE_TESTS)
    };
    let program = programs.iter().find(is_engine).context("find the tests of the engine")?;
    let mut command = test_command(postgres, program);
    command.env(variable, value).arg("--exact");
    for (name, reason) in without {
        println!("test {name} ... ignored, {reason}");
        command.args(["--skip", name]);
    }
    let before = tally.left_out;
    run_tests(shell, command, tally).await?;
    let left_out = tally.left_out - before;
    ensure!(left_out == without.len() as u64, "a test to leave out is not there any more");
    tally.skipped += left_out;
    Ok(())
}

/// Runs the tests of one crate again, as they were built for the whole workspace: another choice of
/// packages would mean other features, and build half of the dependencies anew.
async fn smoke(
    shell: &Shell,
    postgres: &Postgres,
    programs: Vec<PathBuf>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for program in programs {
        run_tests(shell, test_command(postgres, &program), tally).await?;
    }
    Ok(())
}

/// Runs a test program of [`SMOKE_CRATE`] as cargo would.
fn test_command(postgres: &Postgres, program: &Path) -> Command {
    let package = smoke_package();
    let mut command = Command::new(program);
    command.current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
    command.env("DATABASE_URL", postgres.url(DATABASE));
    command
}

fn smoke_package() -> PathBuf {
    root().join("crates").join(SMOKE_CRATE)
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

    #[tokio::test]
    async fn a_program_that_fails_is_read_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "(sleep 0.2; echo last words) & exit 3"]);
        let mut lines = Vec::new();
        let read = |line: &[u8]| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        let result = read_lines(&Shell::new().unwrap(), command, read).await;
        assert!(result.unwrap_err().is::<Failed>());
        assert_eq!(lines, ["last words\n"]);
    }
}
