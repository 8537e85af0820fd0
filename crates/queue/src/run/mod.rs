//! One attempt of a job, as its handler sees it.

mod cost;
mod fan_out;
mod notes;
mod step;
mod store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use cost::Cost;
pub use fan_out::{FanOut, FannedOut};
pub use notes::Level;
use notes::Notes;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::postgres::PgTransaction;
use uuid::Uuid;

use crate::runtime::{Ending, Reason, Stop};
use crate::store::{Endings, Leased, finish};
use crate::{Backoff, Clock, Error, Outcome, Trace};

/// Larger results belong in object storage, with their key in the output.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// This attempt: who it is, whether it should stop, and its exactly-once ending.
#[derive(Clone, Debug)]
pub struct Run(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    leased: Leased,
    backoff: Backoff,
    pool: PgPool,
    clock: Clock,
    stop: Stop,
    /// The book of leases has it no more.
    is_struck: AtomicBool,
    /// The handler's future is gone.
    let_go: AtomicBool,
    /// When the handler was called; what waits in this process has not begun.
    began: OnceLock<Instant>,
    /// What the handler recorded in a transaction of its own.
    finished_in: OnceLock<&'static str>,
    output: OnceLock<Box<RawValue>>,
    notes: Notes,
}

impl Run {
    pub(crate) fn new(leased: Leased, backoff: Backoff, pool: PgPool, clock: Clock) -> Self {
        let stop = Stop::default();
        let (began, finished_in, output) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (notes, is_struck) = (Notes::default(), AtomicBool::new(false));
        let let_go = AtomicBool::new(false);
        Self(Arc::new(Inner {
            leased,
            backoff,
            pool,
            clock,
            stop,
            is_struck,
            let_go,
            began,
            finished_in,
            output,
            notes,
        }))
    }

    /// The job's id: the same on every attempt, so it makes a good idempotency key.
    pub fn job_id(&self) -> Uuid {
        self.0.leased.id
    }

    /// Counts from 1. Snoozing and a graceful shutdown do not count.
    pub fn attempt(&self) -> i16 {
        self.0.leased.attempt
    }

    /// Whether a failure would now be final.
    pub fn is_last_attempt(&self) -> bool {
        self.0.leased.attempt >= self.0.leased.max_attempts
    }

    /// Returns when somebody cancelled this job, or the process must stop. What the handler has not
    /// ended after a short grace is dropped at its next `.await`.
    pub async fn cancelled(&self) {
        self.0.stop.asked().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.stop.reason().is_some()
    }

    /// Records the outcome in `tx`: effect and outcome commit together, or neither does.
    ///
    /// When the lease is lost the transaction must not commit: the job belongs to somebody else.
    /// Return `Ok` after the commit; the outcome is the one given here.
    pub async fn finish_in(
        &self,
        tx: &mut PgTransaction<'_>,
        outcome: Outcome,
    ) -> Result<(), Error> {
        let ending = Ending::of(outcome);
        self.0.finished_in.get_or_init(|| ending.name());
        let mut endings = Endings::default();
        endings.add(self, &ending, self.elapsed());
        let accepted = finish(&mut **tx, self.0.clock.for_database(), &endings).await?;
        match accepted.as_slice() {
            [lease] if lease.recorded == 1 => Ok(()),
            _ => Err(Error::LeaseLost),
        }
    }

    /// What the job has to say when it is done; kept as long as the job. The first call counts.
    pub fn output(&self, output: &impl Serialize) -> Result<(), Error> {
        let text =
            serde_json::to_string(output).map_err(|error| Error::BadOutput(error.to_string()))?;
        if text.len() > MAX_OUTPUT_BYTES {
            let reason = format!("it has {} bytes, at most {MAX_OUTPUT_BYTES} are", text.len());
            return Err(Error::BadOutput(reason));
        }
        let text =
            RawValue::from_string(text).map_err(|error| Error::BadOutput(error.to_string()))?;
        self.0.output.get_or_init(|| text);
        Ok(())
    }

    pub(crate) fn stored_output(&self) -> Option<Box<RawValue>> {
        self.0.output.get().cloned()
    }

    /// The trace it belongs to: of whoever pushed it, or one of its own that is the same on every attempt.
    pub(crate) fn trace(&self) -> Trace {
        let given = self.0.leased.trace.as_deref().and_then(Trace::parse);
        given.unwrap_or_else(|| Trace::of_job(self.0.leased.id))
    }

    /// A transaction for what the handler wants stored. The run holds its lease until it ends.
    async fn fenced(&self) -> Result<PgTransaction<'static>, Error> {
        // The lease may live on for other jobs of its batch; a task that the handler left behind
        // must not.
        if self.0.notes.is_closed() { Err(Error::LeaseLost) } else { self.locked().await }
    }

    /// The same, also once the handler has ended. A run that finds its lease gone is stopped.
    async fn locked(&self) -> Result<PgTransaction<'static>, Error> {
        if self.0.stop.reason() == Some(Reason::LeaseLost) {
            return Err(Error::LeaseLost);
        }
        let mut tx = self.0.pool.begin().await?;
        if !store::lock_lease(&mut tx, self.0.leased.token).await? {
            self.0.stop.ask(Reason::LeaseLost);
            return Err(Error::LeaseLost);
        }
        Ok(tx)
    }

    pub(crate) fn leased(&self) -> &Leased {
        &self.0.leased
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.began.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    pub(crate) fn begin(&self) {
        self.0.began.get_or_init(Instant::now);
    }

    /// Whether its handler has been called and is not gone.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.began.get().is_some() && !self.0.let_go.load(Ordering::Relaxed)
    }

    pub(crate) fn let_go(&self) {
        self.0.let_go.store(true, Ordering::Relaxed);
    }

    /// Whether its end has been recorded, and the book of leases knows.
    pub(crate) fn is_struck(&self) -> bool {
        self.0.is_struck.load(Ordering::Relaxed)
    }

    /// Answers whether this was the first time.
    pub(crate) fn strike(&self) -> bool {
        !self.0.is_struck.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.0.backoff
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// The ending that the handler took into its own hands; only the database knows if it committed.
    pub(crate) fn finished_in_transaction(&self) -> Option<&'static str> {
        self.0.finished_in.get().copied()
    }
}
