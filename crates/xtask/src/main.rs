//! Chores of this repository, for people and for CI.

mod install;
mod prepare;
mod queries;
mod shell;
mod test;

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;

use crate::{
    install::Scope,
    shell::{Failed, cargo, root, run},
};

const HELP: &str = "\
Chores of the Beadle repository.

Usage: cargo xtask <verb>

Verbs:
  up [args…]  Install what is missing, build, and run `beadle up args…`
  test        Install what is missing and run every check; the last line is the summary
  prepare     Write the checked SQL queries to .sqlx/, after a change of a query or a migration
  install     Install what `up` and `test` need: PostgreSQL with pgvector, Debian packages
  help        Show this help

PostgreSQL is unpacked for the current user only and never touches the system's own. Debian
packages are installed when this runs as root or with passwordless sudo, otherwise the command to
run is printed.

Environment:
  BEADLE_POSTGRES_TREE  Use these PostgreSQL trees: a directory with `pginstall18` and `pginstall`
  BEADLE_HOME           Where `beadle up` keeps its data
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["up", ref rest @ ..] => up(rest),
        ["test"] => test::run(),
        ["prepare"] => prepare::run().map(|()| ExitCode::SUCCESS),
        ["install"] => install::run(Scope::Test).map(|()| ExitCode::SUCCESS),
        _ => {
            eprintln!("error: there is no `cargo xtask {}`\n\n{HELP}", args.join(" "));
            Ok(ExitCode::from(2))
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        error.downcast_ref().map_or(ExitCode::FAILURE, |failed: &Failed| failed.code())
    })
}

/// Becomes `beadle up`, so that signals reach it without a middleman.
fn up(args: &[&str]) -> anyhow::Result<ExitCode> {
    install::run(Scope::Up)?;
    run(cargo().args(["build", "--release", "--package", "cli"]))?;
    let target = root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let error = Command::new(target.join("release/beadle")).arg("up").args(args).exec();
    Err(error).context("run target/release/beadle")
}
