//! Claims jobs for free handlers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::shell::Work;
use super::{Ending, Pool, Reason, Shared, Stop};
use crate::Run;
use crate::fleet::Handlers;
use crate::store::{self, Endings, Leased, Wanted};

/// One claim takes no more of a queue: a larger lease would only be lost in larger pieces.
const MAX_CLAIM: usize = 500;
/// The longest wait between two tries while the database is away.
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Goes round until told to stop: claims as many jobs as handlers are free, and hands them over.
pub(super) async fn fetch(
    shared: Arc<Shared>,
    handlers: Handlers,
    work: mpsc::Sender<Work>,
    stop: CancellationToken,
) {
    let slots = Slots::new(&shared.options.pools);
    let mut failures: u32 = 0;
    while !stop.is_cancelled() {
        shared.heartbeat.beat();
        let wait = match claim(&shared, &handlers, &slots, &work).await {
            Ok(More::Yes) => Duration::ZERO,
            Ok(More::No) => {
                failures = 0;
                shared.options.poll
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "jobs cannot be claimed");
                (shared.options.poll * failures).min(MAX_RETRY)
            }
        };
        if !wait.is_zero() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = shared.wake.notified(), if failures == 0 => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Whether some queue gave all it was asked for, and so may have more.
enum More {
    Yes,
    No,
}

async fn claim(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    slots: &Slots,
    work: &mpsc::Sender<Work>,
) -> sqlx::Result<More> {
    let wanted = slots.wanted();
    if wanted.queues.is_empty() {
        return Ok(More::No);
    }
    let lease = shared.options.lease;
    let now = shared.clock.for_database();
    // Waiting for a connection is not part of the lease's life.
    let mut connection = shared.pool.acquire().await?;
    let asked_at = Instant::now();
    let jobs =
        store::claim(&mut *connection, now, &wanted, &shared.worker, lease.as_secs_f64()).await?;
    drop(connection);
    if asked_at.elapsed() > lease / 3 {
        // The next renewal may come too late for these.
        tracing::warn!(jobs = jobs.len(), "a claim was answered late; its jobs go back");
        put_back(shared, &jobs).await?;
        return Ok(More::No);
    }
    let more = filled(&wanted, &jobs);
    // The whole lease is in the book before anything runs: a job that ends at once does not close it.
    let jobs: Vec<_> = jobs.into_iter().map(|job| prepare(shared, handlers, slots, job)).collect();
    for job in jobs {
        // It fails only when the shell is gone, and then the worker as a whole ends.
        if work.send(job).await.is_err() {
            break;
        }
    }
    Ok(more)
}

fn filled(wanted: &Wanted, jobs: &[Leased]) -> More {
    let full = wanted.queues.iter().zip(&wanted.free).any(|(queue, free)| {
        jobs.iter().filter(|job| job.queue == *queue).count() == *free as usize
    });
    if full { More::Yes } else { More::No }
}

/// Returns jobs that have not started, without burning an attempt.
async fn put_back(shared: &Shared, jobs: &[Leased]) -> sqlx::Result<()> {
    let mut endings = Endings::default();
    for job in jobs {
        endings.add(job, &Ending::Released, Duration::ZERO);
    }
    endings.closed = endings.tokens.clone();
    store::finish(&shared.pool, shared.clock.for_database(), &endings).await.map(drop)
}

fn prepare(shared: &Arc<Shared>, handlers: &Handlers, slots: &Slots, leased: Leased) -> Work {
    let stop = Stop::default();
    if leased.cancelled {
        stop.ask(Reason::Cancelled);
    }
    shared.leases.add(leased.token, leased.id, stop.clone());
    let permit = slots.take(&leased.queue);
    let slot = permit.map(|permit| Slot { permit: Some(permit), shared: shared.clone() });
    let (handler, timeout, backoff) = handlers.of(&leased.kind);
    let run = Run::new(leased, backoff, shared.clock.clone(), stop);
    Work { run, handler, timeout, slot }
}

/// The right to run one handler of a queue. Given back, it wakes the fetcher.
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.permit.take();
        self.shared.wake.notify_one();
    }
}

/// The free handlers of each queue.
struct Slots(Vec<(String, Arc<Semaphore>)>);

impl Slots {
    fn new(pools: &[Pool]) -> Self {
        let semaphore = |pool: &Pool| Arc::new(Semaphore::new(pool.concurrency));
        Self(pools.iter().map(|pool| (pool.queue.clone(), semaphore(pool))).collect())
    }

    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for (queue, slots) in &self.0 {
            let free = slots.available_permits().min(MAX_CLAIM);
            if free > 0 {
                wanted.queues.push(queue.clone());
                wanted.free.push(free as i32);
            }
        }
        wanted
    }

    /// Only the fetcher takes slots, so what it counted as free is still free.
    fn take(&self, queue: &str) -> Option<OwnedSemaphorePermit> {
        let (_, slots) = self.0.iter().find(|(name, _)| name == queue)?;
        slots.clone().try_acquire_owned().ok()
    }
}
