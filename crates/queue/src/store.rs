//! The queue's statements as functions: every transition of a job is one of these.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::push::{Held, Hold, MAX_ARGS_BYTES, Placed, Push, Pushed, Unique};
use crate::{Error, Kinds};

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
    uniques: Vec<Option<Unique>>,
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
        self.uniques.push(push.unique);
        Ok(())
    }

    pub fn has_keys(&self) -> bool {
        self.uniques.iter().any(Option::is_some)
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

/// Like [`push`], for a batch in which some jobs have keys.
pub(crate) async fn push_unique(
    executor: impl PgExecutor<'_>,
    rows: &PushRows,
) -> Result<Vec<Pushed>, Error> {
    let (mut keys, mut by_args) = (Vec::new(), Vec::new());
    let (mut while_kept, mut periods) = (Vec::new(), Vec::new());
    for unique in &rows.uniques {
        let hold = unique.as_ref().map(|unique| unique.hold);
        keys.push(unique.as_ref().and_then(|unique| unique.key.clone()));
        by_args.push(unique.as_ref().is_some_and(|unique| unique.key.is_none()));
        while_kept.push(matches!(hold, Some(Hold::WhileKept)));
        periods.push(match hold {
            Some(Hold::Within(period)) => Some(period.as_secs_f64()),
            _ => None,
        });
    }
    let placed = sqlx::query_file!(
        "sql/push_unique.sql",
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
        &keys as _,
        &by_args,
        &while_kept,
        &periods as _,
    )
    .fetch_all(executor)
    .await
    .map_err(Error::from_push)?;
    let pushed = placed.into_iter().zip(&rows.ids).map(|(row, id)| {
        let held = match row.until {
            Some(until) => Held::Until(until),
            None if row.until_ended => Held::UntilEnded,
            None => Held::WhileKept,
        };
        let placed = if row.job == *id { Placed::New } else { Placed::Duplicate(held) };
        Pushed { id: row.job, placed }
    });
    Ok(pushed.collect())
}

/// Tells those who push by SQL which kinds there are. What other fleets have declared stays.
pub(crate) async fn declare_kinds(pool: &PgPool, kinds: &Kinds) -> sqlx::Result<()> {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name.to_owned()).collect();
    let queues: Vec<_> = kinds.iter().map(|kind| kind.queue.to_owned()).collect();
    let max_attempts: Vec<_> = kinds.iter().map(|kind| kind.max_attempts).collect();
    sqlx::query!(
        "-- queue.declare_kinds
        INSERT INTO queue.kinds AS k (kind, queue, max_attempts)
        SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[])
        ON CONFLICT (kind) DO UPDATE
        SET queue = excluded.queue, max_attempts = excluded.max_attempts
        WHERE (k.queue, k.max_attempts) IS DISTINCT FROM (excluded.queue, excluded.max_attempts)",
        &names,
        &queues,
        &max_attempts,
    )
    .execute(pool)
    .await?;
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
    pub owner: Option<Uuid>,
    pub trace: Option<String>,
    /// It holds a key that is freed when it has ended.
    pub keyed: bool,
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
    /// Those of the jobs that have ended for good and hold a key.
    pub keyed: Vec<Uuid>,
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
        &endings.keyed,
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
