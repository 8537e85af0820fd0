//! Jobs that nothing refers to any more, where their day stays.
//!
//! An operator may try one of them again at the same moment. So they are locked first, as a retry locks
//! its job, and deleted by a second statement, which sees what whoever had them before has done.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Day, MAX_DELETE};

/// Where they lie.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// A day that other jobs keep.
    Day(&'a Day),
    /// The fail-safe partition, if they are older.
    NoDay(DateTime<Utc>),
}

/// Deletes a batch after the other, until one is not full; answers how many rows.
pub(super) async fn delete(pool: &PgPool, place: Place<'_>) -> sqlx::Result<u64> {
    let mut rows = 0;
    loop {
        let mut tx = pool.begin().await?;
        let locked = match place {
            Place::Day(Day { start, end, .. }) => {
                sqlx::query_file_scalar!("sql/lock_jobs_of_day.sql", start, end, MAX_DELETE)
                    .fetch_all(&mut *tx)
                    .await?
            }
            Place::NoDay(horizon) => {
                sqlx::query_file_scalar!("sql/lock_jobs_without_day.sql", horizon, MAX_DELETE)
                    .fetch_all(&mut *tx)
                    .await?
            }
        };
        let delete = sqlx::query_file!("sql/delete_jobs.sql", &locked);
        rows += delete.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        if locked.len() < MAX_DELETE as usize {
            return Ok(rows);
        }
    }
}
