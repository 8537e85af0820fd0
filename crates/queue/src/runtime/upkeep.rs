//! Chores that any worker may do, and all do: promote what is due, rescue what was lost, make days.
//!
//! Each is safe beside itself: rows are taken with SKIP LOCKED, days under an advisory lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::{history, store};

/// Jobs moved from scheduled to ready in one statement.
pub(crate) const MAX_PROMOTE: i64 = 1000;
/// Leases rescued in one transaction.
pub(crate) const MAX_RESCUE: i64 = 20;
const DAYS_EVERY: Duration = Duration::from_secs(3600);

pub(super) async fn keep_up(shared: Arc<Shared>) {
    let rescue_every = shared.options.lease / 4;
    let (mut rescued_at, mut days_at) = (None::<Instant>, None::<Instant>);
    let mut healthy = true;
    loop {
        let due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        let chores = async {
            if due(days_at, DAYS_EVERY) {
                history::ensure_days(&shared.pool, shared.clock.for_database()).await?;
                days_at = Some(Instant::now());
            }
            if due(rescued_at, rescue_every) {
                rescue(&shared).await?;
                rescued_at = Some(Instant::now());
            }
            promote(&shared).await
        };
        match chores.await {
            Ok(()) => healthy = true,
            Err(error) if healthy => {
                tracing::warn!(%error, "chores of the queue wait for the database");
                healthy = false;
            }
            Err(_) => {}
        }
        // Not in step with other processes.
        let jitter = 0.75 + 0.5 * rand::random::<f64>();
        tokio::time::sleep(shared.options.poll.min(rescue_every).mul_f64(jitter)).await;
    }
}

async fn rescue(shared: &Shared) -> sqlx::Result<()> {
    loop {
        let lost = store::rescue(&shared.pool, shared.clock.for_database(), MAX_RESCUE).await?;
        if lost == 0 {
            return Ok(());
        }
        tracing::warn!(jobs = lost, "jobs of a worker that stopped answering start again");
        metrics::counter!("beadle_jobs_rescued_total").increment(lost as u64);
    }
}

async fn promote(shared: &Shared) -> sqlx::Result<()> {
    let now = shared.clock.for_database();
    while store::promote(&shared.pool, now, MAX_PROMOTE).await? == MAX_PROMOTE {}
    Ok(())
}
