//! Queues whose history is kept for a time of their own.
//!
//! A day holds jobs of all queues. While one of them keeps it, what the others are done with is deleted
//! from it, a batch at a time.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Day, MAX_DELETE, in_batches};

/// What has ended before these is dropped.
#[derive(Clone, Copy)]
pub(super) struct Horizons {
    pub now: DateTime<Utc>,
    /// Of queues that nothing is said about.
    pub general: DateTime<Utc>,
    /// Of the queue that is kept longest.
    pub longest: DateTime<Utc>,
    /// Of the queue that is kept shortest.
    pub shortest: DateTime<Utc>,
}

impl Horizons {
    pub async fn read(
        pool: &PgPool,
        now: Option<DateTime<Utc>>,
        retention_seconds: f64,
    ) -> sqlx::Result<Self> {
        // A machine whose clock is fast must not drop what the database's clock would keep.
        sqlx::query_as!(
            Self,
            r#"-- queue.horizons
            WITH given AS (
                SELECT coalesce($1, now()) AS now, coalesce($1, now()) - make_interval(secs => $2) AS general
            )
            SELECT
                now AS "now!", general AS "general!",
                least(general, now - make_interval(days => max(keep_days))) AS "longest!",
                greatest(general, now - make_interval(days => min(keep_days))) AS "shortest!"
            FROM given LEFT JOIN queue.queues ON true
            GROUP BY now, general"#,
            now,
            retention_seconds,
        )
        .fetch_one(pool)
        .await
    }

    /// Whether all queues are kept alike.
    pub fn are_one(&self) -> bool {
        self.longest == self.shortest
    }
}

/// Deletes runs of a day that their queue is done with.
pub(super) async fn delete_runs(
    pool: &PgPool,
    day: &Day,
    horizons: &Horizons,
) -> sqlx::Result<u64> {
    in_batches(|| {
        sqlx::query_file!(
            "sql/delete_runs_of_queues.sql",
            day.start,
            day.end,
            horizons.now,
            horizons.general,
            MAX_DELETE,
        )
        .execute(pool)
    })
    .await
}
