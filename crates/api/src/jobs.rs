//! Pushes jobs and tells how they are doing.

use std::ops::RangeInclusive;

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Json, Path},
};
use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use context::Context;
use queue::{ATTEMPTS, Kinds, MAX_DELAY, NAME_CHARS, PRIORITIES, Push, Pusher, WEIGHTS, inspect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Parts,
    body::Body,
    error::{ApiError, Problem},
};

/// A job to push.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// What to do: one of `GET /v1/kinds`.
    #[schema(example = "maintenance.drop_history")]
    kind: String,
    /// Arguments of the kind.
    #[schema(value_type = Object)]
    args: Value,
    /// Lower starts sooner; 0 is normal.
    #[schema(minimum = -100, maximum = 100, default = 0)]
    priority: Option<i16>,
    /// Not before this time, at most ten years ahead. A time that has passed means at once.
    run_at: Option<DateTime<Utc>>,
    /// Attempts after which a failure is final; the kind has its own number.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<i16>,
    /// Of the jobs of its queue with one key, only so many run at a time: one, in order, unless the rules of
    /// the queue say otherwise.
    #[schema(min_length = 1, max_length = 255)]
    key: Option<String>,
    /// With whom it shares a place where tenants take turns.
    #[schema(min_length = 1, max_length = 255)]
    tenant: Option<String>,
    /// What it takes from the rate of its queue or key.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    weight: Option<i16>,
}

/// A job that was stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewJobId {
    id: Uuid,
}

/// Push a job.
///
/// It is stored when the answer is 202, and runs as soon as a worker is free.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs", operation_id = "push_job",
    request_body = NewJob,
    security(("key" = ["jobs.enqueue"])),
    responses(
        (status = 202, description = "The job is stored.", body = NewJobId,
            headers(("Location" = String, description = "Where to follow it."))),
        (status = 400, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body or the arguments are too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, the kind unknown, or its arguments do not decode.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The queue is full. Try again after `Retry-After` seconds.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn push(
    cx: Data<Context>,
    parts: Data<Parts>,
    pusher: Data<Pusher>,
    job: Body<NewJob>,
) -> Result<HttpResponse, ApiError> {
    let push = prepare(job.0, &parts.kinds, cx.clock.now())?;
    let id = pusher.push(push).await?.id;
    let location = format!("/v1/jobs/{id}");
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(NewJobId { id }))
}

/// A job, and what has happened to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    id: Uuid,
    kind: String,
    queue: String,
    state: State,
    #[schema(value_type = Object)]
    args: Value,
    priority: i16,
    /// The attempt that runs, starts next or was the last.
    attempt: i16,
    max_attempts: i16,
    created_at: DateTime<Utc>,
    /// When it starts, while it is scheduled.
    #[schema(required)]
    run_at: Option<DateTime<Utc>>,
    /// The user for whom it runs.
    #[schema(required)]
    owner: Option<Uuid>,
    /// Of the jobs of its queue with this key, only so many run at a time.
    #[schema(required)]
    key: Option<String>,
    /// With whom it shares a place where tenants take turns; null: with the jobs of its owner.
    #[schema(required)]
    tenant: Option<String>,
    /// What it takes from the rate of its queue or key.
    weight: i16,
    /// Finds the request that pushed it in logs and traces.
    #[schema(required)]
    trace_id: Option<String>,
    /// Attempts that have ended and decisions of operators, oldest first; the latest 200.
    runs: Vec<Run>,
}

/// One attempt that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    attempt: i16,
    outcome: String,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    worker: String,
    #[schema(required)]
    error: Option<String>,
}

/// Look at a job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", operation_id = "get_job",
    params(("id" = Uuid, Path, description = "As `POST /v1/jobs` answered it.")),
    security(("key" = ["jobs.view"])),
    responses(
        (status = 200, description = "The job.", body = Job),
        (status = 400, description = "That is no id.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such job, or its history has been dropped.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn show(cx: Data<Context>, id: Path<Uuid>) -> Result<Json<Job>, ApiError> {
    let job = inspect::job(&cx.pool, *id).await.context("look up job")?;
    Ok(Json(job.ok_or(ApiError::NotFound("job"))?.into()))
}

/// One thing that keeps a job from running, or the state of a job that nothing keeps.
#[derive(Debug, Serialize, ToSchema)]
pub struct Why {
    /// paused, scheduled, waits, key, key_rate, concurrency, rate, behind or no_worker; or ready, running, done,
    /// discarded, dead, cancelled or pruned.
    #[schema(example = "key")]
    reason: String,
    /// The same for people.
    #[schema(required)]
    detail: Option<String>,
    /// Jobs that hold its key, or that it waits for; up to ten.
    jobs: Vec<Uuid>,
    /// When this stops keeping it, where that is known.
    #[schema(required)]
    until: Option<DateTime<Utc>>,
}

/// Ask why a job does not run.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/why", tag = "jobs", operation_id = "get_why",
    params(("id" = Uuid, Path, description = "As `POST /v1/jobs` answered it.")),
    security(("key" = ["jobs.view"])),
    responses(
        (status = 200, description = "Everything that is in its way.", body = Vec<Why>),
        (status = 400, description = "That is no id.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such job, or its history has been dropped.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn why(cx: Data<Context>, id: Path<Uuid>) -> Result<Json<Vec<Why>>, ApiError> {
    let reasons = inspect::why(&cx.pool, *id).await.context("ask why")?;
    let reasons = reasons.ok_or(ApiError::NotFound("job"))?;
    Ok(Json(reasons.into_iter().map(Why::from).collect()))
}

/// A kind of job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kind {
    #[schema(example = "maintenance.drop_history")]
    name: &'static str,
    queue: &'static str,
    max_attempts: i16,
    /// How long one attempt may take.
    timeout_seconds: u64,
}

/// List the kinds of jobs that can be pushed.
#[utoipa::path(
    get, path = "/v1/kinds", tag = "jobs", operation_id = "list_kinds",
    security(("key" = ["jobs.view"])),
    responses(
        (status = 200, description = "All kinds, by name.", body = Vec<Kind>),
    ),
)]
pub async fn kinds(parts: Data<Parts>) -> Json<Vec<Kind>> {
    Json(parts.kinds.iter().map(Kind::from).collect())
}

