//! What an operator does to one job: cancel it, or try it again.

use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::inspect::{self, JobState};
use crate::{Error, store};

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
    NoSuchJob,
}

/// Stops a job. `by` is kept in its history.
pub async fn cancel(pool: &PgPool, job: Uuid, by: &str) -> Result<Cancelled, Error> {
    if store::unqueue(pool, job, by).await? {
        return Ok(Cancelled::Now);
    }
    let Some(view) = inspect::job(pool, job).await? else { return Ok(Cancelled::NoSuchJob) };
    match view.state {
        JobState::Running | JobState::Ready | JobState::Scheduled => {
            store::ask_to_stop(pool, job).await?;
            // It may have gone back to a list between the two statements.
            let now = store::unqueue(pool, job, by).await?;
            Ok(if now { Cancelled::Now } else { Cancelled::Asked })
        }
        _ => Ok(Cancelled::AlreadyEnded),
    }
}

/// Makes a dead, discarded or cancelled job ready again. `by` is kept in its history.
pub async fn retry(pool: &PgPool, job: Uuid, by: &str) -> Result<Retried, Error> {
    let mut tx = pool.begin().await?;
    // Two operators at once: the second finds what the first has done.
    if !store::lock_job(&mut tx, job).await? {
        return Ok(Retried::NoSuchJob);
    }
    let Some(view) = inspect::job(&mut *tx, job).await? else { return Ok(Retried::NoSuchJob) };
    if !matches!(view.state, JobState::Dead | JobState::Discarded | JobState::Cancelled) {
        return Ok(Retried::Not(view.state));
    }
    store::retry(&mut tx, job, by, view.attempt).await?;
    tx.commit().await?;
    Ok(Retried::Now)
}
