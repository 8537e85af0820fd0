//! What an operator does: cancel a job, try it again, pause a queue.

use serde::Serialize;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::Error;
use crate::inspect::{self, JobState};

/// Workers hear of cancellations here.
pub(crate) const CANCEL_CHANNEL: &str = "queue_cancel";

/// What came of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It had not started and never will.
    Now,
    /// It runs, and has been asked to stop.
    Asked,
    /// It had ended before.
    AlreadyEnded,
    NoSuchJob,
}

/// What came of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// It is ready again, with its kind's number of attempts.
    Now,
    /// Only what has ended without being done can be tried again.
    Not(JobState),
    /// Its key is held by this other job.
    KeyTaken(Uuid),
    NoSuchJob,
}

/// Stops a job. `by` is kept in its history.
pub async fn cancel(pool: &PgPool, job: Uuid, by: &str) -> Result<Cancelled, Error> {
    let result = sqlx::query_scalar!(
        r#"-- queue.cancel
        SELECT queue.cancel($1, $2) AS "result!""#,
        job,
        by
    )
    .fetch_one(pool)
    .await?;
    Ok(match result.as_str() {
        "now" => Cancelled::Now,
        "asked" => Cancelled::Asked,
        "already_ended" => Cancelled::AlreadyEnded,
        _ => Cancelled::NoSuchJob,
    })
}

/// Makes a dead, discarded or cancelled job ready again. `by` is kept in its history.
pub async fn retry(pool: &PgPool, job: Uuid, by: &str) -> Result<Retried, Error> {
    let retried = sqlx::query!(
        r#"-- queue.retry
        SELECT result AS "result!", held_by, state FROM queue.retry($1, $2)"#,
        job,
        by
    )
    .fetch_one(pool)
    .await?;
    Ok(match (retried.result.as_str(), retried.held_by, retried.state) {
        ("now", _, _) => Retried::Now,
        ("key_taken", Some(holder), _) => Retried::KeyTaken(holder),
        ("not", _, Some(state)) => Retried::Not(inspect::parse(&state)?),
        _ => Retried::NoSuchJob,
    })
}

/// No job of the queue starts until it is resumed; those that run go on.
pub async fn pause(executor: impl PgExecutor<'_>, queue: &str) -> Result<(), Error> {
    sqlx::query!("-- queue.pause\nSELECT queue.pause($1)", queue)
        .fetch_one(executor)
        .await
        .map_err(Error::from_rule)?;
    Ok(())
}

/// Ended jobs of the queue stay readable for so many days; none: as long as those of most queues.
pub async fn keep(pool: &PgPool, queue: &str, days: Option<i16>) -> Result<(), Error> {
    sqlx::query!("-- queue.keep\nSELECT queue.keep($1, $2)", queue, days.map(i32::from))
        .fetch_one(pool)
        .await
        .map_err(Error::from_rule)?;
    Ok(())
}

/// Lets jobs of a paused queue start again.
pub async fn resume(executor: impl PgExecutor<'_>, queue: &str) -> Result<(), Error> {
    sqlx::query!("-- queue.resume\nSELECT queue.resume($1)", queue).fetch_one(executor).await?;
    Ok(())
}
