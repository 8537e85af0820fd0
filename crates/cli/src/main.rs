//! The one binary. It only wires: every command is a file of its own.

#[cfg(feature = "bench")]
mod bench;
mod cron;
mod doctor;
mod jobs;
mod keys;
mod migrate;
mod output;
mod process;
mod queues;
mod schedule;
mod seed;
mod serve;
#[cfg(feature = "embedded")]
mod up;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Output;

/// Does the errands of a learning platform: one binary, one Postgres.
///
/// Settings come from config/default.toml (compiled in), then from the file that BEADLE_ENV names,
/// then from BEADLE__SECTION__KEY variables. The database is DATABASE_URL; without it, commands
/// speak to the `beadle up` of this machine.
#[derive(Parser)]
#[command(name = "beadle", version, propagate_version = true)]
struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in this process: Postgres, object store, API, workers, schedules
    #[cfg(feature = "embedded")]
    Up,
    /// Answer the API
    Serve,
    /// Run jobs
    Work(work::Args),
    /// Push jobs when the clock says so
    Schedule,
    /// Bring the database to this release
    Migrate,
    /// Fill the database with people, courses and payments to try things on
    Seed(seed::Args),
    /// Push, list, show, retry or cancel jobs; see why one does not run; see and redrive dead ones
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Show how much each queue holds; pause or resume one, change its rules, or say how long it is kept
    Queues(queues::Args),
    /// List, show, edit, reset, pause, resume or run schedules
    #[command(subcommand)]
    Cron(cron::Command),
    /// Create, list or revoke API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Check everything this needs, and say how to mend it
    Doctor,
    /// Measure the engine on a throw-away Postgres, or on the server of DATABASE_URL
    #[cfg(feature = "bench")]
    Bench(bench::Args),
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let result = match cli.command {
        #[cfg(feature = "embedded")]
        Command::Up => up::up(output).await,
        Command::Serve => serve::serve().await,
        Command::Work(args) => work::work(args).await,
        Command::Schedule => schedule::schedule().await,
        Command::Migrate => migrate::migrate(output).await,
        Command::Seed(args) => seed::seed(args, output).await,
        Command::Jobs(command) => jobs::run(command, output).await,
        Command::Queues(args) => queues::run(args, output).await,
        Command::Cron(command) => cron::run(command, output).await,
        Command::Keys(command) => keys::run(command, output).await,
        Command::Doctor => doctor::examine(output).await,
        #[cfg(feature = "bench")]
        Command::Bench(args) => bench::run(args, output).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::FAILURE
        }
    }
}
