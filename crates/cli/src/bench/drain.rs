//! `beadle bench drain`: how fast worker processes empty a full queue.

use std::ops::RangeInclusive;
use std::time::Duration;

use queue::Push;
use serde_json::{Map, Value};

use super::database::{Database, Server};
use super::job::DoNothing;
use super::pace::Wake;
use super::rules::Rule;
use super::usage::Usage;
use super::worker::Workers;
use super::{HANDLERS, JOBS, PROCESSES, check, figures, patiently, raw, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// Jobs in the queue at the start
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    jobs: usize,
    /// Jobs that one process runs at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    handlers: usize,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1)]
    processes: usize,
    /// Jobs that have ended before, in the database of the engine only
    #[arg(long, value_name = "N", default_value_t = 0)]
    history: usize,
    /// Jobs that are scheduled for much later, in the database of the engine only
    #[arg(long, value_name = "N", default_value_t = 0)]
    scheduled: usize,
    /// A rule that the queue has, beside the same drain without it
    #[arg(long, value_name = "RULE")]
    with: Option<Rule>,
}

/// Jobs that are there before a drain.
const ALREADY: RangeInclusive<usize> = 0..=10_000_000;
const MUCH_LATER: Duration = Duration::from_secs(24 * 3600);
/// Jobs stored by one statement while the queue is filled.
const FILL_BATCH: usize = 1000;
/// What the engine claims at once when handlers are quick, and so also the raw statements.
const MAX_CLAIM: usize = 2000;
/// What the peers' harness uses, too.
const RAW_CONNECTIONS: usize = 2;

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--jobs", self.jobs, JOBS)?;
        check("--handlers", self.handlers, HANDLERS)?;
        check("--history", self.history, ALREADY)?;
        check("--scheduled", self.scheduled, ALREADY)?;
        check("--processes", self.processes, PROCESSES)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let raw = drain_raw(args, server).await?;
    let plain = match args.with {
        Some(_) => Some(drain(args, server, None).await?),
        None => None,
    };
    let engine = drain(args, server, args.with).await?;
    let drained = &engine.drained;
    let mut measured = figures([
        ("jobs", args.jobs.into()),
        ("handlers", args.handlers.into()),
        ("processes", args.processes.into()),
        ("history", args.history.into()),
        ("scheduled", args.scheduled.into()),
        ("jobs_per_s", rounded(drained.jobs_per_second())),
        ("raw_jobs_per_s", rounded(raw.jobs_per_second())),
        ("ratio", rounded(drained.jobs_per_second() / raw.jobs_per_second())),
        ("wal_bytes_per_job", rounded(engine.wal_bytes_per_job)),
        ("pg_cpu_us_per_job", engine.pg_cpu_us_per_job.into()),
        ("worker_cpu_us_per_job", engine.worker_cpu_us_per_job.into()),
        ("worker_rss_mb", engine.worker_rss_mb.into()),
        ("jobs_per_claim", rounded(drained.jobs_per_claim())),
        ("raw_jobs_per_claim", rounded(raw.jobs_per_claim())),
        ("raw_connections", RAW_CONNECTIONS.into()),
    ]);
    if let (Some(rule), Some(plain)) = (args.with, plain) {
        let plain = plain.drained.jobs_per_second();
        measured.insert("with".into(), rule.name().into());
        measured.insert("plain_jobs_per_s".into(), rounded(plain));
        measured.insert("of_plain".into(), rounded(drained.jobs_per_second() / plain));
    }
    Ok(measured)
}

async fn drain_raw(args: &Args, server: &Server) -> anyhow::Result<Drained> {
    let database = server.database().await?;
    fill(&database, args.jobs, Duration::ZERO, None).await?;
    database.settle().await?;
    let begun = now(&database).await?;
    patiently("draining with raw statements", raw::drain(&database, RAW_CONNECTIONS, MAX_CLAIM))
        .await?;
    Drained::read(&database, begun).await
}

/// What the engine took for a drain.
struct Took {
    drained: Drained,
    wal_bytes_per_job: f64,
    pg_cpu_us_per_job: Option<Value>,
    worker_cpu_us_per_job: Option<Value>,
    worker_rss_mb: Option<Value>,
}

async fn drain(args: &Args, server: &Server, rule: Option<Rule>) -> anyhow::Result<Took> {
    let database = server.database().await?;
    fill(&database, args.history, Duration::ZERO, None).await?;
    raw::drain(&database, RAW_CONNECTIONS, MAX_CLAIM).await?;
    fill(&database, args.scheduled, MUCH_LATER, None).await?;
    if let Some(rule) = rule {
        rule.set(&database).await?;
    }
    fill(&database, args.jobs, Duration::ZERO, rule).await?;
    database.settle().await?;
    let mut workers =
        Workers::ready(&database, args.processes, args.handlers, Wake::Notify).await?;
    let (before, cpu_before) = (Usage::now(&database.pool).await?, workers.cpu());
    let begun = now(&database).await?;
    workers.begin().await?;
    patiently("draining", async {
        workers.until_started(args.jobs).await?;
        database.until_ended(args.history + args.jobs).await
    })
    .await?;
    let (after, cpu_after) = (Usage::now(&database.pool).await?, workers.cpu());
    let worker_rss_mb = workers.peak_rss_mb().map(rounded);
    workers.stop().await?;
    let jobs = args.jobs as f64;
    let per_job = |cpu: Duration| rounded(cpu.as_secs_f64() * 1e6 / jobs);
    let worker_cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Took {
        drained: Drained::read(&database, begun).await?,
        wal_bytes_per_job: after.wal_bytes_since(&before) / jobs,
        pg_cpu_us_per_job: after.cpu_since(&before).map(per_job),
        worker_cpu_us_per_job: worker_cpu.map(per_job),
        worker_rss_mb,
    })
}

async fn fill(
    database: &Database,
    jobs: usize,
    delay: Duration,
    rule: Option<Rule>,
) -> anyhow::Result<()> {
    let mut connection = database.connect().await?;
    let mut pushed = 0;
    while pushed < jobs {
        let count = (jobs - pushed).min(FILL_BATCH);
        let job = |nth| {
            let job = Push::of(DoNothing::now()).delay(delay);
            match rule {
                Some(rule) => rule.apply(job, nth),
                None => job,
            }
        };
        queue::push_many(&mut connection, (pushed..pushed + count).map(job)).await?;
        pushed += count;
    }
    Ok(())
}

/// Seconds by the server's clock, which also times the runs.
async fn now(database: &Database) -> anyhow::Result<f64> {
    let now = "-- bench.now
        SELECT extract(epoch FROM clock_timestamp())::float8";
    Ok(sqlx::query_scalar(now).fetch_one(&database.pool).await?)
}

/// What history says about a drain.
struct Drained {
    jobs: i64,
    claims: i64,
    seconds: f64,
}

impl Drained {
    async fn read(database: &Database, begun: f64) -> anyhow::Result<Self> {
        let drained = "-- bench.drained
            SELECT count(*), count(DISTINCT token), max(extract(epoch FROM ended_at))::float8
            FROM queue.runs WHERE outcome = 'done' AND ended_at >= to_timestamp($1)";
        let (jobs, claims, ended): (i64, i64, f64) =
            sqlx::query_as(drained).bind(begun).fetch_one(&database.pool).await?;
        Ok(Self { jobs, claims, seconds: ended - begun })
    }

    fn jobs_per_second(&self) -> f64 {
        self.jobs as f64 / self.seconds
    }

    fn jobs_per_claim(&self) -> f64 {
        self.jobs as f64 / self.claims as f64
    }
}
