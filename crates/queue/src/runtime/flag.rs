//! The flag of an idle worker: a shared advisory lock on the name of each queue that it waits for.
//!
//! A push probes that lock, and notifies only where somebody holds it. The lock belongs to a
//! connection of its own, so it goes with the process. It is no part of any promise: without it, a
//! worker finds its jobs by polling.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

#[derive(Debug)]
pub(super) struct Flag {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    held: BTreeSet<String>,
    /// The connection was there then.
    seen_at: Instant,
}

/// A connection that was there so recently is taken to be there.
const FRESH: Duration = Duration::from_secs(1);

impl Flag {
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: None, held: BTreeSet::new(), seen_at: Instant::now() }
    }

    /// Whether it is up. One whose connection broke is not, and nobody would tell of a push.
    pub async fn is_up_for(&mut self, queues: &BTreeSet<String>) -> bool {
        if let Some(connection) = &mut self.connection
            && self.seen_at.elapsed() > FRESH
        {
            // What is silently cut off answers nothing for a quarter of an hour.
            match timeout(FRESH, connection.ping()).await {
                Ok(Ok(())) => self.seen_at = Instant::now(),
                _ => self.fall(),
            }
        }
        queues.is_subset(&self.held)
    }

    /// Raises the flag for queues: a job that is pushed from now on, is told. Whoever did not see it has
    /// a transaction number below the answer.
    pub async fn raise(&mut self, queues: &BTreeSet<String>) -> sqlx::Result<Option<i64>> {
        let missing: Vec<_> = queues.difference(&self.held).cloned().collect();
        if missing.is_empty() {
            return Ok(None);
        }
        // The number comes after the last lock, and only with one.
        let raised = sqlx::query!(
            r#"-- queue.raise_flag
            WITH raised AS MATERIALIZED (
                SELECT queue FROM unnest($1::text[]) AS q(queue)
                WHERE pg_try_advisory_lock_shared(1111834948, hashtext(queue))
            )
            SELECT
                coalesce(array_agg(queue), '{}') AS "queues!",
                CASE WHEN count(*) > 0 THEN pg_current_xact_id()::text::bigint END AS number
            FROM raised"#,
            &missing
        )
        .fetch_one(self.connect().await?)
        .await;
        // A probe has the lock for a moment; the next round asks again.
        match raised {
            Ok(raised) => {
                self.seen_at = Instant::now();
                self.held.extend(raised.queues);
                Ok(raised.number)
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Takes the flag down for queues that it has work from.
    pub async fn lower(&mut self, queues: &BTreeSet<String>) -> sqlx::Result<()> {
        let held: Vec<_> = queues.intersection(&self.held).cloned().collect();
        if held.is_empty() {
            return Ok(());
        }
        let lowered = sqlx::query_scalar!(
            r#"-- queue.lower_flag
            SELECT queue AS "queue!" FROM unnest($1::text[]) AS q(queue)
            WHERE pg_advisory_unlock_shared(1111834948, hashtext(queue))"#,
            &held
        )
        .fetch_all(self.connect().await?)
        .await;
        match lowered {
            Ok(_) => self.held.retain(|queue| !held.contains(queue)),
            Err(error) => return Err(self.broken(error)),
        }
        Ok(())
    }

    async fn connect(&mut self) -> sqlx::Result<&mut PgConnection> {
        if self.connection.is_none() {
            self.connection = Some(PgConnection::connect_with(&self.options).await?);
        }
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    fn broken(&mut self, error: sqlx::Error) -> sqlx::Error {
        self.fall();
        error
    }

    /// The locks are gone with the connection.
    fn fall(&mut self) {
        self.connection = None;
        self.held.clear();
    }
}
