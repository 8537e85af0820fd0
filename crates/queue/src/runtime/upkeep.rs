//! Chores that any worker may do, and all do: declare kinds, rescue what was lost, promote what is due, make days.
//!
//! Each is safe beside itself: rows are taken with SKIP LOCKED, days under an advisory lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shared, is_lock_timeout};
use crate::store::Look;
use crate::{Error, Kinds, history, store};

/// Jobs moved from scheduled to ready in one statement.
const MAX_PROMOTE: i64 = 1000;
/// Statements in one round, so that a flood of due jobs does not hold up the rescue.
const MAX_ROUNDS: usize = 20;
/// A wait is longer by up to this share.
const JITTER: f64 = 0.4;
/// Leases rescued in one transaction.
const MAX_RESCUE: i64 = 20;
/// What ended in a transaction that took very long is told so late.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const DAYS_EVERY: Duration = Duration::from_secs(3600);
/// A day may be locked by a long reader; there is a week to make it in.
const DAYS_RETRY: Duration = Duration::from_secs(60);
/// What nothing should leave behind, and something may.
const MEND_EVERY: Duration = Duration::from_secs(60);
/// What was pushed while its queue became fair is looked for each minute of an hour, and then so often: it may
/// have been pushed in a very long transaction.
const LINE_UP_EVERY: Duration = Duration::from_secs(3600);
/// How often a worker says that it is there.
const SIGN_EVERY: Duration = Duration::from_secs(300);

pub(super) async fn keep_up(shared: Arc<Shared>, kinds: Kinds) {
    let mut days_at = Instant::now();
    let mut sweep_at = Instant::now();
    let mut mend_at = Instant::now() + MEND_EVERY;
    let mut line_up_at = Instant::now() + LINE_UP_EVERY;
    let mut sign_at = Instant::now() + SIGN_EVERY;
    let (mut healthy, mut declared) = (true, false);
    loop {
        let mut result = Ok(());
        if !declared {
            result = store::declare_kinds(&shared.pool, &kinds).await;
            declared = result.is_ok();
        }
        let mut wait = shared.options.poll;
        if Instant::now() >= sweep_at {
            sweep_at = Instant::now() + SWEEP_EVERY;
            let now = shared.clock.for_database();
            result = result.and(store::settle(&shared.pool, now, true).await.map(drop));
        }
        match result.and(chores(&shared).await) {
            Ok(due) => {
                healthy = true;
                wait = due.map_or(wait, |due| due.min(wait));
            }
            Err(error) if healthy => {
                tracing::warn!(%error, "chores of the queue wait for the database");
                healthy = false;
            }
            Err(_) => {}
        }
        // Last and apart: a day that cannot be made stops nothing else.
        if Instant::now() >= days_at {
            days_at = Instant::now() + make_days(&shared).await;
        }
        if Instant::now() >= mend_at {
            mend_at = Instant::now() + MEND_EVERY;
            let sweeps = Instant::now() >= line_up_at;
            if sweeps {
                line_up_at = Instant::now() + LINE_UP_EVERY;
            }
            // Busy locks are free another time.
            if let Err(error) = store::mend(&shared.pool, sweeps).await {
                tracing::info!(%error, "the rules of queues were not looked after");
            }
        }
        if Instant::now() >= sign_at {
            sign_at = Instant::now() + SIGN_EVERY;
            if let Err(error) = sign(&shared).await {
                tracing::info!(%error, "that this worker is there could not be written down");
            }
        }
        // Not in step with other processes, and never earlier: what is due is due then.
        sleep(wait.mul_f64(1.0 + JITTER * rand::random::<f64>())).await;
    }
}

async fn sign(shared: &Shared) -> sqlx::Result<()> {
    store::sign_worker(&shared.pool, shared.number().await?, false).await
}

/// Looks, and does what there is to do; answers how long until the next job is due.
async fn chores(shared: &Shared) -> sqlx::Result<Option<Duration>> {
    let now = shared.clock.for_database();
    let look = store::look(&shared.pool, now).await?;
    let rescued = if look.expired { rescue(shared).await } else { Ok(()) };
    let mut due = next(&look);
    if due.is_some_and(|seconds| seconds <= 0.0) {
        promote(shared).await?;
        ring(shared).await?;
        due = next(&store::look(&shared.pool, now).await?);
    }
    if look.unsettled {
        shared.unsettled.notify_one();
    }
    // What cannot be rescued is no reason to promote nothing.
    rescued.map(|()| due.map(until))
}

/// Until something is due.
fn next(look: &Look) -> Option<f64> {
    let dues = [look.due_in_seconds, look.rings_in_seconds];
    dues.into_iter().flatten().reduce(f64::min)
}

/// Not shorter than a moment: what cannot be moved must not be tried without a pause.
fn until(seconds: f64) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(10);
    Duration::try_from_secs_f64(seconds).unwrap_or_default().max(SHORTEST)
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
        if rescued.poison > 0 {
            tracing::error!(
                jobs = rescued.poison,
                "jobs died with their worker too often; they are dead"
            );
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

/// Ends timers whose time has come.
async fn ring(shared: &Shared) -> sqlx::Result<()> {
    let now = shared.clock.for_database();
    for _ in 0..MAX_ROUNDS {
        let rung = store::ring(&shared.pool, now, MAX_PROMOTE).await?;
        if rung > 0 {
            shared.unsettled.notify_one();
        }
        if rung < MAX_PROMOTE {
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
