//! The queue's statements as functions: every transition of a job is one of these.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::PgTransaction;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::Error;
use crate::operate::CANCEL_CHANNEL;
use crate::push::{MAX_ARGS_BYTES, Push};

/// Jobs on their way in, a column each.
#[derive(Default)]
pub(crate) struct PushRows {
    pub ids: Vec<Uuid>,
    kinds: Vec<String>,
    queues: Vec<String>,
    args: Vec<Json<Box<RawValue>>>,
    priorities: Vec<i16>,
    max_attempts: Vec<i16>,
    run_ats: Vec<Option<DateTime<Utc>>>,
    delays: Vec<Option<f64>>,
    owners: Vec<Option<Uuid>>,
    traces: Vec<Option<String>>,
}

impl PushRows {
    pub fn add(&mut self, push: Push, trace: Option<&str>) -> Result<(), Error> {
        let queue = push.queue().to_owned();
        let args = push.args.map_err(Error::BadArgs)?;
        if args.len() > MAX_ARGS_BYTES {
            return Err(Error::TooLarge { bytes: args.len(), limit: MAX_ARGS_BYTES });
        }
        let args = RawValue::from_string(args).map_err(|e| Error::BadArgs(e.to_string()))?;
        // Made here and not in the database, so that a caller knows the id whatever happens to the
        // connection. A clock that is off only puts the job into a neighbouring day.
        self.ids.push(Uuid::now_v7());
        self.kinds.push(push.kind.into_owned());
        self.queues.push(queue);
        self.args.push(Json(args));
        self.priorities.push(push.priority);
        self.max_attempts.push(push.max_attempts);
        self.run_ats.push(push.run_at);
        self.delays.push(push.delay.map(|delay| delay.as_secs_f64()));
        self.owners.push(push.owner);
        self.traces.push(trace.map(str::to_owned));
        Ok(())
    }
}

pub(crate) async fn push(executor: impl PgExecutor<'_>, rows: &PushRows) -> Result<(), Error> {
    sqlx::query_file!(
        "sql/push.sql",
        &rows.ids,
        &rows.kinds,
        &rows.queues,
        &rows.args as _,
        &rows.priorities,
        &rows.max_attempts,
        &rows.run_ats as _,
        &rows.delays as _,
        &rows.owners as _,
        &rows.traces as _,
    )
    .execute(executor)
    .await
    .map_err(Error::from_push)?;
    Ok(())
}

/// A job under a lease, ready to run.
#[derive(Debug)]
pub(crate) struct Leased {
    pub token: i64,
    pub id: Uuid,
    pub kind: String,
    pub queue: String,
    pub priority: i16,
    pub attempt: i16,
    pub max_attempts: i16,
    pub args: Json<Box<RawValue>>,
    pub trace: Option<String>,
    /// Somebody asked it to stop between two attempts.
    pub cancelled: bool,
}

/// How many jobs of which queue a worker could start.
#[derive(Default)]
pub(crate) struct Wanted {
    pub queues: Vec<String>,
    pub free: Vec<i32>,
}

pub(crate) async fn claim(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    wanted: &Wanted,
    worker: &str,
    lease_seconds: f64,
) -> sqlx::Result<Vec<Leased>> {
    sqlx::query_file_as!(
        Leased,
        "sql/claim.sql",
        now,
        &wanted.queues,
        &wanted.free,
        worker,
        lease_seconds
    )
    .fetch_all(executor)
    .await
}

/// Ended attempts on their way into history, a column each.
#[derive(Default)]
pub(crate) struct Endings {
    pub tokens: Vec<i64>,
    pub jobs: Vec<Uuid>,
    pub queues: Vec<String>,
    pub priorities: Vec<i16>,
    pub attempts: Vec<i16>,
    pub max_attempts: Vec<i16>,
    pub outcomes: Vec<String>,
    pub errors: Vec<Option<String>>,
    pub ran_seconds: Vec<f64>,
    pub again_seconds: Vec<Option<f64>>,
    /// Leases whose jobs have all ended.
    pub closed: Vec<i64>,
}

