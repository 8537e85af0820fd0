//! Workflows whose jobs have been dropped. A workflow is there until the last of them goes: its graph says what
//! the others needed.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{MAX_DELETE, in_batches};

/// Answers how many rows. Ids tell the time: younger workflows are not looked at.
pub(super) async fn delete(pool: &PgPool, horizon: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut rows = in_batches(|| {
        sqlx::query!(
            "-- queue.delete_workflows
            DELETE FROM queue.workflows
            WHERE ctid = ANY (ARRAY(
                SELECT w.ctid FROM queue.workflows w
                WHERE w.id < queue.first_id_at($1) AND NOT EXISTS (
                    SELECT FROM queue.nodes n JOIN queue.jobs j ON j.id = n.job WHERE n.workflow = w.id
                )
                LIMIT $2
            ))",
            horizon,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await?;
    rows += in_batches(|| {
        sqlx::query!(
            "-- queue.delete_nodes
            DELETE FROM queue.nodes
            WHERE ctid = ANY (ARRAY(
                SELECT n.ctid FROM queue.nodes n
                WHERE n.workflow < queue.first_id_at($1)
                    AND NOT EXISTS (SELECT FROM queue.workflows w WHERE w.id = n.workflow)
                LIMIT $2
            ))",
            horizon,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await?;
    // As a rule they are gone long before.
    rows += in_batches(|| {
        sqlx::query!(
            "-- queue.delete_dependencies
            DELETE FROM queue.dependencies
            WHERE ctid = ANY (ARRAY(
                SELECT d.ctid FROM queue.dependencies d
                WHERE d.job < queue.first_id_at($1)
                    AND NOT EXISTS (SELECT FROM queue.nodes n WHERE n.job = d.job)
                LIMIT $2
            ))",
            horizon,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await?;
    Ok(rows)
}
