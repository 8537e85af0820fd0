//! Records how runs ended, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ended, Shared};
use crate::store::{self, Endings};

/// Runs that end while a batch is being recorded make up the next one.
const MAX_BATCH: usize = 500;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Records until the last sender is gone, or until nobody waits for the rest.
pub(super) async fn complete(
    shared: Arc<Shared>,
    mut ended: mpsc::Receiver<Ended>,
    give_up: CancellationToken,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while ended.recv_many(&mut batch, MAX_BATCH).await > 0 {
        tokio::select! {
            () = record(&shared, &batch) => {}
            () = give_up.cancelled() => return,
        }
        batch.clear();
    }
}

/// Tries until the database answers. The statement may be repeated: what it stored, it stores once.
pub(crate) async fn record(shared: &Shared, batch: &[Ended]) {
    let mut endings = Endings::default();
    for ended in batch {
        endings.add(ended.run.leased(), &ended.ending, ended.ran);
    }
    let struck = endings.tokens.iter().copied().zip(endings.jobs.iter().copied());
    endings.closed = shared.leases.strike(struck);
    let mut wait = FIRST_RETRY;
    loop {
        match store::finish(&shared.pool, shared.clock.for_database(), &endings).await {
            Ok(accepted) => return count_stale(batch, &accepted),
            Err(error) if refused(&error) => {
                // Retrying would hold up everybody else. Without renewal the leases run out, and
                // what has not been recorded is rescued.
                tracing::error!(%error, jobs = batch.len(), "outcomes were refused by the database");
                endings.tokens.iter().for_each(|token| shared.leases.forget(*token));
                return;
            }
            Err(error) => {
                tracing::warn!(%error, jobs = batch.len(), "outcomes cannot be recorded yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(MAX_RETRY);
            }
        }
    }
}

/// Whether the database answered and meant no: neither a broken connection, nor a conflict, nor a
/// lack of resources, nor a shutdown.
fn refused(error: &sqlx::Error) -> bool {
    const PASSING: [&str; 6] = ["08", "40", "53", "55", "57", "58"];
    error
        .as_database_error()
        .and_then(|e| e.code().map(|code| code.into_owned()))
        .is_some_and(|code| !PASSING.iter().any(|class| code.starts_with(class)))
}

/// A stale writer changes nothing; operators should see that there was one.
fn count_stale(batch: &[Ended], accepted: &[store::Accepted]) {
    for ended in batch {
        let leased = ended.run.leased();
        let alive = accepted.iter().any(|lease| lease.token == leased.token);
        if !alive && ended.run.finished_in_transaction().is_none() {
            tracing::warn!(job_id = %leased.id, "an outcome came after its lease was lost");
            metrics::counter!("beadle_runs_stale_total", "kind" => leased.kind.clone())
                .increment(1);
        }
    }
}
