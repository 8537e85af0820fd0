//! `beadle bench soak`: how queue, latency and tables behave under a steady rate.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::database::{Database, Server};
use super::pace::{self, Wake};
use super::worker::Workers;
use super::{HANDLERS, PROCESSES, RATE, SECONDS, check, figures, patiently, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// How long to push
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Jobs pushed in a second
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u32,
    /// Jobs that one process runs at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    handlers: usize,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1)]
    processes: usize,
}

/// The series has a row for each of these.
const SLICE: Duration = Duration::from_secs(10);

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--seconds", self.seconds, SECONDS)?;
        check("--rate", self.rate, RATE)?;
        check("--handlers", self.handlers, HANDLERS)?;
        check("--processes", self.processes, PROCESSES)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let database = server.database().await?;
    database.settle().await?;
    let mut pusher = database.connect().await?;
    let mut workers =
        Workers::ready(&database, args.processes, args.handlers, Wake::Notify).await?;
    let sizes_at_start = sizes(&database).await?;
    workers.begin().await?;

    let begun = Instant::now();
    let (mut pushed, mut deepest, mut series) = (0, 0, Vec::new());
    let mut left = Duration::from_secs(args.seconds);
    while !left.is_zero() {
        let slice = left.min(SLICE);
        left -= slice;
        let earlier = workers.starts();
        pushed += pace::push(&mut pusher, args.rate, slice, Wake::Notify).await?;
        let starts = workers.starts().since(&earlier);
        let depth = depth(&database).await?;
        deepest = deepest.max(depth);
        series.push(json!({
            "seconds": rounded(begun.elapsed().as_secs_f64()),
            "depth": depth,
            "start_ms_p99": starts.quantile_ms(0.99).map(rounded),
        }));
    }
    let pushed_per_second = pushed as f64 / begun.elapsed().as_secs_f64();
    patiently("the end of the last job", database.until_ended(pushed)).await?;
    let memory = workers.peak_rss_mb();
    let starts = workers.stop().await?;
    Ok(figures([
        ("rate", args.rate.into()),
        ("jobs", pushed.into()),
        ("jobs_per_s", rounded(pushed_per_second)),
        ("errors", errors(&database).await?.into()),
        ("p50_ms", starts.quantile_ms(0.5).map(rounded).into()),
        ("p99_ms", starts.quantile_ms(0.99).map(rounded).into()),
        ("depth_max", deepest.into()),
        ("depth_at_end", depth(&database).await?.into()),
        ("worker_rss_mb", memory.map(rounded).into()),
        ("sizes_at_start", sizes_at_start),
        ("sizes_at_end", sizes(&database).await?),
        ("series", series.into()),
    ]))
}

async fn depth(database: &Database) -> anyhow::Result<i64> {
    let depth = "-- bench.depth
        SELECT count(*) FROM queue.ready";
    Ok(sqlx::query_scalar(depth).fetch_one(&database.pool).await?)
}

/// The job cannot fail, so whatever did not end well is the engine's.
async fn errors(database: &Database) -> anyhow::Result<i64> {
    let errors = "-- bench.errors
        SELECT count(*) FROM queue.runs WHERE outcome <> 'done'";
    Ok(sqlx::query_scalar(errors).fetch_one(&database.pool).await?)
}

/// Bytes of each table and of its indexes, partitions together; empty tables are left out.
async fn sizes(database: &Database) -> anyhow::Result<Value> {
    let sizes = "-- bench.sizes
        SELECT coalesce(p.relname, c.relname)::text AS name,
            sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint
        FROM pg_class c
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        LEFT JOIN pg_class p ON p.oid = i.inhparent
        WHERE c.relnamespace = 'queue'::regnamespace AND c.relkind = 'r'
        GROUP BY 1 HAVING sum(pg_relation_size(c.oid)) > 0 ORDER BY 1";
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(sizes).fetch_all(&database.pool).await?;
    let row = |(name, table, indexes)| (name, json!({ "table": table, "indexes": indexes }));
    Ok(Value::Object(rows.into_iter().map(row).collect()))
}
