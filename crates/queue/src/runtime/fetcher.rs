//! Claims jobs for handlers that are free, or soon will be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::flag::Flag;
use super::lanes::{Lanes, Ruled};
use super::runner::Work;
use super::{Ended, Ending, Reason, Shared, completer, is_lock_timeout};
use crate::Run;
use crate::fleet::Handlers;
use crate::store::{self, Endings, Leased, Take, Taken, Turn, Wanted};

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
        let wait = lanes.due_in().map_or(wait, |due| due.min(wait));
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

/// Claims once of all queues; answers whether there was anything.
async fn claim(shared: &Arc<Shared>, handlers: &Handlers, lanes: &mut Lanes) -> sqlx::Result<bool> {
    let wanted = lanes.wanted();
    let was_settled = lanes.are_settled();
    let mut any = false;
    if !wanted.queues.is_empty() {
        any |= claim_plain(shared, handlers, lanes, &wanted).await?;
    }
    for ruled in lanes.ruled(&wanted) {
        any |= claim_ruled(shared, handlers, lanes, &wanted, &ruled).await?;
    }
    lanes.settle(&wanted, was_settled);
    Ok(any)
}

/// Claims of the queues without rules, all in one statement.
async fn claim_plain(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    lanes: &mut Lanes,
    wanted: &Wanted,
) -> sqlx::Result<bool> {
    let lease = shared.options.lease.as_secs_f64();
    let now = shared.clock.for_database();
    let worker = shared.number().await?;
    // Waiting for a connection is not part of the lease's life.
    let mut connection = shared.pool.acquire().await?;
    let asked_at = Instant::now();
    let claimed = store::claim(&mut *connection, now, wanted, worker, lease).await;
    drop(connection);
    let claimed = match claimed {
        Err(error) if is_lock_timeout(&error) => return Ok(go_around(lanes)),
        claimed => claimed?,
    };
    let known = lanes.note(wanted, &claimed);
    Ok(hand_over(shared, handlers, lanes, claimed.jobs, asked_at).await || !known)
}

/// Claims of one queue by its rules.
async fn claim_ruled(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    lanes: &mut Lanes,
    wanted: &Wanted,
    ruled: &Ruled,
) -> sqlx::Result<bool> {
    let lease = shared.options.lease.as_secs_f64();
    let now = shared.clock.for_database();
    let worker = shared.number().await?;
    let take = Take {
        queue: &ruled.queue,
        free: ruled.free,
        room: ruled.room,
        stretches: &ruled.stretches,
        goes_around: wanted.goes_around,
        numbered: lanes.need_number(&ruled.queue),
    };
    let mut connection = shared.pool.acquire().await?;
    let asked_at = Instant::now();
    let taken = store::take(&mut *connection, now, take, worker, lease).await;
    drop(connection);
    let taken = match taken {
        Err(error) if is_lock_timeout(&error) => return Ok(go_around(lanes)),
        taken => taken?,
    };
    lanes.note_taken(wanted, ruled, &taken);
    let is_new = taken.turn == Turn::Unruled;
    let jobs = all_or_none(shared, taken).await;
    Ok(hand_over(shared, handlers, lanes, jobs, asked_at).await || is_new)
}

/// The jobs of a claim, if it tells of all that are in its lease. The book would close the lease with the last
/// job that it knows of, and lose the others. So none starts: those go back that are known, and the others when
/// the lease runs out.
pub(crate) async fn all_or_none(shared: &Shared, taken: Taken) -> Vec<Leased> {
    let Taken { jobs, leased, .. } = taken;
    if jobs.len() == leased {
        return jobs;
    }
    tracing::error!(leased, told = jobs.len(), "a claim does not tell of all jobs in its lease");
    let mut endings = Endings::default();
    for job in &jobs {
        endings.put(job, &Ending::Released, Duration::ZERO);
    }
    let now = shared.clock.for_database();
    if let Err(error) = store::finish(&shared.pool, now, &endings).await {
        tracing::warn!(%error, "nor can the others go back; their lease runs out");
    }
    Vec::new()
}

/// There is something, and somebody else has a hand on it.
fn go_around(lanes: &mut Lanes) -> bool {
    tracing::warn!("a transaction stays open that has a hand on the next jobs; claims go around");
    lanes.go_around();
    true
}

/// Puts claimed jobs into their lines; answers whether there were any.
async fn hand_over(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    lanes: &Lanes,
    jobs: Vec<Leased>,
    asked_at: Instant,
) -> bool {
    if asked_at.elapsed() > shared.options.lease / 3 {
        // The next renewal may come too late for these.
        tracing::warn!(jobs = jobs.len(), "a claim was answered late; its jobs go back");
        put_back(shared, prepare(shared, handlers, jobs)).await;
        return false;
    }
    let any = !jobs.is_empty();
    lanes.put(prepare(shared, handlers, jobs));
    any
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
