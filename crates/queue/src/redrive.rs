//! Dead jobs by the crowd: what they died of, and trying them again.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::{Error, MAX_DELAY};

/// Which dead jobs: all, or those that fit. What somebody discarded or cancelled is not among them.
#[derive(Clone, Debug, Default)]
pub struct Dead {
    pub queue: Option<String>,
    pub kind: Option<String>,
    /// `exhausted`, `permanent`, `poison` or `lost`.
    pub cause: Option<String>,
    pub fingerprint: Option<String>,
    pub ended_from: Option<DateTime<Utc>>,
    /// Before this time.
    pub ended_until: Option<DateTime<Utc>>,
}

/// Dead jobs that died of the same.
#[derive(Clone, Debug, Serialize)]
pub struct DeadGroup {
    pub kind: String,
    pub cause: String,
    pub fingerprint: String,
    pub jobs: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    /// The youngest of them, and its error.
    pub example: Uuid,
    pub error: Option<String>,
}

/// What to try again, and how fast.
#[derive(Clone, Debug)]
pub struct Redrive {
    pub which: Dead,
    /// At most so many, oldest first.
    pub limit: u32,
    /// Spreads their starts over time, at a rate within [`RATES`]; otherwise all may start at once.
    pub per_second: Option<f64>,
}

/// What came of a redrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    pub retried: u64,
    /// Left dead, because another job holds their key.
    pub key_taken: u64,
}

/// How many jobs a second a redrive may let start.
pub const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Groups that are shown; those with most jobs come first.
pub const MAX_DEAD_GROUPS: usize = 200;
/// Jobs in one transaction: its locks hold up other operators, and nobody else.
const BATCH: u32 = 500;

/// What the jobs that fit died of: at most [`MAX_DEAD_GROUPS`].
pub async fn dead(executor: impl PgExecutor<'_>, which: &Dead) -> Result<Vec<DeadGroup>, Error> {
    let groups = sqlx::query_file_as!(
        DeadGroup,
        "sql/dead.sql",
        which.queue.as_deref(),
        which.kind.as_deref(),
        which.cause.as_deref(),
        which.fingerprint.as_deref(),
        which.ended_from,
        which.ended_until,
        MAX_DEAD_GROUPS as i64,
    );
    Ok(groups.fetch_all(executor).await?)
}

/// Makes dead jobs ready again, batch by batch; what is retried when it breaks off stays retried.
/// `by` is kept in their histories.
pub async fn redrive(pool: &PgPool, redrive: &Redrive, by: &str) -> Result<Redriven, Error> {
    if let Some(rate) = redrive.per_second.filter(|rate| !RATES.contains(rate)) {
        return Err(Error::BadRate(rate));
    }
    let (started, mut done) = (Instant::now(), Redriven::default());
    let mut after: Option<Uuid> = None;
    // It ends: each batch begins behind the one before, and the list does.
    while done.retried < u64::from(redrive.limit) {
        let left = u64::from(redrive.limit) - done.retried;
        let delay = redrive.per_second.map_or(0.0, |rate| done.retried as f64 / rate);
        // What the spread gave the batches before, less the time they took.
        let delay = (delay - started.elapsed().as_secs_f64()).clamp(0.0, MAX_DELAY.as_secs_f64());
        let batch = sqlx::query!(
            r#"-- queue.redrive
            SELECT retried AS "retried!", key_taken AS "key_taken!", last_job
            FROM queue.redrive(
                queue => $1, kind => $2, cause => $3, fingerprint => $4, ended_from => $5, ended_until => $6,
                max_jobs => $7, per_second => $8, delay => $9, after => $10, decided_by => $11
            )"#,
            redrive.which.queue.as_deref(),
            redrive.which.kind.as_deref(),
            redrive.which.cause.as_deref(),
            redrive.which.fingerprint.as_deref(),
            redrive.which.ended_from,
            redrive.which.ended_until,
            left.min(u64::from(BATCH)) as i32,
            redrive.per_second,
            interval(delay),
            after.as_ref(),
            by,
        )
        .fetch_one(pool)
        .await?;
        done.retried += batch.retried.unsigned_abs();
        done.key_taken += batch.key_taken.unsigned_abs();
        after = batch.last_job;
        if after.is_none() {
            break;
        }
    }
    Ok(done)
}

fn interval(seconds: f64) -> PgInterval {
    let microseconds = Duration::from_secs_f64(seconds).as_micros() as i64;
    PgInterval { months: 0, days: 0, microseconds }
}
