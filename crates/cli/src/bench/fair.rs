//! `beadle bench fair`: how long a small tenant waits behind a large one, and what weights bring.

use std::time::Duration;

use anyhow::Context as _;
use queue::Push;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::database::{Database, Server};
use super::job::{DoNothing, QUEUE};
use super::pace::Wake;
use super::worker::Workers;
use super::{HANDLERS, JOBS, SECONDS, check, figures, patiently, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// Jobs of others that are there before
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    jobs: usize,
    /// How many others there are
    #[arg(long, value_name = "N", default_value_t = 1)]
    tenants: usize,
    /// Jobs that the worker runs at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    handlers: usize,
    /// How long to count shares
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

const FILL_BATCH: usize = 1000;
/// The small tenant pushes so many, so often.
const SMALL: usize = 10;
const TIMES: usize = 30;
const EVERY: Duration = Duration::from_millis(100);
/// Shares are counted at a rate that leaves everybody a backlog.
const SHARED_PER_SECOND: u64 = 2000;
const WEIGHTS: [(&str, i32); 3] = [("one", 1), ("two", 2), ("four", 4)];

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--jobs", self.jobs, JOBS)?;
        check("--tenants", self.tenants, 1..=self.jobs)?;
        check("--seconds", self.seconds, SECONDS)?;
        check("--handlers", self.handlers, HANDLERS)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let [alone_p50, alone_p99] = wait_of_small(args, server, false).await?;
    let [p50, p99] = wait_of_small(args, server, true).await?;
    let shares = shares(args, server).await?;
    let mut measured = figures([
        ("jobs", args.jobs.into()),
        ("tenants", args.tenants.into()),
        ("handlers", args.handlers.into()),
        ("alone_p50_ms", rounded(alone_p50)),
        ("alone_p99_ms", rounded(alone_p99)),
        ("p50_ms", rounded(p50)),
        ("p99_ms", rounded(p99)),
    ]);
    for ((tenant, weight), share) in WEIGHTS.iter().zip(shares) {
        let fair =
            f64::from(*weight) / f64::from(WEIGHTS.map(|(_, weight)| weight).iter().sum::<i32>());
        measured.insert(format!("share_of_{tenant}"), rounded(share / fair));
    }
    Ok(measured)
}

/// Median and 99 of 100 of the waits from push to start, in milliseconds.
async fn wait_of_small(
    args: &Args,
    server: &Server,
    behind_others: bool,
) -> anyhow::Result<[f64; 2]> {
    let database = server.database().await?;
    set_rules(&database, json!({ "fair": true })).await?;
    let others = if behind_others { args.jobs } else { 0 };
    let mut connection = database.connect().await?;
    push(&mut connection, others, |nth| format!("other-{}", nth % args.tenants)).await?;
    database.settle().await?;
    let mut workers = Workers::ready(&database, 1, args.handlers, Wake::Notify).await?;
    workers.begin().await?;
    // Until everything is warm and in full swing.
    push(&mut connection, SMALL, |_| "warm".to_owned()).await?;
    patiently("the first jobs", workers.until_started(SMALL + others / 100)).await?;
    for _ in 0..TIMES {
        push(&mut connection, SMALL, |_| "small".to_owned()).await?;
        tokio::time::sleep(EVERY).await;
    }
    let small = SMALL * TIMES;
    patiently("the small tenant's jobs", until_done(&database, small)).await?;
    workers.stop().await?;
    let waits = "-- bench.waits
        SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
            ORDER BY extract(epoch FROM r.started_at - j.created_at)::float8 * 1000
        )
        FROM queue.jobs j JOIN queue.runs r ON r.job = j.id WHERE j.tenant = 'small'";
    let waits: Vec<f64> = sqlx::query_scalar(waits).fetch_one(&database.pool).await?;
    waits.try_into().ok().context("two quantiles")
}

async fn until_done(database: &Database, jobs: usize) -> anyhow::Result<()> {
    let done = "-- bench.small_done
        SELECT count(*) FROM queue.jobs j JOIN queue.runs r ON r.job = j.id WHERE j.tenant = 'small'";
    while sqlx::query_scalar::<_, i64>(done).fetch_one(&database.pool).await? < jobs as i64 {
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

/// What part of all that started each tenant had.
async fn shares(args: &Args, server: &Server) -> anyhow::Result<[f64; 3]> {
    let database = server.database().await?;
    let rate = SHARED_PER_SECOND;
    set_rules(&database, json!({ "fair": true, "per_second": rate })).await?;
    for (tenant, weight) in WEIGHTS {
        let share = "-- bench.set_share\nSELECT queue.set_share($1, $2, $3)";
        sqlx::query(share).bind(QUEUE).bind(tenant).bind(weight).execute(&database.pool).await?;
    }
    let mut connection = database.connect().await?;
    // More than the heaviest can start.
    let each = (args.seconds * rate) as usize;
    push(&mut connection, WEIGHTS.len() * each, |nth| WEIGHTS[nth / each].0.to_owned()).await?;
    database.settle().await?;
    let mut workers = Workers::ready(&database, 1, args.handlers, Wake::Notify).await?;
    workers.begin().await?;
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    workers.stop().await?;
    let counts = "-- bench.shares
        SELECT count(*) FILTER (WHERE tenant = 'one')::float8 / count(*),
            count(*) FILTER (WHERE tenant = 'two')::float8 / count(*),
            count(*) FILTER (WHERE tenant = 'four')::float8 / count(*)
        FROM queue.runs r JOIN queue.jobs j ON j.id = r.job WHERE r.outcome = 'done'";
    let (one, two, four) = sqlx::query_as(counts).fetch_one(&database.pool).await?;
    Ok([one, two, four])
}

async fn set_rules(database: &Database, rules: Value) -> anyhow::Result<()> {
    let set = "-- bench.set_rules\nSELECT queue.set_rules($1, $2)";
    sqlx::query(set).bind(QUEUE).bind(rules).execute(&database.pool).await?;
    Ok(())
}

async fn push(
    connection: &mut PgConnection,
    jobs: usize,
    tenant: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    let job = |nth| Push::of(DoNothing::now()).tenant(tenant(nth));
    for start in (0..jobs).step_by(FILL_BATCH) {
        let batch = start..(start + FILL_BATCH).min(jobs);
        queue::push_many(&mut *connection, batch.map(job)).await?;
    }
    Ok(())
}
