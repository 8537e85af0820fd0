//! Workflows: how they are stored, and how those who wait hear of what has ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgTransaction;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::PushRows;
use crate::Error;

/// A column each.
#[derive(Default)]
pub(crate) struct WorkflowRows {
    /// One for each job.
    pub names: Vec<String>,
    pub jobs: PushRows,
    pub signals: Vec<Uuid>,
    pub signal_names: Vec<String>,
    pub sorts: Vec<&'static str>,
    pub dues: Vec<Option<DateTime<Utc>>>,
    pub due_seconds: Vec<Option<f64>>,
    pub lapses: Vec<bool>,
    pub edge_needs: Vec<Uuid>,
    pub edge_jobs: Vec<Uuid>,
    pub edge_afters: Vec<&'static str>,
}

/// A job that others wait for fans out: they wait for the other one too.
pub(crate) struct Extension {
    pub job: Uuid,
    pub by: Uuid,
}

/// Stores a workflow; without a name, adds to one that is there.
pub(crate) async fn push_workflow(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    name: Option<&str>,
    rows: &WorkflowRows,
    extension: Option<Extension>,
) -> Result<(), Error> {
    let jobs = &rows.jobs;
    sqlx::query_file!(
        "sql/store_workflow.sql",
        id,
        name,
        &rows.names,
        &jobs.ids,
        &jobs.kinds,
        &jobs.queues,
        &jobs.args as _,
        &jobs.priorities,
        &jobs.max_attempts,
        &jobs.run_ats as _,
        &jobs.delays as _,
        &jobs.owners as _,
        &jobs.traces as _,
        &jobs.keys as _,
        &jobs.tenants as _,
        &jobs.weights as _,
        &rows.signals,
        &rows.signal_names,
        &rows.sorts as _,
        &rows.dues as _,
        &rows.due_seconds as _,
        &rows.lapses,
        &rows.edge_needs,
        &rows.edge_jobs,
        &rows.edge_afters as _,
        extension.as_ref().map(|extension| extension.by),
        extension.as_ref().map(|extension| extension.job),
    )
    .fetch_one(executor)
    .await
    .map_err(Error::from_push)?;
    Ok(())
}

/// Statements in a row: what is cancelled because of others is an end as well.
const MAX_ROUNDS: usize = 1000;

/// Tells those that need nodes which have ended, and goes on with what that ended. Answers whether all have been
/// told. A sweep also finds what committed very late.
pub(crate) async fn settle(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    sweeps: bool,
) -> sqlx::Result<bool> {
    for _ in 0..MAX_ROUNDS {
        let ended = sqlx::query_scalar!(
            r#"-- queue.settle
            SELECT queue.settle($1, $2) AS "ended!""#,
            now,
            sweeps
        )
        .fetch_one(pool)
        .await?;
        if ended == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends timers and signals whose time has come; answers how many.
pub(crate) async fn ring(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- queue.ring
        SELECT queue.ring($1, $2) AS "rung!""#,
        now,
        limit
    )
    .fetch_one(pool)
    .await
}

/// What the nodes that a job needed had to say, by their names.
pub(crate) async fn inputs(
    executor: impl PgExecutor<'_>,
    job: Uuid,
) -> sqlx::Result<BTreeMap<String, Option<Value>>> {
    let rows = sqlx::query_file!("sql/inputs.sql", job).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.output)).collect())
}

pub(crate) async fn node_name(
    tx: &mut PgTransaction<'_>,
    job: Uuid,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("-- queue.node_name\nSELECT name FROM queue.nodes WHERE job = $1", job)
        .fetch_optional(&mut **tx)
        .await
}

/// A job that comes last of those that another has fanned out to.
pub(crate) struct Last {
    pub job: Uuid,
    pub workflow: Uuid,
    pub needs: Vec<Uuid>,
}

pub(crate) async fn fanned_out(
    tx: &mut PgTransaction<'_>,
    job: Uuid,
) -> sqlx::Result<Option<Last>> {
    sqlx::query_as!(
        Last,
        "-- queue.fanned_out
        SELECT job, workflow, needs FROM queue.nodes WHERE extends = $1",
        job
    )
    .fetch_optional(&mut **tx)
    .await
}
