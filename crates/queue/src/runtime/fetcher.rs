//! Claims jobs for handlers that are free, or soon will be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::flag::Flag;
use super::lanes::Lanes;
use super::runner::Work;
use super::{Ended, Ending, Reason, Shared, completer, is_lock_timeout};
use crate::Run;
use crate::fleet::Handlers;
use crate::store::{self, Leased};

/// The longest wait between two tries while the database is away.
const MAX_RETRY: Duration = Duration::from_secs(5);
/// A worker that is not told looks this often.
const UNTOLD_POLL: Duration = Duration::from_millis(40);
/// A worker that is told looks so many times less often than one of the chores: only what was
/// missed is left to find.
const TOLD_POLLS: u32 = 10;
/// While jobs keep coming there is no use in saying that one waits for them.
const STREAM_POLL: Duration = Duration::from_millis(1);

/// Goes round until told to stop: claims what the lanes have room for.
pub(super) async fn fetch(
    shared: Arc<Shared>,
    handlers: Handlers,
    mut lanes: Lanes,
    stop: CancellationToken,
) {
    let mut flag = Flag::new((*shared.pool.connect_options()).clone());
    let mut failures: u32 = 0;
    while !stop.is_cancelled() {
        shared.heartbeat.due_in(Duration::ZERO);
        let wait = match round(&shared, &handlers, &mut lanes, &mut flag).await {
            Ok(wait) => {
                failures = 0;
                wait
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "jobs cannot be claimed");
                // What a broken claim took may have come back.
                lanes.forget();
                (shared.options.poll * failures).min(MAX_RETRY.max(shared.options.poll))
            }
        };
        if wait.is_zero() {
            continue;
        }
        shared.heartbeat.due_in(wait);
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.wake.notified(), if failures == 0 => lanes.refill(),
            () = shared.freed.notified(), if failures == 0 => {}
            () = tokio::time::sleep(wait) => lanes.refill(),
        }
    }
}

/// Claims once; answers how long to wait before the next time, unless something happens.
async fn round(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    lanes: &mut Lanes,
    flag: &mut Flag,
) -> sqlx::Result<Duration> {
    if claim(shared, handlers, lanes).await? {
        flag.lower(&lanes.streaming()).await?;
        return Ok(Duration::ZERO);
    }
    if !shared.hears.load(Ordering::Relaxed) {
        return Ok(shared.options.poll.min(UNTOLD_POLL));
    }
    if lanes.are_contended() || !lanes.streaming().is_empty() {
        return Ok(STREAM_POLL);
    }
    let waiting = lanes.waiting();
    if !flag.is_up_for(&waiting).await {
        // Whoever did not see the flag has come before the next look, or is still under way.
        lanes.raised(flag.raise(&waiting).await?);
        return Ok(Duration::ZERO);
    }
    Ok(lanes.follow_up().unwrap_or(shared.options.poll * TOLD_POLLS))
}

/// Claims once; answers whether there was anything.
async fn claim(shared: &Arc<Shared>, handlers: &Handlers, lanes: &mut Lanes) -> sqlx::Result<bool> {
    let wanted = lanes.wanted();
    if wanted.queues.is_empty() {
        return Ok(false);
    }
    let lease = shared.options.lease;
    let now = shared.clock.for_database();
    let worker = shared.number().await?;
    // Waiting for a connection is not part of the lease's life.
    let mut connection = shared.pool.acquire().await?;
    let asked_at = Instant::now();
    let claimed = store::claim(&mut *connection, now, &wanted, worker, lease.as_secs_f64()).await;
    drop(connection);
    let claimed = match claimed {
        Err(error) if is_lock_timeout(&error) => {
            tracing::warn!(
                "a transaction stays open that has a hand on the next jobs; claims go around"
            );
            lanes.go_around();
            return Ok(true);
        }
        claimed => claimed?,
    };
    lanes.note(&wanted, &claimed);
    let jobs = claimed.jobs;
    if asked_at.elapsed() > lease / 3 {
        // The next renewal may come too late for these.
        tracing::warn!(jobs = jobs.len(), "a claim was answered late; its jobs go back");
        put_back(shared, prepare(shared, handlers, jobs)).await;
        return Ok(false);
    }
    let any = !jobs.is_empty();
    lanes.put(prepare(shared, handlers, jobs));
    Ok(any)
}

/// Returns jobs that have not started, without burning an attempt. They are in the book: their lease is
/// kept until the database takes them.
async fn put_back(shared: &Shared, works: Vec<Work>) {
    let back = |work: Work| Ended { run: work.run, ending: Ending::Released, ran: Duration::ZERO };
    let ended: Vec<_> = works.into_iter().map(back).collect();
    if !ended.is_empty() {
        completer::record(shared, &ended).await;
    }
}

/// Enters claimed jobs into the book of leases, and gives each its way to its handler.
///
/// The whole lease is in the book before anything runs: a job that ends at once does not close it.
pub(crate) fn prepare(shared: &Shared, handlers: &Handlers, jobs: Vec<Leased>) -> Vec<Work> {
    let ready = |leased: Leased| {
        let route = handlers.of(&leased.kind);
        let (pool, clock) = (shared.notes_pool.clone(), shared.clock.clone());
        let run = Run::new(leased, route.backoff, pool, clock);
        if run.leased().cancelled {
            run.stop().ask(Reason::Cancelled);
        }
        Work { run, route }
    };
    let works: Vec<_> = jobs.into_iter().map(ready).collect();
    shared.leases.add(works.iter().map(|work| &work.run));
    works
}
