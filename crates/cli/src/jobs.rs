//! `beadle jobs`: push, list, show, retry, cancel, and what becomes of the dead.

mod dead;
mod why;

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use queue::inspect::{self, CostView, Filter, JobLine, JobState, JobView, LogLine, StepView};
use queue::{ATTEMPTS, Cancelled, MAX_DELAY, PRIORITIES, Retried, WEIGHTS};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::output::{Output, or_dash, table};
use crate::process;

/// Bounds as clap takes them.
fn bounds(range: RangeInclusive<i16>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

/// Who changed a job, as its history tells it.
const BY: &str = "cli";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Push one job
    Push(Push),
    /// List jobs, newest first
    List(List),
    /// Show one job and its history
    Show { id: Uuid },
    /// Say why a job does not run: everything that is in its way
    Why { id: Uuid },
    /// Make a dead, discarded or cancelled job ready again
    Retry { id: Uuid },
    /// Show what jobs died of, those that died of the same together
    Dead(dead::Which),
    /// Make dead jobs ready again: those that fit, or all
    Redrive(dead::Again),
    /// Stop a job: at once if it waits, as soon as it heeds if it runs
    Cancel { id: Uuid },
}

#[derive(clap::Args)]
pub struct Push {
    /// Such as maintenance.drop_history
    kind: String,
    /// Its arguments, as a JSON object
    #[arg(default_value = "{}")]
    args: String,
    /// From -100 (sooner) to 100 (later)
    #[arg(long, default_value_t = 0, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i16).range(bounds(PRIORITIES)))]
    priority: i16,
    /// Not before this time, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "delay_seconds")]
    run_at: Option<DateTime<Utc>>,
    /// Not before so many seconds from now
    #[arg(long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(..=MAX_DELAY.as_secs()))]
    delay_seconds: Option<u64>,
    /// Attempts before a failure is final, instead of what the kind says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(bounds(ATTEMPTS)))]
    max_attempts: Option<i16>,
    /// Of the jobs of its queue with one key, only so many run at a time: one, unless the queue says otherwise
    #[arg(long)]
    key: Option<String>,
    /// With whom it shares a place where tenants take turns
    #[arg(long)]
    tenant: Option<String>,
    /// What it takes from a rate, instead of 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(bounds(WEIGHTS)))]
    weight: Option<i16>,
    /// Push so many of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
}

#[derive(clap::Args)]
pub struct List {
    /// scheduled, ready, waiting, running, done, discarded, dead, cancelled or pruned
    #[arg(long)]
    state: Option<JobState>,
    #[arg(long)]
    queue: Option<String>,
    #[arg(long)]
    kind: Option<String>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

pub async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Push(push) => self::push(push, output).await,
        Command::List(filter) => list(filter, output).await,
        Command::Show { id } => show(id, output).await,
        Command::Why { id } => why::why(id, output).await,
        Command::Retry { id } => retry(id, output).await,
        Command::Dead(which) => dead::show(which, output).await,
        Command::Redrive(again) => dead::again(again, output).await,
        Command::Cancel { id } => cancel(id, output).await,
    }
}

/// Jobs pushed in one statement; a transaction holds them together.
const BATCH: usize = 1000;

async fn push(push: Push, output: Output) -> anyhow::Result<()> {
    let args: Value = serde_json::from_str(&push.args).context("the arguments are not JSON")?;
    let cx = process::connect().await?;
    let latest = cx.clock.now() + MAX_DELAY;
    ensure!(push.run_at.is_none_or(|at| at <= latest), "--run-at is at most ten years ahead");
    let kinds = workers::fleet(&cx).kinds();
    let one = || -> anyhow::Result<queue::Push> {
        let mut job = kinds.prepare(&push.kind, args.clone())?.priority(push.priority);
        if let Some(at) = push.run_at {
            job = job.run_at(at);
        }
        if let Some(seconds) = push.delay_seconds {
            job = job.delay(Duration::from_secs(seconds));
        }
        if let Some(attempts) = push.max_attempts {
            job = job.max_attempts(attempts);
        }
        if let Some(key) = &push.key {
            job = job.key(key);
        }
        if let Some(tenant) = &push.tenant {
            job = job.tenant(tenant);
        }
        if let Some(weight) = push.weight {
            job = job.weight(weight);
        }
        Ok(job)
    };
    let mut tx = cx.pool.begin().await?;
    let mut ids = Vec::with_capacity(push.count as usize);
    while ids.len() < push.count as usize {
        let batch = (ids.len()..push.count as usize).take(BATCH).map(|_| one());
        let batch = batch.collect::<anyhow::Result<Vec<_>>>()?;
        ids.extend(queue::push_bulk(&mut tx, batch).await?.into_iter().map(|job| job.id));
    }
    tx.commit().await.context("commit the jobs")?;
    output.show(&json!({ "ids": ids }), |_| {
        ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join("\n")
    })
}

