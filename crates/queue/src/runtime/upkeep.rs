//! Chores that any worker may do, and all do: declare kinds, rescue what was lost, promote what is due, make days.
//!
//! Each is safe beside itself: rows are taken with SKIP LOCKED, days under an advisory lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Shared;
use crate::{Error, Kinds, history, store};

/// Jobs moved from scheduled to ready in one statement.
const MAX_PROMOTE: i64 = 1000;
/// Statements in one round, so that a flood of due jobs does not hold up the rescue.
const MAX_ROUNDS: usize = 20;
/// Leases rescued in one transaction.
const MAX_RESCUE: i64 = 20;
const DAYS_EVERY: Duration = Duration::from_secs(3600);
/// A day may be locked by a long reader; there are two weeks to make it in.
const DAYS_RETRY: Duration = Duration::from_secs(60);

pub(super) async fn keep_up(shared: Arc<Shared>, kinds: Kinds) {
    let rescue_every = shared.options.lease / 4;
    let now = Instant::now();
    let (mut rescue_at, mut days_at) = (now, now);
    let (mut healthy, mut declared) = (true, false);
    loop {
        let mut result = Ok(());
        if !declared {
            result = store::declare_kinds(&shared.pool, &kinds).await;
            declared = result.is_ok();
        }
        if Instant::now() >= rescue_at {
            result = result.and(rescue(&shared).await);
            rescue_at = Instant::now() + rescue_every;
        }
        result = result.and(promote(&shared).await);
        match result {
            Err(error) if healthy => {
                tracing::warn!(%error, "chores of the queue wait for the database");
                healthy = false;
            }
            result => healthy = result.is_ok(),
        }
        // Last and apart: a day that cannot be made stops nothing else.
        if Instant::now() >= days_at {
            days_at = Instant::now() + make_days(&shared).await;
        }
        // Not in step with other processes.
        let jitter = 0.75 + 0.5 * rand::random::<f64>();
        sleep(shared.options.poll.min(rescue_every).mul_f64(jitter)).await;
    }
}

async fn rescue(shared: &Shared) -> sqlx::Result<()> {
    let now = shared.clock.for_database();
    let grace = shared.options.lease.as_secs_f64();
    for _ in 0..MAX_ROUNDS {
        let rescued = store::rescue(&shared.pool, now, MAX_RESCUE, grace).await?;
        if rescued.jobs > 0 {
            tracing::warn!(
                jobs = rescued.jobs,
                "jobs of a worker that stopped answering start again"
            );
            metrics::counter!("beadle_jobs_rescued_total").increment(rescued.jobs as u64);
        }
        if rescued.leases < MAX_RESCUE as usize {
            break;
        }
    }
    Ok(())
}

async fn promote(shared: &Shared) -> sqlx::Result<()> {
    let now = shared.clock.for_database();
    for _ in 0..MAX_ROUNDS {
        if store::promote(&shared.pool, now, MAX_PROMOTE).await? < MAX_PROMOTE {
            break;
        }
    }
    Ok(())
}

/// Answers how long to wait until the next look.
async fn make_days(shared: &Shared) -> Duration {
    match history::make_days(&shared.pool, &shared.clock).await {
        Ok(_) => DAYS_EVERY,
        Err(Error::Database(error)) if is_lock_timeout(&error) => {
            tracing::info!("a new day of the queue waits for a long reader");
            DAYS_RETRY
        }
        Err(error) => {
            tracing::warn!(%error, "the queue's days ahead cannot be made");
            DAYS_RETRY
        }
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}
