//! Tells how queues stand, pauses them, and changes their rules.

mod rules;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use anyhow::Context as _;
use context::Context;
use queue::inspect::{self, QueueView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Parts,
    body::Body,
    error::{ApiError, Problem},
};
use rules::{Change, Rules};

/// How much a queue holds, and by which rules its jobs start.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queue {
    #[schema(example = "maintenance")]
    name: String,
    /// No job of it starts.
    paused: bool,
    /// Days that its ended jobs stay readable, where that was said for this queue.
    #[schema(required)]
    keep_days: Option<i16>,
    ready: i64,
    /// Jobs whose key others hold, or that wait for others of their workflow.
    waiting: i64,
    scheduled: i64,
    running: i64,
    dead: i64,
    #[schema(required)]
    oldest_ready_seconds: Option<f64>,
    /// A job with a key has been pushed to it.
    keyed: bool,
    rules: Rules,
}

/// A queue with what was said of its keys and tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeQueue {
    #[serde(flatten)]
    queue: Queue,
    /// The first 1000, by key.
    limits: Vec<KeyLimit>,
    /// The first 1000, by tenant.
    shares: Vec<TenantShare>,
}

/// What one key may do.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyLimit {
    key: String,
    #[schema(required)]
    concurrency: Option<i16>,
    #[schema(required)]
    per_second: Option<f64>,
    #[schema(required)]
    burst: Option<i32>,
}

/// How many jobs a tenant starts at its turn.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantShare {
    tenant: String,
    weight: i16,
}

/// What one key of a queue may do; null: what all keys of it may.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Jobs that run at a time.
    #[schema(minimum = 1, maximum = 10000)]
    concurrency: Option<i16>,
    /// Jobs that start in a second.
    #[schema(minimum = 0.00001, maximum = 1000000)]
    per_second: Option<f64>,
    /// Jobs that start at once after a pause.
    #[schema(minimum = 1, maximum = 1000000)]
    burst: Option<i32>,
}

/// How many jobs a tenant starts at its turn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    #[schema(minimum = 1, maximum = 1000)]
    weight: i16,
}

/// List the queues.
#[utoipa::path(
    get, path = "/v1/queues", tag = "queues", operation_id = "list_queues",
    security(("key" = ["jobs.view"])),
    responses((status = 200, description = "All queues, by name.", body = Vec<Queue>)),
)]
pub async fn list(cx: Data<Context>, parts: Data<Parts>) -> Result<Json<Vec<Queue>>, ApiError> {
    Ok(Json(queues(&cx, &parts).await?.into_iter().map(Queue::from).collect()))
}

