//! Workflows, and where each of their nodes stands.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::{JobState, parse};
use crate::Error;
use crate::workflow::After;

/// One workflow with its graph.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowView {
    pub id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub cancelled_at: Option<DateTime<Utc>>,
    /// In the order in which they were pushed, up to [`MAX_NODES`].
    pub nodes: Vec<NodeView>,
}

#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    pub name: String,
    /// The job's; that of a signal or timer is none.
    pub id: Uuid,
    pub sort: NodeSort,
    /// Of a job.
    pub kind: Option<String>,
    /// A signal or timer waits, is done, or is cancelled.
    pub state: JobState,
    /// Why it ended as it did, or who decided so.
    pub note: Option<String>,
    /// When a timer ends, or a signal that nobody gives.
    pub due_at: Option<DateTime<Utc>>,
    /// The first [`MAX_NEEDS`] of them.
    pub needs: Vec<Need>,
    /// That node has fanned out, and whoever needs it needs this one too.
    pub extends: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeSort {
    Job,
    Signal,
    Timer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    pub name: String,
    pub after: After,
}

pub const MAX_NODES: i64 = 1000;
pub const MAX_NEEDS: i64 = 1000;

pub async fn workflow(pool: &PgPool, id: Uuid) -> Result<Option<WorkflowView>, Error> {
    let found = sqlx::query!(
        "-- queue.workflow
        SELECT name, created_at, cancelled_at FROM queue.workflows WHERE id = $1",
        id
    )
    .fetch_optional(pool)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let rows = sqlx::query_file!("sql/workflow_nodes.sql", id, MAX_NODES, MAX_NEEDS)
        .fetch_all(pool)
        .await?;
    let nodes = rows.into_iter().map(|row| {
        Ok(NodeView {
            name: row.name,
            id: row.id,
            sort: match row.sort.as_str() {
                "signal" => NodeSort::Signal,
                "timer" => NodeSort::Timer,
                _ => NodeSort::Job,
            },
            kind: row.kind,
            state: parse(&row.state)?,
            note: row.note,
            due_at: row.due_at,
            needs: needs(row.needs, &row.afters),
            extends: row.extends,
        })
    });
    Ok(Some(WorkflowView {
        id,
        name: found.name,
        created_at: found.created_at,
        cancelled_at: found.cancelled_at,
        nodes: nodes.collect::<Result<_, Error>>()?,
    }))
}

/// The database takes no other conditions.
fn needs(names: Vec<String>, afters: &[String]) -> Vec<Need> {
    let both = names.into_iter().zip(afters);
    both.filter_map(|(name, after)| Some(Need { name, after: After::parse(after)? })).collect()
}
