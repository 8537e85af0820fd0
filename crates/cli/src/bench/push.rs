//! `beadle bench push`: how fast jobs are put in.

use std::time::Instant;

use anyhow::ensure;
use queue::Pusher;
use serde_json::{Map, Value};
use sqlx::postgres::PgPoolOptions;

use sqlx::PgConnection;
use tokio::task::JoinSet;

use super::database::{Database, Server};
use super::job::DoNothing;
use super::{JOBS, check, figures, patiently, raw, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// Jobs pushed in bulk
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    jobs: usize,
    /// Jobs pushed one by one, in each of the other modes
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    single_jobs: usize,
}

/// Jobs in one statement.
const MANY: usize = 1000;
const BULK: usize = 10_000;
const CONNECTIONS: usize = 8;
/// Tasks of one process that push at the same time, over a pool of as many connections as above.
const CALLERS: usize = 64;

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--jobs", self.jobs, JOBS)?;
        check("--single-jobs", self.single_jobs, JOBS)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    patiently("pushing", async {
        let (jobs, single_jobs) = (args.jobs, args.single_jobs);
        let raw_many = connections(server, jobs, 1, MANY, put_raw).await?;
        let many = connections(server, jobs, 1, MANY, put_many).await?;
        let raw_bulk = connections(server, jobs, 1, BULK, put_raw).await?;
        let bulk = connections(server, jobs, 1, BULK, put_bulk).await?;
        let raw_single = connections(server, single_jobs, CONNECTIONS, 1, put_raw).await?;
        let single = connections(server, single_jobs, CONNECTIONS, 1, put_one).await?;
        let callers = callers(server, single_jobs).await?;
        Ok(figures([
            ("many", beside(many, raw_many)),
            ("bulk", beside(bulk, raw_bulk)),
            ("single", beside(single, raw_single)),
            // Over as many connections as the raw inserts of the mode before.
            ("callers", beside(callers, raw_single)),
        ]))
    })
    .await
}

fn beside(jobs_per_second: f64, raw: f64) -> Value {
    Value::Object(figures([
        ("jobs_per_s", rounded(jobs_per_second)),
        ("raw_jobs_per_s", rounded(raw)),
        ("ratio", rounded(jobs_per_second / raw)),
    ]))
}

/// Jobs a second over so many connections, each with its share and so many jobs a statement.
async fn connections<F>(
    server: &Server,
    jobs: usize,
    count: usize,
    batch: usize,
    put: impl Fn(PgConnection, usize, usize) -> F,
) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let database = ready(server).await?;
    let mut pushers = Vec::new();
    for share in shares(jobs, count) {
        pushers.push(put(database.connect().await?, share, batch));
    }
    timed(&database, jobs, pushers).await
}

/// The same from many tasks of one process that share a pusher.
async fn callers(server: &Server, jobs: usize) -> anyhow::Result<f64> {
    let database = ready(server).await?;
    let size = CONNECTIONS as u32;
    let options = PgPoolOptions::new().max_connections(size).min_connections(size);
    let pool = options.connect_with(database.options.clone()).await?;
    let pusher = Pusher::new(pool);
    let pushers = shares(jobs, CALLERS).map(|share| call(pusher.clone(), share)).collect();
    timed(&database, jobs, pushers).await
}

async fn put_bulk(mut connection: PgConnection, jobs: usize, batch: usize) -> anyhow::Result<()> {
    for count in shares(jobs, jobs.div_ceil(batch)) {
        queue::push_bulk(&mut connection, (0..count).map(|_| DoNothing::now())).await?;
    }
    Ok(())
}

async fn put_many(mut connection: PgConnection, jobs: usize, batch: usize) -> anyhow::Result<()> {
    for count in shares(jobs, jobs.div_ceil(batch)) {
        queue::push_many(&mut connection, (0..count).map(|_| DoNothing::now())).await?;
    }
    Ok(())
}

async fn put_one(mut connection: PgConnection, jobs: usize, _batch: usize) -> anyhow::Result<()> {
    for _ in 0..jobs {
        queue::push(&mut connection, DoNothing::now()).await?;
    }
    Ok(())
}

async fn put_raw(mut connection: PgConnection, jobs: usize, batch: usize) -> anyhow::Result<()> {
    for count in shares(jobs, jobs.div_ceil(batch)) {
        raw::insert(&mut connection, count).await?;
    }
    Ok(())
}

async fn call(pusher: Pusher, jobs: usize) -> anyhow::Result<()> {
    for _ in 0..jobs {
        pusher.push(DoNothing::now()).await?;
    }
    Ok(())
}

async fn timed<F>(database: &Database, jobs: usize, pushers: Vec<F>) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for pusher in pushers {
        tasks.spawn(pusher);
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let count = "-- bench.pushed
        SELECT (SELECT count(*) FROM queue.ready), (SELECT count(*) FROM queue.jobs)";
    let stored: (i64, i64) = sqlx::query_as(count).fetch_one(&database.pool).await?;
    ensure!(stored == (jobs as i64, jobs as i64), "{stored:?} of {jobs} jobs were stored");
    Ok(jobs as f64 / seconds)
}

async fn ready(server: &Server) -> anyhow::Result<Database> {
    let database = server.database().await?;
    database.settle().await?;
    Ok(database)
}

/// Parts of `whole` that differ by one at most, and none of them empty.
fn shares(whole: usize, parts: usize) -> impl Iterator<Item = usize> {
    let share = move |part| (whole * (part + 1)) / parts - (whole * part) / parts;
    (0..parts).map(share).filter(|share| *share > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_leave_nothing_out() {
        assert_eq!(shares(10, 4).collect::<Vec<_>>(), [2, 3, 2, 3]);
        assert_eq!(shares(2, 8).sum::<usize>(), 2);
        assert!(shares(2001, 3).all(|share| share == 667));
    }
}