/// Look at a queue.
#[utoipa::path(
    get, path = "/v1/queues/{name}", tag = "queues", operation_id = "get_queue",
    params(("name" = String, Path)),
    security(("key" = ["jobs.view"])),
    responses(
        (status = 200, description = "The queue.", body = WholeQueue),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn show(
    cx: Data<Context>,
    parts: Data<Parts>,
    name: Path<String>,
) -> Result<Json<WholeQueue>, ApiError> {
    Ok(Json(whole(&cx, &parts, &name).await?))
}

/// Pause a queue or let it work, and change its rules.
///
/// A JSON merge patch: what is absent stays as it is, and null takes a rule away. Workers heed it from their
/// next claim on; jobs that run go on.
#[utoipa::path(
    patch, path = "/v1/queues/{name}", tag = "queues", operation_id = "change_queue",
    params(("name" = String, Path)),
    request_body = Change,
    security(("key" = ["queues.manage"])),
    responses(
        (status = 200, description = "The queue as it is now.", body = WholeQueue),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong. Nothing was changed.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn change(
    cx: Data<Context>,
    parts: Data<Parts>,
    name: Path<String>,
    change: Body<Change>,
) -> Result<Json<WholeQueue>, ApiError> {
    must_exist(&cx, &parts, &name).await?;
    let (paused, rules) = change.0.orders()?;
    let mut tx = cx.pool.begin().await.context("begin to change a queue")?;
    if !rules.is_empty() {
        queue::set_rules(&mut *tx, &name, &rules).await?;
    }
    match paused {
        Some(true) => queue::pause(&mut *tx, &name).await?,
        Some(false) => queue::resume(&mut *tx, &name).await?,
        None => {}
    }
    tx.commit().await.context("commit the change of a queue")?;
    Ok(Json(whole(&cx, &parts, &name).await?))
}

/// Say what one key may do.
///
/// It replaces all that was said of the key before.
#[utoipa::path(
    put, path = "/v1/queues/{name}/limits/{key}", tag = "queues", operation_id = "set_limit",
    params(("name" = String, Path), ("key" = String, Path)),
    request_body = Limit,
    security(("key" = ["queues.manage"])),
    responses(
        (status = 200, description = "What the key may do now.", body = KeyLimit),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn set_limit(
    cx: Data<Context>,
    parts: Data<Parts>,
    path: Path<(String, String)>,
    limit: Body<Limit>,
) -> Result<Json<KeyLimit>, ApiError> {
    let ((name, key), Limit { concurrency, per_second, burst }) = (path.into_inner(), limit.0);
    must_exist(&cx, &parts, &name).await?;
    let limit = queue::Limit { concurrency, per_second, burst };
    queue::set_limit(&cx.pool, &name, &key, &limit).await?;
    Ok(Json(inspect::LimitView { key, limit }.into()))
}

/// Let one key do what all keys of the queue may.
#[utoipa::path(
    delete, path = "/v1/queues/{name}/limits/{key}", tag = "queues", operation_id = "drop_limit",
    params(("name" = String, Path), ("key" = String, Path)),
    security(("key" = ["queues.manage"])),
    responses(
        (status = 204, description = "Nothing is said of the key any more."),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn drop_limit(
    cx: Data<Context>,
    parts: Data<Parts>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (name, key) = path.into_inner();
    must_exist(&cx, &parts, &name).await?;
    queue::set_limit(&cx.pool, &name, &key, &queue::Limit::default()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Say how many jobs a tenant starts at its turn.
#[utoipa::path(
    put, path = "/v1/queues/{name}/shares/{tenant}", tag = "queues", operation_id = "set_share",
    params(("name" = String, Path), ("tenant" = String, Path)),
    request_body = Share,
    security(("key" = ["queues.manage"])),
    responses(
        (status = 200, description = "The tenant's share now.", body = TenantShare),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The weight is wrong.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn set_share(
    cx: Data<Context>,
    parts: Data<Parts>,
    path: Path<(String, String)>,
    share: Body<Share>,
) -> Result<Json<TenantShare>, ApiError> {
    let ((name, tenant), Share { weight }) = (path.into_inner(), share.0);
    must_exist(&cx, &parts, &name).await?;
    queue::set_share(&cx.pool, &name, &tenant, Some(weight)).await?;
    Ok(Json(TenantShare { tenant, weight }))
}

/// Let a tenant start one job at its turn, as everybody.
#[utoipa::path(
    delete, path = "/v1/queues/{name}/shares/{tenant}", tag = "queues", operation_id = "drop_share",
    params(("name" = String, Path), ("tenant" = String, Path)),
    security(("key" = ["queues.manage"])),
    responses(
        (status = 204, description = "Nothing is said of the tenant any more."),
        (status = 404, description = "No such queue.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn drop_share(
    cx: Data<Context>,
    parts: Data<Parts>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (name, tenant) = path.into_inner();
    must_exist(&cx, &parts, &name).await?;
    queue::set_share(&cx.pool, &name, &tenant, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Those that hold something or of which something was said, and those that this release works.
async fn queues(cx: &Context, parts: &Parts) -> Result<Vec<QueueView>, ApiError> {
    let mut queues = inspect::queues(&cx.pool).await.context("look at the queues")?;
    for name in parts.kinds.queues() {
        if !queues.iter().any(|queue| queue.name == name) {
            queues.push(QueueView::empty(name));
        }
    }
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(queues)
}

/// Whoever mistypes a name must not make a queue of it.
async fn must_exist(cx: &Context, parts: &Parts, name: &str) -> Result<QueueView, ApiError> {
    let queue = queues(cx, parts).await?.into_iter().find(|queue| queue.name == name);
    queue.ok_or(ApiError::NotFound("queue"))
}

async fn whole(cx: &Context, parts: &Parts, name: &str) -> Result<WholeQueue, ApiError> {
    let queue = must_exist(cx, parts, name).await?.into();
    let limits = inspect::limits(&cx.pool, name).await.context("look at limits")?;
    let shares = inspect::shares(&cx.pool, name).await.context("look at shares")?;
    let share = |view: inspect::ShareView| TenantShare { tenant: view.tenant, weight: view.weight };
    Ok(WholeQueue {
        queue,
        limits: limits.into_iter().map(KeyLimit::from).collect(),
        shares: shares.into_iter().map(share).collect(),
    })
}

impl From<QueueView> for Queue {
    fn from(queue: QueueView) -> Self {
        Self {
            name: queue.name,
            paused: queue.paused,
            keep_days: queue.keep_days,
            ready: queue.ready,
            waiting: queue.waiting,
            scheduled: queue.scheduled,
            running: queue.running,
            dead: queue.dead,
            oldest_ready_seconds: queue.oldest_ready_seconds,
            keyed: queue.keyed,
            rules: queue.rules.into(),
        }
    }
}

impl From<inspect::LimitView> for KeyLimit {
    fn from(view: inspect::LimitView) -> Self {
        let queue::Limit { concurrency, per_second, burst } = view.limit;
        Self { key: view.key, concurrency, per_second, burst }
    }
}
