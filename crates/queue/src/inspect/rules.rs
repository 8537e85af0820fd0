//! What operators have said of keys and tenants, and why a job does not run.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Error, Limit};

/// What one key of a queue may do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitView {
    pub key: String,
    #[serde(flatten)]
    pub limit: Limit,
}

/// How many jobs a tenant starts at its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareView {
    pub tenant: String,
    pub weight: i16,
}

/// One thing that keeps a job from running, or the state of a job that nothing keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// paused, scheduled, waits, key, key_rate, concurrency, rate, behind, no_worker; or ready, running, done,
    /// discarded, dead, cancelled, pruned.
    pub reason: String,
    /// The same for people.
    pub detail: Option<String>,
    /// Jobs that hold its key, or that it waits for; up to ten.
    pub jobs: Vec<Uuid>,
    /// When this stops keeping it, where that is known.
    pub until: Option<DateTime<Utc>>,
}

/// Limits and shares of a queue that are shown; there is one for each key or tenant that was told apart.
const MAX_SHOWN: i64 = 1000;

/// Everything that keeps a job from running. None: there is no such job.
pub async fn why(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Vec<Why>>, Error> {
    let reasons = sqlx::query_as!(
        Why,
        r#"-- queue.why
        SELECT reason AS "reason!", detail, coalesce(jobs, '{}') AS "jobs!", until FROM queue.why($1)"#,
        id
    )
    .fetch_all(executor)
    .await?;
    Ok((!reasons.is_empty()).then_some(reasons))
}

/// Keys of a queue that have limits of their own, in their order.
pub async fn limits(executor: impl PgExecutor<'_>, queue: &str) -> Result<Vec<LimitView>, Error> {
    let rows = sqlx::query!(
        "-- queue.limits
        SELECT key, concurrency, per_second, burst FROM queue.limits
        WHERE queue = $1 ORDER BY key LIMIT $2",
        queue,
        MAX_SHOWN
    )
    .fetch_all(executor)
    .await?;
    let view = rows.into_iter().map(|row| LimitView {
        key: row.key,
        limit: Limit { concurrency: row.concurrency, per_second: row.per_second, burst: row.burst },
    });
    Ok(view.collect())
}

/// Tenants of a queue that start other than one job at their turn, in their order.
pub async fn shares(executor: impl PgExecutor<'_>, queue: &str) -> Result<Vec<ShareView>, Error> {
    Ok(sqlx::query_as!(
        ShareView,
        "-- queue.shares
        SELECT tenant, weight FROM queue.shares WHERE queue = $1 ORDER BY tenant LIMIT $2",
        queue,
        MAX_SHOWN
    )
    .fetch_all(executor)
    .await?)
}
