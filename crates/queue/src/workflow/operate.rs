//! What is done with a workflow from outside: it is given signals, cancelled, tried again.

use serde::Serialize;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::Error;

/// What came of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signalled {
    Given,
    /// The first one counts.
    AlreadyGiven,
    /// It has lapsed, or its workflow was cancelled.
    TooLate,
}

/// `undefined_object`: there is no such workflow, or no such signal.
const UNDEFINED: &str = "42704";

/// Gives a signal, with what those that need it should know; null is nothing.
pub async fn signal(
    executor: impl PgExecutor<'_>,
    workflow: Uuid,
    name: &str,
    payload: &impl Serialize,
) -> Result<Signalled, Error> {
    let payload =
        serde_json::to_value(payload).map_err(|error| Error::BadOutput(error.to_string()))?;
    let payload = Some(payload).filter(|payload| !payload.is_null());
    let result = sqlx::query_scalar!(
        r#"-- queue.signal
        SELECT queue.signal($1, $2, $3) AS "result!""#,
        workflow,
        name,
        payload,
    )
    .fetch_one(executor)
    .await
    .map_err(|error| match is_undefined(&error) {
        true => Error::NoSignal { workflow, name: name.to_owned() },
        false => Error::from_push(error),
    })?;
    Ok(match result.as_str() {
        "given" => Signalled::Given,
        "already_given" => Signalled::AlreadyGiven,
        _ => Signalled::TooLate,
    })
}

/// Cancels all of it that has not ended, and asks what runs to stop; answers how many nodes that were. `by` is
/// kept in their history.
pub async fn cancel_workflow(pool: &PgPool, workflow: Uuid, by: &str) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"-- queue.cancel_workflow
        SELECT queue.cancel_workflow($1, $2) AS "nodes!""#,
        workflow,
        by
    )
    .fetch_one(pool)
    .await
    .map_err(|error| not_there(error, workflow))
}

/// Tries again what has failed and what was cancelled, also because of that; what is done stays done. Answers
/// how many jobs that are. `by` is kept in their history.
pub async fn retry_workflow(pool: &PgPool, workflow: Uuid, by: &str) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"-- queue.retry_workflow
        SELECT queue.retry_workflow($1, $2) AS "jobs!""#,
        workflow,
        by
    )
    .fetch_one(pool)
    .await
    .map_err(|error| not_there(error, workflow))
}

fn not_there(error: sqlx::Error, workflow: Uuid) -> Error {
    if is_undefined(&error) { Error::NoWorkflow(workflow) } else { Error::Database(error) }
}

fn is_undefined(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(UNDEFINED)
}