/// A lease that was still there, and how many of the endings it let through.
pub(crate) struct Accepted {
    pub token: i64,
    pub recorded: i64,
}

pub(crate) async fn finish(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    endings: &Endings,
) -> sqlx::Result<Vec<Accepted>> {
    sqlx::query_file_as!(
        Accepted,
        "sql/finish.sql",
        now,
        &endings.tokens,
        &endings.jobs,
        &endings.queues,
        &endings.priorities,
        &endings.attempts,
        &endings.max_attempts,
        &endings.outcomes,
        &endings.errors as _,
        &endings.ran_seconds,
        &endings.again_seconds as _,
        &endings.closed,
    )
    .fetch_all(executor)
    .await
}

/// Extends leases; answers those that are still there.
pub(crate) async fn renew(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    tokens: &[i64],
    lease_seconds: f64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_file_scalar!("sql/renew.sql", now, tokens, lease_seconds).fetch_all(pool).await
}

/// Which of these running jobs somebody asked to stop.
pub(crate) async fn cancellations(pool: &PgPool, jobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- queue.cancellations
        SELECT job FROM queue.cancellations WHERE job = ANY ($1)",
        jobs
    )
    .fetch_all(pool)
    .await
}

/// Moves due jobs to the ready list; answers how many.
pub(crate) async fn promote(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<i64> {
    Ok(sqlx::query_file!("sql/promote.sql", now, limit).fetch_one(pool).await?.moved)
}

/// What a rescue found.
#[derive(Default)]
pub(crate) struct Rescued {
    pub leases: usize,
    /// Jobs of these leases that had not ended.
    pub jobs: i64,
}

/// Starts again what dead workers left behind, unless the database itself started less than
/// `grace_seconds` ago.
pub(crate) async fn rescue(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    limit: i64,
    grace_seconds: f64,
) -> sqlx::Result<Rescued> {
    let mut tx = pool.begin().await?;
    let expired = sqlx::query_file_scalar!("sql/expired.sql", now, limit, grace_seconds)
        .fetch_all(&mut *tx)
        .await?;
    if expired.is_empty() {
        return Ok(Rescued::default());
    }
    let jobs = sqlx::query_file!("sql/rescue.sql", now, &expired).fetch_one(&mut *tx).await?.lost;
    tx.commit().await?;
    Ok(Rescued { leases: expired.len(), jobs })
}

/// Takes a job that has not started out of its list; answers whether it was there.
pub(crate) async fn unqueue(pool: &PgPool, job: Uuid, by: &str) -> sqlx::Result<bool> {
    let taken = sqlx::query_file!("sql/unqueue.sql", job, by).execute(pool).await?;
    Ok(taken.rows_affected() == 1)
}

/// Leaves word for the worker that runs it, and calls out to it.
pub(crate) async fn ask_to_stop(pool: &PgPool, job: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- queue.ask_to_stop
        WITH asked AS (
            INSERT INTO queue.cancellations (job) VALUES ($1) ON CONFLICT DO NOTHING
        )
        SELECT pg_notify($2, $1::text)",
        job,
        CANCEL_CHANNEL
    )
    .fetch_one(pool)
    .await?;
    Ok(())
}

/// Keeps other operators from the job until `tx` ends; answers whether there is such a job.
pub(crate) async fn lock_job(tx: &mut PgTransaction<'_>, job: Uuid) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "-- queue.lock_job
        SELECT id FROM queue.jobs WHERE id = $1 FOR UPDATE",
        job
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// `attempt` is the last one it had.
pub(crate) async fn retry(
    tx: &mut PgTransaction<'_>,
    job: Uuid,
    by: &str,
    attempt: i16,
) -> sqlx::Result<()> {
    sqlx::query_file!("sql/retry.sql", job, by, attempt).fetch_one(&mut **tx).await?;
    Ok(())
}
