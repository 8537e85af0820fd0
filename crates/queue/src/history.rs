//! Days of jobs and runs: made ahead, dropped when their time is over.

mod jobs;
mod queues;
mod workflows;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgQueryResult;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

use self::jobs::Place;
use self::queues::Horizons;
use crate::{Clock, Error};

/// What a round of dropping took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub days_of_runs: usize,
    pub days_of_jobs: usize,
    /// Single rows: of queues that are kept shorter than others, from the fail-safe partitions, the list of ticks, what runs said, and what nothing needs any more.
    pub rows: u64,
}

/// Days that always exist ahead of time; a worker makes them every hour.
const DAYS_AHEAD: i32 = 7;
/// Rows deleted in one statement.
const MAX_DELETE: i64 = 10_000;
/// A drop waits this long for pushes and claims to let it in, and they wait behind it. Shorter than the
/// second after which Postgres looks for deadlocks, so that whoever met it need not be the one to give up.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '900ms'";

/// Makes the days that are missing, each in a transaction of its own; answers how many.
pub async fn make_days(pool: &PgPool, clock: &Clock) -> Result<usize, Error> {
    let missing = sqlx::query!(
        r#"-- queue.missing_days
        SELECT parent AS "parent!", day AS "day!"
        FROM queue.missing_days($1, coalesce($2, now()))"#,
        DAYS_AHEAD,
        clock.for_database(),
    )
    .fetch_all(pool)
    .await?;
    let mut made = 0;
    for day in missing {
        let new = sqlx::query_scalar!(
            r#"-- queue.make_day
            SELECT queue.make_day($1, $2) AS "new!""#,
            day.parent,
            day.day,
        )
        .fetch_one(pool)
        .await?;
        made += usize::from(new);
    }
    Ok(made)
}

/// Drops history that is older than `retention`, or than what its queue is kept for: first runs, then
/// jobs that nothing refers to.
///
/// A day of runs stays until the last of them is old enough.
/// A day of jobs stays as long as one of them is waiting, running or has history; one straggler
/// keeps its day. Where queues are kept for different times, what is old goes out of a day that stays.
pub async fn drop_older(
    pool: &PgPool,
    clock: &Clock,
    retention: Duration,
) -> Result<Dropped, Error> {
    let horizons = Horizons::read(pool, clock.for_database(), retention.as_secs_f64()).await?;
    let Horizons { longest, shortest, .. } = horizons;
    let mut dropped = Dropped::default();
    for day in days(pool, "runs", shortest).await? {
        let mut horizon = longest;
        let mut is_over = day.end <= longest && !has_run_since(pool, &day, horizon).await?;
        if !is_over && !horizons.are_one() {
            dropped.rows += queues::delete_runs(pool, &day, &horizons).await?;
            horizon = DateTime::UNIX_EPOCH;
            is_over = !has_run_since(pool, &day, horizon).await?;
        }
        if is_over && drop_day(pool, &day, Unless::RunSince(horizon)).await? {
            dropped.days_of_runs += 1;
        }
    }
    dropped.rows += delete_runs(pool, longest).await?;
    for day in days(pool, "jobs", shortest).await? {
        if !is_referred_to(pool, &day).await? {
            let is_gone = drop_day(pool, &day, Unless::ReferredTo).await?;
            dropped.days_of_jobs += usize::from(is_gone);
        } else if !horizons.are_one() {
            dropped.rows += jobs::delete(pool, Place::Day(&day)).await?;
        }
    }
    dropped.rows += jobs::delete(pool, Place::NoDay(longest)).await?;
    dropped.rows += delete_ticks(pool, horizons.general).await?;
    dropped.rows += delete_cancellations(pool).await?;
    dropped.rows += delete_keys(pool).await?;
    dropped.rows += delete_buckets(pool, clock).await?;
    // Before what they leave behind: payloads of signals stay as long as their workflow.
    dropped.rows += workflows::delete(pool, shortest).await?;
    dropped.rows += delete_orphans(pool, shortest).await?;
    Ok(dropped)
}

