//! Every check of this repository, the cheap ones first; the first that fails is the last.

mod pooler;
mod report;
mod tally;

use std::{
    io::Write as _,
    path::PathBuf,
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

/// Crates and those of their test programs that also run on the oldest Postgres that is supported.
const ALSO_ON_16: [(&str, &str); 3] =
    [("queue", "queue"), ("queue", ENGINE_TESTS), ("context", "schema")];
/// The program that also runs behind a pooler, and without notifications.
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
        let title = "tests of the engine and the schema on PostgreSQL 16";
        report.step(title, async |tally| smoke(shell, postgres, programs, tally).await).await
    };
    shell.with_postgres(Version::Pg16, on_16).await
}

/// A test program that cargo has built, and the folder of its package.
struct Program {
    name: &'static str,
    package: PathBuf,
    path: PathBuf,
}

/// All checks that need a database. Returns the programs of [`ALSO_ON_16`].
async fn on_newest(
    shell: &Shell,
    report: &mut Report,
    postgres: &Postgres,
) -> anyhow::Result<Vec<Program>> {
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

/// Builds all tests and returns the programs of [`ALSO_ON_16`].
async fn build_tests(shell: &Shell, mut build: Command) -> anyhow::Result<Vec<Program>> {
    build.stdout(Stdio::piped());
    let mut building = shell.spawn(build)?;
    let mut messages = String::new();
    let mut output = building.stdout()?;
    let read =
        async { output.read_to_string(&mut messages).await.context("read cargo's messages") };
    tokio::try_join!(building.wait(shell), read)?;
    ALSO_ON_16.iter().map(|(package, name)| find_program(&messages, package, name)).collect()
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
    programs: &[Program],
    (variable, value): (&str, &str),
    without: &[(&str, &str)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let program = programs.iter().find(|program| program.name == ENGINE_TESTS);
    let program = program.context("find the tests of the engine")?;
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

/// Runs tests again, as they were built for the whole workspace: another choice of packages would mean
/// other features, and build half of the dependencies anew.
async fn smoke(
    shell: &Shell,
    postgres: &Postgres,
    programs: Vec<Program>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for program in programs {
        run_tests(shell, test_command(postgres, &program), tally).await?;
    }
    Ok(())
}

/// Runs a test program as cargo would.
fn test_command(postgres: &Postgres, program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
    command.env("DATABASE_URL", postgres.url(DATABASE));
    command
}

/// Finds a test program in cargo's messages, one JSON object per line.
fn find_program(messages: &str, package: &str, name: &'static str) -> anyhow::Result<Program> {
    let package = root().join("crates").join(package);
    let manifest = format!("\"manifest_path\":\"{}\"", package.join("Cargo.toml").display());
    let path = messages.lines().filter(|line| line.contains(&manifest)).find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        let (path, _) = rest.split_once('"')?;
        let (program, _) = path.rsplit_once('/')?.1.rsplit_once('-')?;
        (program == name).then(|| PathBuf::from(path))
    });
    let path = path.with_context(|| format!("cargo built no test program {name}"))?;
    Ok(Program { name, package, path })
}
