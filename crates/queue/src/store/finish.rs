//! Attempts that have ended.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use super::Leased;

/// Ended attempts on their way into history, a column each. What only few of them need has columns
/// of its own, with an entry for these few.
#[derive(Default)]
pub(crate) struct Endings {
    pub tokens: Vec<i64>,
    pub jobs: Vec<Uuid>,
    pub attempts: Vec<i16>,
    pub outcomes: Vec<&'static str>,
    pub notes: Vec<Option<String>>,
    pub ran_seconds: Vec<f64>,
    /// Leases whose jobs have all ended.
    pub closed: Vec<i64>,
    /// Some of it may be recorded already.
    pub repeated: bool,
    pub again: Again,
    /// Those that have ended for good and hold a key.
    pub keyed: Few,
    /// Those that were asked to stop.
    pub stopped: Few,
    pub buried: Buried,
    pub outputs: Outputs,
    pub passing: Passing,
    /// Those that have ended for good and are part of a workflow.
    pub members: Vec<Uuid>,
}

/// Some of the attempts: job and token.
#[derive(Default)]
pub(crate) struct Few {
    pub jobs: Vec<Uuid>,
    pub tokens: Vec<i64>,
}

impl Few {
    pub fn add(&mut self, leased: &Leased) {
        self.jobs.push(leased.id);
        self.tokens.push(leased.token);
    }
}

/// Jobs that run again.
#[derive(Default)]
pub(crate) struct Again {
    pub which: Few,
    pub queues: Vec<String>,
    pub priorities: Vec<i16>,
    /// The next one.
    pub attempts: Vec<i16>,
    pub max_attempts: Vec<i16>,
    pub seconds: Vec<f64>,
    /// Empty: it has none.
    pub keys: Vec<String>,
    pub tenants: Vec<String>,
}

/// Jobs that give up their places among those with their keys.
#[derive(Default)]
pub(crate) struct Passing {
    pub which: Few,
    pub keys: Vec<String>,
}

/// Jobs that have ended without being done.
#[derive(Default)]
pub(crate) struct Buried {
    pub which: Few,
    pub kinds: Vec<String>,
    pub queues: Vec<String>,
    pub causes: Vec<&'static str>,
    pub fingerprints: Vec<String>,
}

/// What jobs that are done have to say.
#[derive(Default)]
pub(crate) struct Outputs {
    pub which: Few,
    pub outputs: Vec<Json<Box<RawValue>>>,
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
    let Endings { again, keyed, stopped, buried, outputs, passing, members, .. } = endings;
    let rows = sqlx::query_file!(
        "sql/finish.sql",
        now,
        &endings.tokens,
        &endings.jobs,
        &endings.attempts,
        &endings.outcomes as _,
        &endings.notes as _,
        &endings.ran_seconds,
        &endings.closed,
        endings.repeated,
        &again.which.jobs,
        &again.which.tokens,
        &again.queues,
        &again.priorities,
        &again.attempts,
        &again.max_attempts,
        &again.seconds,
        &keyed.jobs,
        &keyed.tokens,
        &stopped.jobs,
        &stopped.tokens,
        &buried.which.jobs,
        &buried.which.tokens,
        &buried.kinds,
        &buried.queues,
        &buried.causes as _,
        &buried.fingerprints,
        &outputs.which.jobs,
        &outputs.which.tokens,
        &outputs.outputs as _,
        &again.keys,
        &again.tenants,
        &passing.which.jobs,
        &passing.which.tokens,
        &passing.keys,
        members,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Accepted { token: row.token, recorded: row.recorded }).collect())
}
