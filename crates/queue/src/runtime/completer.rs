//! Records how runs ended, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Ended, Ending, Shared};
use crate::store::{self, Accepted, Endings};

/// Runs that end while a batch is being recorded make up the next one.
const MAX_BATCH: usize = 1000;
/// Statements under way at a time: while one commits, the next is put together.
const RECORDERS: usize = 2;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);

/// The ways of ended runs to whoever records them.
///
/// Runs that were finished in a transaction of their handler go a way of their own: recording them
/// waits until that transaction has ended, and nobody else should wait with them.
#[derive(Clone)]
pub(crate) struct Ways {
    own: mpsc::Sender<Ended>,
    rest: mpsc::Sender<Ended>,
}

/// Where they lead.
pub(crate) struct Outlets {
    own: mpsc::Receiver<Ended>,
    rest: mpsc::Receiver<Ended>,
}

pub(crate) fn ways(capacity: usize) -> (Ways, Outlets) {
    let (own, own_out) = mpsc::channel(capacity);
    let (rest, rest_out) = mpsc::channel(capacity);
    (Ways { own, rest }, Outlets { own: own_out, rest: rest_out })
}

impl Ways {
    pub async fn send(&self, ended: Ended) {
        let finished = ended.run.finished_in_transaction().is_some();
        let way = if finished { &self.own } else { &self.rest };
        // The other end outlives the shell, unless the worker is broken and its leases expire.
        if way.send(ended).await.is_err() {
            tracing::error!("an outcome could not be handed over");
        }
    }
}

impl Outlets {
    /// What has come, once all ways are gone.
    pub async fn all(mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        for outlet in [&mut self.own, &mut self.rest] {
            while let Some(ended) = outlet.recv().await {
                all.push(ended);
            }
        }
        all
    }
}

/// When recording ends. Until then it goes on while there are ways.
#[derive(Clone, Default)]
pub(super) struct Limits {
    /// Nothing more is taken: what has come is recorded.
    pub close: CancellationToken,
    /// Nobody waits for the rest.
    pub give_up: CancellationToken,
}

pub(super) async fn complete(shared: Arc<Shared>, outlets: Outlets, limits: Limits) {
    let mut recorders = JoinSet::new();
    for (outlet, count) in [(outlets.own, 1), (outlets.rest, RECORDERS)] {
        let outlet = Arc::new(Mutex::new(outlet));
        for _ in 0..count {
            recorders.spawn(record_all(shared.clone(), outlet.clone(), limits.clone()));
        }
    }
    // A panic of theirs is a panic here: the worker as a whole then ends.
    while let Some(end) = recorders.join_next().await {
        end.expect("outcomes are recorded");
    }
}

async fn record_all(
    shared: Arc<Shared>,
    outlet: Arc<Mutex<mpsc::Receiver<Ended>>>,
    limits: Limits,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        // One gathers while another's statement is under way.
        gather(&mut *outlet.lock().await, &mut batch, &limits.close).await;
        if batch.is_empty() {
            return;
        }
        tokio::select! {
            () = record(&shared, &batch) => {}
            () = limits.give_up.cancelled() => return,
        }
        batch.clear();
    }
}

/// Waits for runs that have ended; finds none when there will be none.
async fn gather(
    outlet: &mut mpsc::Receiver<Ended>,
    batch: &mut Vec<Ended>,
    close: &CancellationToken,
) {
    tokio::select! {
        _ = outlet.recv_many(batch, MAX_BATCH) => {}
        () = close.cancelled() => {
            outlet.close();
            outlet.recv_many(batch, MAX_BATCH).await;
        }
    }
}

/// Records a batch; when the database refuses a value in it, each run by itself.
pub(crate) async fn record(shared: &Shared, batch: &[Ended]) {
    if try_record(shared, batch).await.is_ok() {
        return;
    }
    for ended in batch {
        let Err(error) = try_record(shared, std::slice::from_ref(ended)).await else { continue };
        tracing::error!(%error, job_id = %ended.run.job_id(), "an outcome was refused by the database");
        let ending =
            Ending::failure(&ended.run, format!("its outcome could not be stored: {error}"));
        let instead = Ended { run: ended.run.clone(), ending, ran: Duration::ZERO };
        if let Err(error) = try_record(shared, &[instead]).await {
            tracing::error!(%error, "nor was its failure; the job runs again when its lease ends");
            shared.leases.lose(ended.run.leased().token);
        }
    }
}

/// Tries until the database answers; an error is its refusal of a value. The statement may be
/// repeated: what it stored, it stores once.
async fn try_record(shared: &Shared, batch: &[Ended]) -> sqlx::Result<()> {
    let mut endings = Endings::default();
    for ended in batch {
        endings.add(&ended.run, &ended.ending, ended.ran);
        // Its handler's transaction may have recorded it.
        endings.repeated |= ended.run.finished_in_transaction().is_some();
    }
    let runs = || batch.iter().map(|ended| &ended.run);
    endings.closed = shared.leases.closing(runs());
    let mut wait = FIRST_RETRY;
    loop {
        match store::finish(&shared.pool, shared.clock.for_database(), &endings).await {
            Ok(accepted) => {
                shared.leases.strike(runs(), &endings.closed);
                // Rules may let others start now.
                if runs().any(|run| run.leased().ruled.is_some()) {
                    shared.wake.notify_one();
                }
                if runs().any(|run| run.leased().workflow.is_some()) {
                    shared.unsettled.notify_one();
                }
                if !endings.repeated {
                    count_stale(batch, &accepted);
                }
                return Ok(());
            }
            // It was recorded while nobody looked: now it is seen.
            Err(error) if is_repetition(&error) && !endings.repeated => {}
            Err(error) if is_refusal(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, jobs = batch.len(), "outcomes cannot be recorded yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(MAX_RETRY);
            }
        }
        endings.repeated = true;
    }
}

fn is_repetition(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// Whether a value is what the database minds: data exceptions and violated constraints. Anything
/// else may pass, also a repetition that has not committed yet.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    !is_repetition(error)
        && code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// A stale writer changes nothing; operators should see that there was one.
fn count_stale(batch: &[Ended], accepted: &[Accepted]) {
    for ended in batch {
        let leased = ended.run.leased();
        let alive = accepted.iter().any(|lease| lease.token == leased.token);
        if !alive {
            tracing::warn!(job_id = %leased.id, "an outcome came after its lease was lost");
            metrics::counter!("beadle_runs_stale_total", "kind" => leased.kind.clone())
                .increment(1);
        }
    }
}