/// A partition that holds one day.
struct Day {
    table: String,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Day {
    const LENGTH: Duration = Duration::from_secs(24 * 3600);

    /// Only names that `queue.make_day` gives are days: nothing else is ever dropped.
    fn parse(parent: &str, table: String) -> Option<Self> {
        let label = table.strip_prefix(parent)?.strip_prefix('_')?;
        let date = NaiveDate::parse_from_str(label, "%Y%m%d").ok().filter(|_| label.len() == 8)?;
        let start = date.and_time(chrono::NaiveTime::MIN).and_utc();
        Some(Self { table, start, end: start + Self::LENGTH })
    }
}

async fn days(pool: &PgPool, parent: &str, horizon: DateTime<Utc>) -> sqlx::Result<Vec<Day>> {
    let tables = sqlx::query_scalar!(
        r#"-- queue.days
        SELECT c.relname::text AS "name!"
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = ('queue.' || $1)::regclass
        ORDER BY c.relname"#,
        parent
    )
    .fetch_all(pool)
    .await?;
    let days = tables.into_iter().filter_map(|table| Day::parse(parent, table));
    Ok(days.filter(|day| day.end <= horizon).collect())
}

/// What keeps a day.
enum Unless {
    RunSince(DateTime<Utc>),
    ReferredTo,
}

/// Drops a day that nobody wants any more, and asks once more when nobody can write to it: an operator may
/// just have tried one of its jobs again. Answers whether it is gone.
async fn drop_day(pool: &PgPool, day: &Day, unless: Unless) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
    // Against writers and those who lock rows, not against readers.
    let lock = format!("LOCK TABLE queue.\"{}\" IN EXCLUSIVE MODE", day.table);
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    let is_wanted = match unless {
        Unless::RunSince(horizon) => has_run_since(&mut *tx, day, horizon).await?,
        Unless::ReferredTo => is_referred_to(&mut *tx, day).await?,
    };
    if is_wanted {
        tx.rollback().await?;
        return Ok(false);
    }
    let drop = format!("DROP TABLE queue.\"{}\"", day.table);
    sqlx::query(AssertSqlSafe(drop)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// History lies with the day of its job, and a job may run long after it was pushed.
async fn has_run_since(
    executor: impl PgExecutor<'_>,
    day: &Day,
    horizon: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- queue.has_run_since
        SELECT EXISTS (
            SELECT FROM queue.runs
            WHERE job >= queue.first_id_at($1) AND job < queue.first_id_at($2) AND ended_at >= $3
        ) AS "has_run_since!""#,
        day.start,
        day.end,
        horizon,
    )
    .fetch_one(executor)
    .await
}

async fn is_referred_to(executor: impl PgExecutor<'_>, day: &Day) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- queue.is_referred_to
        WITH day AS (
            SELECT queue.first_id_at($1) AS first, queue.first_id_at($2) AS past
        )
        SELECT EXISTS (SELECT FROM queue.runs, day WHERE job >= first AND job < past)
            OR EXISTS (SELECT FROM queue.scheduled, day WHERE job >= first AND job < past)
            OR EXISTS (SELECT FROM queue.ready, day WHERE job >= first AND job < past)
            OR EXISTS (SELECT FROM queue.waiting, day WHERE job >= first AND job < past)
            OR EXISTS (SELECT FROM queue.blocked, day WHERE job >= first AND job < past)
            OR EXISTS (
                SELECT FROM day, queue.leases, unnest(jobs) AS u(job) WHERE job >= first AND job < past
            ) AS "is_referred_to!""#,
        day.start,
        day.end,
    )
    .fetch_one(executor)
    .await
}

/// Deletes a bounded batch after the other, until one is not full; answers how many rows.
async fn in_batches<F>(mut delete: impl FnMut() -> F) -> sqlx::Result<u64>
where
    F: Future<Output = sqlx::Result<PgQueryResult>>,
{
    let mut rows = 0;
    loop {
        let deleted = delete().await?.rows_affected();
        rows += deleted;
        if deleted < MAX_DELETE as u64 {
            return Ok(rows);
        }
    }
}

