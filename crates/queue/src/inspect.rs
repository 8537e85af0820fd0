//! Read-only views for API and CLI.

mod notes;
mod rules;
mod workflow;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
pub use notes::{
    CostView, LogLine, ProgressView, Spending, StepView, costs, logs, spending, steps,
};
pub use rules::{LimitView, ShareView, Why, limits, shares, why};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;
pub use workflow::{MAX_NEEDS, MAX_NODES, Need, NodeSort, NodeView, WorkflowView, workflow};

use crate::{Error, Rules, Trace};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Scheduled,
    Ready,
    /// It needs others to end first; or its turn has come, and others hold its key.
    Waiting,
    Running,
    Done,
    Discarded,
    Dead,
    Cancelled,
    /// It ended so long ago that its history has been dropped.
    Pruned,
}

/// One job with its history.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    pub id: Uuid,
    pub kind: String,
    pub queue: String,
    pub state: JobState,
    pub args: Value,
    pub priority: i16,
    /// The attempt that runs, that starts next, or that was the last.
    pub attempt: i16,
    pub max_attempts: i16,
    pub created_at: DateTime<Utc>,
    /// When it starts, if that is still to come.
    pub run_at: Option<DateTime<Utc>>,
    pub owner: Option<Uuid>,
    /// Of the jobs of its queue with this key, only so many run at a time.
    pub key: Option<String>,
    /// With whom it shares a place where tenants take turns; none: with the jobs of its owner.
    pub tenant: Option<String>,
    /// What it takes from a rate.
    pub weight: i16,
    pub trace_id: Option<String>,
    /// What it had to say when it was done.
    pub output: Option<Value>,
    /// None: no run has said how far it is.
    pub progress: Option<ProgressView>,
    /// Oldest first.
    pub runs: Vec<RunView>,
}

/// One ended attempt, or one decision of an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunView {
    pub attempt: i16,
    pub outcome: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub worker: String,
    pub error: Option<String>,
}

/// A line of a list.
#[derive(Clone, Debug, Serialize)]
pub struct JobLine {
    pub id: Uuid,
    pub kind: String,
    pub queue: String,
    pub state: JobState,
    pub attempt: i16,
    pub created_at: DateTime<Utc>,
    pub error: Option<String>,
}

/// Which jobs to list: all, or those that fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<JobState>,
    pub queue: Option<String>,
    pub kind: Option<String>,
    pub limit: u16,
}

/// How much a queue holds.
#[derive(Clone, Debug, Serialize)]
pub struct QueueView {
    pub name: String,
    pub paused: bool,
    /// Days that its ended jobs stay readable, where that was said for this queue.
    pub keep_days: Option<i16>,
    pub ready: i64,
    pub waiting: i64,
    pub scheduled: i64,
    pub running: i64,
    pub dead: i64,
    pub oldest_ready_seconds: Option<f64>,
    /// A job with a key has been pushed to it.
    pub keyed: bool,
    pub rules: Rules,
}

impl QueueView {
    pub fn empty(name: &str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            paused: false,
            keep_days: None,
            ready: 0,
            waiting: 0,
            scheduled: 0,
            running: 0,
            dead: 0,
            oldest_ready_seconds: None,
            keyed: false,
            rules: Rules::default(),
        }
    }
}

/// Runs of one job that are shown; a job that snoozes for months has more.
const MAX_RUNS: i64 = 200;

pub async fn job(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<JobView>, Error> {
    let Some(row) =
        sqlx::query_file!("sql/state.sql", id, MAX_RUNS).fetch_optional(executor).await?
    else {
        return Ok(None);
    };
    Ok(Some(JobView {
        id: row.id,
        kind: row.kind,
        queue: row.queue,
        state: parse(&row.state)?,
        args: row.args,
        priority: row.priority,
        attempt: row.attempt,
        max_attempts: row.max_attempts,
        created_at: row.created_at,
        run_at: row.run_at,
        owner: row.owner,
        key: row.key,
        tenant: row.tenant,
        weight: row.weight,
        trace_id: row.trace.as_deref().and_then(Trace::parse).map(|trace| trace.id()),
        output: row.output,
        progress: row.progress.map(|progress| progress.0),
        runs: row.runs.0,
    }))
}

/// The newest jobs that fit, newest first.
pub async fn jobs(executor: impl PgExecutor<'_>, filter: &Filter) -> Result<Vec<JobLine>, Error> {
    let (queue, kind) = (filter.queue.as_deref(), filter.kind.as_deref());
    let (state, limit) = (filter.state.map(JobState::name), i64::from(filter.limit));
    let rows = match filter.state {
        None | Some(JobState::Done | JobState::Pruned) => {
            sqlx::query_file_as!(ListRow, "sql/list.sql", state, queue, kind, limit)
                .fetch_all(executor)
                .await?
        }
        // Walking all jobs for a few would take seconds.
        Some(_) => {
            sqlx::query_file_as!(ListRow, "sql/list_rare.sql", state, queue, kind, limit)
                .fetch_all(executor)
                .await?
        }
    };
    let lines = rows.into_iter().map(|row| {
        Ok(JobLine {
            id: row.id,
            kind: row.kind,
            queue: row.queue,
            state: parse(&row.state)?,
            attempt: row.attempt,
            created_at: row.created_at,
            error: row.error,
        })
    });
    lines.collect()
}

struct ListRow {
    id: Uuid,
    kind: String,
    queue: String,
    state: String,
    attempt: i16,
    created_at: DateTime<Utc>,
    error: Option<String>,
}

/// Queues that hold anything, or of which an operator has said something.
pub async fn queues(executor: impl PgExecutor<'_>) -> Result<Vec<QueueView>, Error> {
    Ok(sqlx::query_file_as!(QueueView, "sql/queues.sql").fetch_all(executor).await?)
}

impl JobState {
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Ready,
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Discarded,
        Self::Dead,
        Self::Cancelled,
        Self::Pruned,
    ];

    /// Only an operator can make it go on.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Discarded | Self::Dead | Self::Cancelled | Self::Pruned)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Discarded => "discarded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Pruned => "pruned",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is no state; there are {known}")
        })
    }
}

pub(crate) fn parse(state: &str) -> Result<JobState, Error> {
    state.parse().map_err(|reason: String| Error::Database(sqlx::Error::Decode(reason.into())))
}