async fn list(list: List, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let List { state, queue, kind, limit } = list;
    let jobs = inspect::jobs(&cx.pool, &Filter { state, queue, kind, limit }).await?;
    output.show(&jobs, |jobs| {
        let row = |job: &JobLine| {
            [
                job.id.to_string(),
                job.kind.clone(),
                job.state.to_string(),
                job.attempt.to_string(),
                moment(job.created_at),
                or_dash(job.error.as_deref().map(first_line)),
            ]
        };
        let rows: Vec<_> = jobs.iter().map(row).collect();
        table(["ID", "KIND", "STATE", "ATTEMPT", "CREATED", "LAST ERROR"], &rows)
    })
}

/// A job with what its runs said.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    job: JobView,
    steps: Vec<StepView>,
    costs: Vec<CostView>,
    /// The latest, oldest first.
    logs: Vec<LogLine>,
}

/// Log lines that are shown.
const LOG_LINES: u16 = 20;

async fn show(id: Uuid, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let Some(job) = inspect::job(&cx.pool, id).await? else { bail!("no job has the id {id}") };
    let shown = Shown {
        job,
        steps: inspect::steps(&cx.pool, id).await?,
        costs: inspect::costs(&cx.pool, id).await?,
        logs: inspect::logs(&cx.pool, id, LOG_LINES).await?,
    };
    output.show(&shown, describe)
}

async fn retry(id: Uuid, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    match queue::retry(&cx.pool, id, BY).await? {
        Retried::Now => {
            output.show(&json!({ "id": id, "retried": true }), |_| format!("{id} is ready again"))
        }
        Retried::Not(state) => {
            bail!("{id} is {state}; only dead, discarded or cancelled jobs are tried again")
        }
        Retried::KeyTaken(holder) => bail!("the key of {id} is held by {holder}"),
        Retried::NoSuchJob => bail!("no job has the id {id}"),
    }
}

async fn cancel(id: Uuid, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let cancelled = queue::cancel(&cx.pool, id, BY).await?;
    let text = match cancelled {
        Cancelled::Now => format!("{id} is cancelled"),
        Cancelled::Asked => format!("{id} runs, and has been asked to stop"),
        Cancelled::AlreadyEnded => bail!("{id} had already ended"),
        Cancelled::NoSuchJob => bail!("no job has the id {id}"),
    };
    output.show(&json!({ "id": id, "cancelled": cancelled }), |_| text)
}

fn describe(shown: &Shown) -> String {
    let job = &shown.job;
    let mut lines = vec![
        format!("{} {}", job.kind, job.id),
        format!("state     {}, attempt {} of {}", job.state, job.attempt, job.max_attempts),
        format!("queue     {}, priority {}", job.queue, job.priority),
        format!("created   {}", moment(job.created_at)),
    ];
    lines.extend(job.run_at.map(|at| format!("starts    {}", moment(at))));
    lines.extend(job.owner.map(|owner| format!("owner     {owner}")));
    lines.extend(job.key.as_ref().map(|key| format!("key       {key}")));
    lines.extend(job.tenant.as_ref().map(|tenant| format!("tenant    {tenant}")));
    lines.extend((job.weight != 1).then(|| format!("weight    {}", job.weight)));
    lines.extend(job.trace_id.as_ref().map(|trace| format!("trace     {trace}")));
    lines.push(format!("arguments {}", job.args));
    lines.extend(job.progress.as_ref().map(|progress| {
        format!(
            "progress  {} % in attempt {}: {}",
            progress.percent, progress.attempt, progress.note
        )
    }));
    lines.extend(shown.steps.iter().map(|step| format!("step      {} is kept", step.name)));
    for CostView { name, quantity, amount_micro, currency } in &shown.costs {
        let (units, micros) = (amount_micro / 1_000_000, amount_micro % 1_000_000);
        lines.push(format!("cost      {units}.{micros:06} {currency} for {quantity} {name}"));
    }
    for run in &job.runs {
        let took = (run.ended_at - run.started_at).as_seconds_f64();
        let when = moment(run.ended_at);
        lines.push(format!(
            "{when}  {:<9} attempt {} took {took:.3} s on {}",
            run.outcome, run.attempt, run.worker
        ));
        lines.extend(
            run.error.as_ref().map(|error| format!("    {}", error.replace('\n', "\n    "))),
        );
    }
    for LogLine { attempt, level, message, said_at, .. } in &shown.logs {
        let (when, message) = (moment(*said_at), message.replace('\n', "\n    "));
        lines.push(format!("{when}  {level:<5} in attempt {attempt}: {message}"));
    }
    lines.join("\n")
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Enough of an error for a line of a list.
fn first_line(error: &str) -> String {
    const WIDTH: usize = 60;
    let line = error.lines().next().unwrap_or_default();
    if line.chars().count() <= WIDTH {
        line.into()
    } else {
        line.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}
