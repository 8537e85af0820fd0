//! `beadle bench pinned`: what an old snapshot, held by somebody else, costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::database::{Database, Server};
use super::histogram::Histogram;
use super::pace::{self, Wake};
use super::worker::Workers;
use super::{HANDLERS, RATE, SECONDS, check, figures, patiently, raw, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// How long to measure: half of it before the snapshot is taken, half while it is held
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Jobs pushed in a second
    #[arg(long, value_name = "N", default_value_t = 2000)]
    rate: u32,
    /// Jobs that the worker runs at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    handlers: usize,
}

/// The series has a row for each of these.
const SLICE: Duration = Duration::from_secs(10);
/// A claim from the side is timed this often, and takes one job at most.
const PROBE_EVERY: Duration = Duration::from_millis(100);

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--seconds", self.seconds, SECONDS)?;
        check("--rate", self.rate, RATE)?;
        check("--handlers", self.handlers, HANDLERS)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let database = server.database().await?;
    database.settle().await?;
    let mut pusher = database.connect().await?;
    let mut workers = Workers::ready(&database, 1, args.handlers, Wake::Notify).await?;
    workers.begin().await?;

    let half = Duration::from_secs(args.seconds).div_f64(2.0);
    let free = phase(&database, &workers, &mut pusher, args.rate, half).await?;
    let mut holder = database.connect().await?;
    let mut snapshot = holder.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    // A snapshot is taken by the first statement, not by BEGIN.
    sqlx::query("SELECT count(*) FROM queue.ready").execute(&mut *snapshot).await?;
    let pinned = phase(&database, &workers, &mut pusher, args.rate, half).await?;
    snapshot.rollback().await?;

    let released = Instant::now();
    let pushed = free.pushed + pinned.pushed;
    patiently("the end of the last job", database.until_ended(pushed)).await?;
    let drained_seconds = released.elapsed().as_secs_f64();
    workers.stop().await?;
    let p99 = |phase: &Phase| phase.starts.quantile_ms(0.99).context("nothing was started");
    Ok(figures([
        ("rate", args.rate.into()),
        ("jobs", pushed.into()),
        ("throughput_ratio", rounded(pinned.jobs_per_second() / free.jobs_per_second())),
        ("start_p99_ratio", rounded(p99(&pinned)? / p99(&free)?)),
        ("claim_ms_p99", pinned.claims.quantile_ms(0.99).map(rounded).into()),
        ("free", free.figures()),
        ("pinned", pinned.figures()),
        ("drained_after_seconds", rounded(drained_seconds)),
    ]))
}

/// What one half of the time has shown.
struct Phase {
    pushed: usize,
    seconds: f64,
    starts: Histogram,
    /// Claims from the side, with or without a job to take.
    claims: Histogram,
    series: Vec<Value>,
}

impl Phase {
    fn jobs_per_second(&self) -> f64 {
        self.starts.count() as f64 / self.seconds
    }

    fn figures(&self) -> Value {
        let ms = |histogram: &Histogram, q| Value::from(histogram.quantile_ms(q).map(rounded));
        json!({
            "jobs_per_s": rounded(self.jobs_per_second()),
            "start_ms_p50": ms(&self.starts, 0.5),
            "start_ms_p99": ms(&self.starts, 0.99),
            "claim_ms_p50": ms(&self.claims, 0.5),
            "claim_ms_p99": ms(&self.claims, 0.99),
            "series": self.series,
        })
    }
}

/// Pushes, works and probes for so long, in slices.
async fn phase(
    database: &Database,
    workers: &Workers,
    pusher: &mut PgConnection,
    rate: u32,
    long: Duration,
) -> anyhow::Result<Phase> {
    let before = workers.starts();
    let begun = Instant::now();
    let mut phase = Phase {
        pushed: 0,
        seconds: 0.0,
        starts: Histogram::default(),
        claims: Histogram::default(),
        series: Vec::new(),
    };
    let mut left = long;
    while !left.is_zero() {
        let slice = left.min(SLICE);
        left -= slice;
        let (at, earlier) = (Instant::now(), workers.starts());
        let over = CancellationToken::new();
        let probe = tokio::spawn(probe(database.connect().await?, over.clone()));
        phase.pushed += pace::push(pusher, rate, slice, Wake::Notify).await?;
        over.cancel();
        let claims = probe.await??;
        let starts = workers.starts().since(&earlier);
        phase.series.push(json!({
            "seconds": rounded(begun.elapsed().as_secs_f64()),
            "jobs_per_s": rounded(starts.count() as f64 / at.elapsed().as_secs_f64()),
            "start_ms_p99": starts.quantile_ms(0.99).map(rounded),
            "claim_ms_p99": claims.quantile_ms(0.99).map(rounded),
        }));
        phase.claims.merge(&claims);
    }
    phase.seconds = begun.elapsed().as_secs_f64();
    phase.starts = workers.starts().since(&before);
    Ok(phase)
}

/// Times the engine's own claim, for one job, and finishes what it got.
async fn probe(mut connection: PgConnection, over: CancellationToken) -> anyhow::Result<Histogram> {
    let mut claims = Histogram::default();
    let mut above = 0;
    let mut ticks = interval(PROBE_EVERY);
    // A slow claim is not made up for by a burst of others.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !over.is_cancelled() {
        ticks.tick().await;
        let asked = Instant::now();
        let jobs = raw::claim(&mut connection, 1, above).await?;
        claims.add(asked.elapsed());
        above = jobs.reached();
        if !jobs.is_empty() {
            raw::finish(&mut connection, jobs).await?;
        }
    }
    Ok(claims)
}
