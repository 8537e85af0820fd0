//! Says whether the process lives, and whether it can do its work.

use std::{
    fmt::{Debug, Display},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json},
};
use context::{
    Context,
    db::{self, MigrationState},
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::Parts;

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Tell whether the process is alive.
///
/// It asks nobody, so a failing database does not get the process restarted.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "get_health",
    responses((status = 200, description = "It is.", body = Alive)),
)]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Whether the process can do its work, and each thing that it needs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    checks: Checks,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Checks {
    database: Check,
    migrations: Check,
    /// Absent where no jobs are worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<Check>,
}

/// One thing that it needs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    ok: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Tell whether the process can do its work.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "get_readiness",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It cannot; the answer names what is wrong.", body = Readiness),
    ),
)]
pub async fn ready(cx: Data<Context>, parts: Data<Parts>) -> HttpResponse {
    let (database, migrations) = tokio::join!(database(&cx), migrations(&cx));
    let worker = parts.heartbeat.as_ref().map(|heartbeat| worker(heartbeat.overdue()));
    let checks = Checks { database, migrations, worker };
    let ready = checks.database.ok
        && checks.migrations.ok
        && checks.worker.as_ref().is_none_or(|worker| worker.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Readiness { ready, checks })
}

/// Whoever asks gives up soon, so a check does too.
const PATIENCE: Duration = Duration::from_secs(1);
/// So late is no worker loop that goes round, however busy it is.
const OVERDUE_LIMIT: Duration = Duration::from_secs(10);

impl Check {
    const OK: Self = Self { ok: true, problem: None };

    fn failed(problem: impl Display) -> Self {
        Self { ok: false, problem: Some(problem.to_string()) }
    }
}

async fn database(cx: &Context) -> Check {
    let answer = timeout(PATIENCE, cx.pool.acquire()).await;
    match answer {
        Ok(Ok(_)) => Check::OK,
        Ok(Err(error)) => {
            log("database", &error);
            Check::failed("it does not answer; see the log of this process")
        }
        Err(_) => Check::failed(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn migrations(cx: &Context) -> Check {
    match timeout(PATIENCE, db::migrations(&cx.pool)).await {
        // A newer release has migrated and is about to take over; until then this one serves.
        Ok(Ok(MigrationState::Current | MigrationState::Newer { .. })) => Check::OK,
        Ok(Ok(state)) => Check::failed(state),
        Ok(Err(error)) => {
            log("migrations", &error);
            Check::failed("they cannot be read; see the log of this process")
        }
        Err(_) => Check::failed(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn worker(overdue: Duration) -> Check {
    if overdue < OVERDUE_LIMIT {
        return Check::OK;
    }
    Check::failed(format!("the worker loop has been due for {} s", overdue.as_secs()))
}

/// The cause may name hosts and users, so it goes to the log and not to the caller.
fn log(check: &str, error: &dyn Debug) {
    tracing::warn!(check, ?error, "not ready");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_loop_that_stands_still_is_not_ready() {
        assert!(worker(Duration::from_secs(9)).ok);
        let check = worker(Duration::from_secs(14));
        assert!(!check.ok);
        assert_eq!(check.problem.as_deref(), Some("the worker loop has been due for 14 s"));
    }
}