async fn delete_runs(pool: &PgPool, horizon: DateTime<Utc>) -> sqlx::Result<u64> {
    in_batches(|| {
        sqlx::query!(
            "-- queue.delete_runs
            DELETE FROM queue.runs_default
            WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM queue.runs_default WHERE ended_at < $1 LIMIT $2
            ))",
            horizon,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await
}

async fn delete_ticks(pool: &PgPool, horizon: DateTime<Utc>) -> sqlx::Result<u64> {
    in_batches(|| {
        sqlx::query!(
            "-- queue.delete_ticks
            DELETE FROM queue.ticks
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM queue.ticks WHERE tick_at < $1 LIMIT $2))",
            horizon,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await
}

/// Requests whose job ended before its worker heard of them.
async fn delete_cancellations(pool: &PgPool) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "-- queue.delete_cancellations
        DELETE FROM queue.cancellations c
        WHERE NOT EXISTS (SELECT FROM queue.leases WHERE c.job = ANY (jobs))
            AND NOT EXISTS (SELECT FROM queue.scheduled WHERE job = c.job)
            AND NOT EXISTS (SELECT FROM queue.ready WHERE job = c.job)
            AND NOT EXISTS (SELECT FROM queue.waiting WHERE job = c.job)
            AND NOT EXISTS (SELECT FROM queue.blocked WHERE job = c.job)"
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// Keys whose time is over, or whose job was dropped.
async fn delete_keys(pool: &PgPool) -> sqlx::Result<u64> {
    in_batches(|| {
        sqlx::query!(
            "-- queue.delete_keys
            DELETE FROM queue.unique_keys
            WHERE ctid = ANY (ARRAY(
                SELECT k.ctid FROM queue.unique_keys k
                WHERE k.until <= now() OR NOT EXISTS (SELECT FROM queue.jobs WHERE id = k.job)
                LIMIT $1
            ))",
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await
}

/// What keys have taken from their rates, once that is made up for, or when they have a rate no more.
async fn delete_buckets(pool: &PgPool, clock: &Clock) -> sqlx::Result<u64> {
    in_batches(|| {
        sqlx::query!(
            "-- queue.delete_buckets
            DELETE FROM queue.buckets
            WHERE ctid = ANY (ARRAY(
                SELECT b.ctid
                FROM queue.buckets b
                LEFT JOIN queue.queues q ON q.name = b.queue
                LEFT JOIN queue.limits l ON l.queue = b.queue AND l.key = b.key
                CROSS JOIN LATERAL (
                    SELECT coalesce(l.per_second, q.key_per_second) AS per_second, coalesce(l.burst, q.key_burst) AS burst
                ) r
                CROSS JOIN LATERAL (SELECT queue.default_burst(r.per_second, r.burst) AS holds) h
                WHERE r.per_second IS NULL
                    OR queue.tokens_at(coalesce($1, now()), b.tokens, b.filled_at, r.per_second, h.holds) >= h.holds
                LIMIT $2
            ))",
            clock.for_database(),
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await
}

/// What is left of jobs that were dropped. Ids tell the time: younger jobs are not looked at.
async fn delete_orphans(pool: &PgPool, horizon: DateTime<Utc>) -> sqlx::Result<u64> {
    const TABLES: [&str; 6] = ["dead_letters", "outputs", "steps", "progress", "logs", "costs"];
    let mut rows = 0;
    for table in TABLES {
        let statement = format!(
            "-- queue.delete_{table}
            DELETE FROM queue.{table}
            WHERE ctid = ANY (ARRAY(
                SELECT o.ctid
                FROM queue.{table} o
                WHERE o.job < queue.first_id_at($1)
                    AND NOT EXISTS (SELECT FROM queue.jobs j WHERE j.id = o.job)
                    AND NOT EXISTS (SELECT FROM queue.nodes n WHERE n.job = o.job AND n.sort <> 'job')
                LIMIT $2
            ))"
        );
        rows += in_batches(|| {
            let delete = sqlx::query(AssertSqlSafe(statement.as_str()));
            delete.bind(horizon).bind(MAX_DELETE).execute(pool)
        })
        .await?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_partitions_of_one_day_are_days() {
        assert!(Day::parse("runs", "runs_20250301".into()).is_some());
        for other in ["runs_default", "runs", "runs_2025030", "runs_202503011", "runs_20251399"] {
            assert!(Day::parse("runs", other.into()).is_none(), "{other}");
        }
    }
}