/// Where a job stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time, or for the next attempt.
    Scheduled,
    Ready,
    /// Others hold its key, or have to end first.
    Waiting,
    Running,
    Done,
    /// Its handler decided that it cannot be done.
    Discarded,
    /// Its attempts are used up.
    Dead,
    Cancelled,
    /// It ended long ago, and how is no longer stored.
    Pruned,
}

/// Checks everything before anything is stored.
fn prepare(job: NewJob, kinds: &Kinds, now: DateTime<Utc>) -> Result<Push, ApiError> {
    let mut push = kinds.prepare(&job.kind, job.args)?;
    if let Some(priority) = job.priority {
        push = push.priority(within("priority", priority, PRIORITIES)?);
    }
    if let Some(attempts) = job.max_attempts {
        push = push.max_attempts(within("max_attempts", attempts, ATTEMPTS)?);
    }
    if let Some(key) = job.key {
        push = push.key(named("key", key)?);
    }
    if let Some(tenant) = job.tenant {
        push = push.tenant(named("tenant", tenant)?);
    }
    if let Some(weight) = job.weight {
        push = push.weight(within("weight", weight, WEIGHTS)?);
    }
    match job.run_at {
        Some(at) if at > now + MAX_DELAY => {
            let latest = (now + MAX_DELAY).to_rfc3339_opts(SecondsFormat::Secs, true);
            Err(ApiError::Invalid(format!("run_at: at most ten years ahead, until {latest}")))
        }
        Some(at) if at > now => Ok(push.run_at(at)),
        _ => Ok(push),
    }
}

fn within(field: &str, value: i16, range: RangeInclusive<i16>) -> Result<i16, ApiError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = range.into_inner();
    Err(ApiError::Invalid(format!("{field}: {value} is not within {low} to {high}")))
}

fn named(field: &str, name: String) -> Result<String, ApiError> {
    if NAME_CHARS.contains(&name.chars().count()) && !name.contains('\0') {
        return Ok(name);
    }
    let (low, high) = NAME_CHARS.into_inner();
    Err(ApiError::Invalid(format!("{field}: it has {low} to {high} characters")))
}

impl From<inspect::JobView> for Job {
    fn from(job: inspect::JobView) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state.into(),
            args: job.args,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            created_at: job.created_at,
            run_at: job.run_at,
            owner: job.owner,
            key: job.key,
            tenant: job.tenant,
            weight: job.weight,
            trace_id: job.trace_id,
            runs: job.runs.into_iter().map(Run::from).collect(),
        }
    }
}

impl From<inspect::RunView> for Run {
    fn from(run: inspect::RunView) -> Self {
        Self {
            attempt: run.attempt,
            outcome: run.outcome,
            started_at: run.started_at,
            ended_at: run.ended_at,
            worker: run.worker,
            error: run.error,
        }
    }
}

impl From<inspect::JobState> for State {
    fn from(state: inspect::JobState) -> Self {
        match state {
            inspect::JobState::Scheduled => Self::Scheduled,
            inspect::JobState::Ready => Self::Ready,
            inspect::JobState::Waiting => Self::Waiting,
            inspect::JobState::Running => Self::Running,
            inspect::JobState::Done => Self::Done,
            inspect::JobState::Discarded => Self::Discarded,
            inspect::JobState::Dead => Self::Dead,
            inspect::JobState::Cancelled => Self::Cancelled,
            inspect::JobState::Pruned => Self::Pruned,
        }
    }
}

impl From<inspect::Why> for Why {
    fn from(why: inspect::Why) -> Self {
        let inspect::Why { reason, detail, jobs, until } = why;
        Self { reason, detail, jobs, until }
    }
}

impl From<&queue::Kind> for Kind {
    fn from(kind: &queue::Kind) -> Self {
        Self {
            name: kind.name,
            queue: kind.queue,
            max_attempts: kind.max_attempts,
            timeout_seconds: kind.timeout.as_secs(),
        }
    }
}
