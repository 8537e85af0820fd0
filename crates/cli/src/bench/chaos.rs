//! `beadle bench chaos`: whether anything is lost or done twice while processes die, sleep through
//! their leases, and lose their connections and their database.
//!
//! The *crew* works on *jobs* that a *pusher* brings, through a *proxy*; *faults* befall all of them.
//! Triggers write a *history*, handlers a *journal*; the *checker* judges the one, and recovery times
//! are read from the other.

mod checker;
pub mod crew;
mod faults;
mod history;
mod jobs;
mod journal;
mod limits;
mod proxy;
mod pusher;

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};
use sqlx::{ConnectOptions as _, PgPool};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::crew::{Crew, HANDLERS};
use self::faults::Faults;
use self::history::{History, Progress};
use self::jobs::{Mix, QUEUE};
use self::limits::Limits;
use self::proxy::Proxy;
use self::pusher::{Pushed, Pushing, push};
use super::database::{Database, Server};
use super::{JOBS, PROCESSES, SECONDS, check, figures, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// Jobs whose push is to be acknowledged
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    jobs: usize,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 6)]
    processes: usize,
    /// How long faults go on at most, once each sort was there; they end when all jobs have
    #[arg(long, value_name = "N", default_value_t = 300)]
    seconds: u64,
    /// Draws the same jobs and faults again; what they meet is up to the machine
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// How long a worker's lease lasts; short, so that faults outlast it often
    #[arg(long, value_name = "N", default_value_t = 2)]
    lease_seconds: u64,
    /// Give the queue a limit and a rate and its jobs keys, and check what they say
    #[arg(long, conflicts_with = "kills_only")]
    rules: bool,
    /// Kill workers and nothing else, none before the last one's jobs run elsewhere, to see how long
    /// that takes
    #[arg(long)]
    kills_only: bool,
}

const LEASE_SECONDS: RangeInclusive<u64> = 1..=60;
/// What must not happen.
const COUNTERS: [&str; 4] = ["lost", "stale_accepted", "double_leases", "effects_twice"];
/// Nor this, where the queue has rules.
const EXCESSES: [&str; 3] = ["over_concurrency", "over_key_concurrency", "over_rate"];
/// A hundred of some two hundred handlers have work; the rate is a little more than what is pushed, which
/// after each fault is less than what waits.
const LIMITS: Limits =
    Limits { concurrency: 100, key_concurrency: 1, per_second: 1500.0, burst: 150.0 };
/// Jobs are pushed at this rate, and over this long at least: faults need something to hit.
const PUSHES_PER_SECOND: usize = 1000;
const MIN_PUSHING: Duration = Duration::from_secs(8);
const MAX_OPEN: usize = 400;
/// Counting open jobs costs; so does a fault too many, but less.
const LOOK: Duration = Duration::from_secs(1);
/// Without faults, a queue that stands still for so long will not move again.
const STALL: Duration = Duration::from_secs(60);
/// Of so many jobs that broke a promise, the whole history is shown.
const SHOWN: usize = 5;

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--jobs", self.jobs, JOBS)?;
        check("--processes", self.processes, PROCESSES)?;
        check("--seconds", self.seconds, SECONDS)?;
        check("--lease-seconds", self.lease_seconds, LEASE_SECONDS)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let mut directory = tempfile::Builder::new().prefix("beadle-chaos-").tempdir()?;
    let measured = run(args, server, &directory).await;
    let well = measured.as_ref().is_ok_and(|figures| broken(figures).is_empty());
    if !well {
        directory.disable_cleanup(true);
        eprintln!("logs and journals are kept in {}", directory.path().display());
    }
    measured
}

/// Fails when some promise was broken in some run; of other measurements it knows nothing.
pub fn verdict(measured: &Value) -> anyhow::Result<()> {
    let samples = measured["samples"].as_array().into_iter().flatten();
    for sample in samples.chain([measured]).filter_map(Value::as_object) {
        let broken = broken(sample);
        ensure!(broken.is_empty(), "promises were broken: {}", broken.join(", "));
    }
    Ok(())
}

fn broken(figures: &Map<String, Value>) -> Vec<String> {
    let times = |name: &&str| figures.get(*name).and_then(Value::as_f64).unwrap_or(0.0);
    let broken = COUNTERS.iter().chain(&EXCESSES).filter(|name| times(name) != 0.0);
    broken.map(|name| format!("{name} {}", times(name))).collect()
}

