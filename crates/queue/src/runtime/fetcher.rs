//! Claims jobs for handlers that are free, or soon will be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::lanes::Lanes;
use super::shell::Work;
use super::{Ending, Reason, Shared, Stop};
use crate::Run;
use crate::fleet::Handlers;
use crate::store::{self, Endings, Leased};

/// The longest wait between two tries while the database is away.
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Goes round until told to stop: claims what the lanes have room for.
pub(super) async fn fetch(
    shared: Arc<Shared>,
    handlers: Handlers,
    mut lanes: Lanes,
    stop: CancellationToken,
) {
    let mut failures: u32 = 0;
    while !stop.is_cancelled() {
        shared.heartbeat.beat();
        match claim(&shared, &handlers, &mut lanes).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "jobs cannot be claimed");
            }
        }
        let wait = (shared.options.poll * (failures + 1)).min(MAX_RETRY.max(shared.options.poll));
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.wake.notified(), if failures == 0 => lanes.refill(),
            () = shared.freed.notified(), if failures == 0 => {}
            () = tokio::time::sleep(wait) => lanes.refill(),
        }
    }
}

/// Claims once; answers whether there was anything.
async fn claim(shared: &Arc<Shared>, handlers: &Handlers, lanes: &mut Lanes) -> sqlx::Result<bool> {
    let wanted = lanes.wanted();
    if wanted.queues.is_empty() {
        return Ok(false);
    }
    let lease = shared.options.lease;
    let now = shared.clock.for_database();
    // Waiting for a connection is not part of the lease's life.
    let mut connection = shared.pool.acquire().await?;
    let asked_at = Instant::now();
    let jobs =
        store::claim(&mut *connection, now, &wanted, &shared.worker, lease.as_secs_f64()).await?;
    drop(connection);
    lanes.note_dry(&wanted, |queue| jobs.iter().filter(|job| job.queue == queue).count());
    if asked_at.elapsed() > lease / 3 {
        // The next renewal may come too late for these.
        tracing::warn!(jobs = jobs.len(), "a claim was answered late; its jobs go back");
        put_back(shared, &jobs).await?;
        return Ok(false);
    }
    let any = !jobs.is_empty();
    // The whole lease is in the book before anything runs: a job that ends at once does not close it.
    let jobs: Vec<_> = jobs.into_iter().map(|job| prepare(shared, handlers, job)).collect();
    for (queue, job) in jobs {
        lanes.send(&queue, job);
    }
    Ok(any)
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

fn prepare(shared: &Shared, handlers: &Handlers, leased: Leased) -> (String, Work) {
    let stop = Stop::default();
    if leased.cancelled {
        stop.ask(Reason::Cancelled);
    }
    shared.leases.add(leased.token, leased.id, stop.clone());
    let (handler, timeout, backoff) = handlers.of(&leased.kind);
    let queue = leased.queue.clone();
    let run = Run::new(leased, backoff, shared.notes_pool.clone(), shared.clock.clone(), stop);
    (queue, Work { run, handler, timeout, slot: None })
}