async fn run(
    args: &Args,
    server: &Server,
    directory: &TempDir,
) -> anyhow::Result<Map<String, Value>> {
    let directory = directory.path();
    let seed = args.seed.unwrap_or_else(rand::random);
    let database = server.database().await?;
    history::install(&database.pool).await?;
    if args.rules {
        set_rules(&database.pool).await?;
    }
    let proxy = Proxy::start(&database.options, Duration::from_secs(args.lease_seconds)).await?;
    let through = proxy.before(&database.options);
    let url = through.to_url_lossy().to_string();
    let mut crew = Crew::start(url, directory, args.processes, args.lease_seconds)?;
    let acknowledged = directory.join("acknowledged");
    // Of the lingering ones three quarters of the handlers are busy: whoever takes over has room.
    let (mix, max_open) = match (args.kills_only, args.rules) {
        (true, _) => (Mix::Lingering, args.processes * HANDLERS * 3 / 4),
        (false, true) => (Mix::OfAllWithKeys, MAX_OPEN),
        (false, false) => (Mix::OfAll, MAX_OPEN),
    };
    let pushing = AbortOnDropHandle::new(tokio::spawn(push(Pushing {
        options: through,
        around: database.pool.clone(),
        jobs: args.jobs,
        over: Duration::from_secs((args.jobs / PUSHES_PER_SECOND) as u64).max(MIN_PUSHING),
        seed,
        mix,
        max_open,
        acknowledged: acknowledged.clone(),
    })));

    let begun = Instant::now();
    let mut faults = Faults::new(args, server, &mut crew, &proxy, seed);
    let limit = Duration::from_secs(args.seconds);
    faults.commit(limit, all_ended(&database.pool, &pushing)).await?;
    let (counts, fault_seconds) = (faults.counts(), begun.elapsed().as_secs_f64());
    drain(&database.pool, &mut crew, &pushing).await?;
    let unanswered = if pushing.is_finished() { Some(pushing.await??.unanswered) } else { None };
    crew.dismiss().await?;

    let mut measured = judge(&database, &acknowledged, args.rules).await?;
    let recoveries = journal::recoveries(directory, crew.started, &crew.kills)?;
    let recovery = |quantile| recoveries.quantile_ms(quantile).map(rounded);
    measured.extend(figures([
        ("processes", args.processes.into()),
        ("lease_seconds", args.lease_seconds.into()),
        ("seed", seed.into()),
        ("recovery_ms_p50", recovery(0.5).into()),
        ("recovery_ms_p99", recovery(0.99).into()),
        ("recoveries", recoveries.count().into()),
        ("faults", counts),
        ("fault_seconds", rounded(fault_seconds)),
        ("workers_ended_alone", crew.ended_alone.into()),
        ("pushes_unanswered", unanswered.into()),
    ]));
    Ok(measured)
}

type PushingTask = AbortOnDropHandle<anyhow::Result<Pushed>>;

async fn set_rules(pool: &PgPool) -> anyhow::Result<()> {
    let rules = json!({
        "concurrency": LIMITS.concurrency, "key_concurrency": LIMITS.key_concurrency,
        "per_second": LIMITS.per_second, "burst": LIMITS.burst as u32,
    });
    let set = "-- chaos.set_rules\nSELECT queue.set_rules($1, $2)";
    sqlx::query(set).bind(QUEUE).bind(rules).execute(pool).await.context("set the rules")?;
    Ok(())
}

/// Says whether faults have nothing left to hit; asked too often, it says no without looking.
fn all_ended(pool: &PgPool, pushing: &PushingTask) -> impl AsyncFnMut() -> bool {
    let mut looked_at = Instant::now();
    async move || {
        if !pushing.is_finished() || looked_at.elapsed() < LOOK {
            return false;
        }
        looked_at = Instant::now();
        let progress = history::progress(pool).await;
        progress.is_ok_and(|progress| progress.ended == progress.jobs)
    }
}

/// Waits until all jobs are pushed and have ended, or nothing moves any more: then the checker says
/// what is lost.
async fn drain(pool: &PgPool, crew: &mut Crew, pushing: &PushingTask) -> anyhow::Result<()> {
    let (mut most, mut moved_at) = (-1, Instant::now());
    loop {
        crew.look_after()?;
        let pushed = pushing.is_finished();
        let Progress { jobs, ended } = history::progress(pool).await.context("count jobs")?;
        if ended > most {
            (most, moved_at) = (ended, Instant::now());
        }
        if pushed && ended == jobs || moved_at.elapsed() > STALL {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads the history and judges it; jobs that broke a promise are told about on stderr.
async fn judge(
    database: &Database,
    acknowledged: &Path,
    has_rules: bool,
) -> anyhow::Result<Map<String, Value>> {
    let history = History::read(&database.pool, acknowledged).await?;
    let verdict = checker::check(&history);
    let found: [&[Uuid]; COUNTERS.len()] =
        [&verdict.lost, &verdict.stale_accepted, &verdict.double_leases, &verdict.effects_twice];
    let outcomes = serde_json::to_value(history::outcomes(&database.pool).await?)?;
    let mut measured = figures([("jobs", verdict.jobs.into()), ("outcomes", outcomes)]);
    if has_rules {
        let exceeded = limits::check(&history, &LIMITS);
        let counts = [exceeded.concurrency, exceeded.key_concurrency, exceeded.rate];
        measured.extend(EXCESSES.map(str::to_owned).into_iter().zip(counts.map(Value::from)));
    }
    for (counter, jobs) in COUNTERS.into_iter().zip(found) {
        measured.insert(counter.to_owned(), jobs.len().into());
        // In order, and listed for each time.
        for job in jobs.chunk_by(Uuid::eq).filter_map(<[_]>::first).take(SHOWN) {
            eprintln!("{counter}: job {job}\n  {}", history.of_job(*job).join("\n  "));
        }
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_promise_in_one_of_several_runs_is_a_failure() {
        let sample = |lost: u64| json!({ "lost": lost, "effects_twice": 0 });
        assert!(verdict(&sample(0)).is_ok());
        // Of a measurement without promises.
        assert!(verdict(&json!({ "p50_ms": 2.5 })).is_ok());
        assert!(verdict(&sample(1)).unwrap_err().to_string().contains("lost 1"));
        let mut median = sample(0);
        median["samples"] = json!([sample(0), sample(3), sample(0)]);
        assert!(verdict(&median).unwrap_err().to_string().contains("lost 3"));
    }
}
