//! Runs the jobs of a line, one turn after the other: stops them, bounds them, and decides how they ended.

use std::any::Any;
use std::iter;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::Instrument;

use super::chunk::run_chunk;
use super::completer::Ways;
use super::ending::Cause;
use super::line::{Place, Turn};
use super::route::{HandleOne, Handler, Route};
use super::stuck::Held;
use super::{Ended, Ending};
use crate::{Outcome, Permanent, Run};

/// How long a handler that was asked to stop may take before it is dropped.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Why a handler gave no outcome. Cloned for each job of a chunk.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No attempt can succeed: the arguments are not what the kind takes.
    #[error("arguments do not decode: {0}")]
    Undecodable(String),
    /// Another process may know it, during a deployment for example: no attempt is burnt.
    #[error("this process has no handler for kind {kind}")]
    UnknownKind { kind: String, wait: Duration },
    #[error("panicked: {0}")]
    Panicked(String),
    #[error("took longer than {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("{0:#}")]
    Handler(Arc<anyhow::Error>),
}

impl Failure {
    pub fn handler(error: anyhow::Error) -> Self {
        Self::Handler(Arc::new(error))
    }

    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Panicked(text.unwrap_or("without a message").to_owned())
    }
}

/// A job on its way to its handler.
pub(crate) struct Work {
    pub run: Run,
    pub route: Arc<Route>,
}

/// Runs what stands in the line until nothing does.
///
/// tokio runs whom a thread has woken last on that thread and nowhere else. So the fetcher goes first if
/// it was woken here: behind a handler that blocks, nothing would be claimed. For recorders that costs too
/// much: woken for each outcome, they record small batches.
pub(super) async fn run_line(mut place: Place, ended: Ways) {
    loop {
        if place.announce() {
            tokio::task::yield_now().await;
        }
        let Some(Turn { first: Work { run, route }, more }) = place.next() else { return };
        match &route.handler {
            Handler::One(handle) => {
                if let Some(end) = run_whole(run, &route, handle).await {
                    place.note(end.ran);
                    ended.send(end).await;
                }
            }
            Handler::Chunk { handle, .. } => {
                let runs = iter::once(run).chain(more.into_iter().map(|work| work.run));
                let ends = run_chunk(runs, &route, handle).await;
                // They are timed together.
                if let Some(ran) = ends.iter().map(|end| end.ran).max() {
                    place.note(ran);
                }
                for end in ends {
                    ended.send(end).await;
                }
            }
        }
    }
}

/// A handler may also panic while it is dropped: that is this job's failure, and not the line's.
async fn run_whole(run: Run, route: &Route, handle: &HandleOne) -> Option<Ended> {
    let ending = match AssertUnwindSafe(run_one(&run, route, handle)).catch_unwind().await {
        Ok(ending) => ending?,
        Err(panic) => Ending::failure(&run, Failure::panicked(&*panic).to_string()),
    };
    Some(end(run, ending, route))
}

async fn run_one(run: &Run, route: &Route, handle: &HandleOne) -> Option<Ending> {
    // What was stopped before its start is not started.
    if let Some(reason) = run.stop().reason() {
        return Ending::stopped(reason);
    }
    run.begin();
    run.with_notes(supervise(run, route, handle)).await
}

/// Runs a handler to its end, or stops it.
async fn supervise(run: &Run, route: &Route, handle: &HandleOne) -> Option<Ending> {
    let _held = Held(run);
    let mut handler = std::pin::pin!(call(run, handle));
    // Many are done at once, and need neither a timer nor somebody who listens.
    if let Poll::Ready(result) = futures_util::poll!(handler.as_mut()) {
        return settle(run, result);
    }
    let reason = tokio::select! {
        biased;
        reason = run.stop().asked() => reason,
        result = &mut handler => return settle(run, result),
        () = tokio::time::sleep(route.timeout) => {
            return Some(conclude(run, Err(Failure::Late(route.timeout))));
        }
    };
    let Some(stopped) = Ending::stopped(reason) else {
        tracing::warn!(job_id = %run.job_id(), "the lease is lost; this run stops");
        return None;
    };
    match tokio::time::timeout(GRACE, handler).await {
        Ok(result) => settle(run, result),
        Err(_) => Some(stopped),
    }
}

/// What a handler gave. If it was asked to stop, its error is that it did.
pub(super) fn settle(run: &Run, result: Result<Outcome, Failure>) -> Option<Ending> {
    match run.stop().reason() {
        Some(reason) if result.is_err() => Ending::stopped(reason),
        _ => Some(conclude(run, result)),
    }
}

/// Calls the handler in its span and its trace. Its panic is this job's failure.
async fn call(run: &Run, handle: &HandleOne) -> Result<Outcome, Failure> {
    let leased = run.leased();
    let trace = run.trace();
    // A span of a lower level vanishes with `log = "warn"`, and its trace id with it.
    let span = tracing::error_span!(
        "job.run",
        kind = leased.kind,
        job_id = %leased.id,
        attempt = leased.attempt,
        trace_id = trace.id(),
    );
    trace.adopt(&span);
    let handler = AssertUnwindSafe(async { handle(run.clone()).await }).catch_unwind();
    let result = trace.scope(handler).instrument(span).await;
    result.unwrap_or_else(|panic| Err(Failure::panicked(&*panic)))
}

fn conclude(run: &Run, result: Result<Outcome, Failure>) -> Ending {
    let failure = match (result, run.finished_in_transaction()) {
        // What counts is whether the transaction committed. If it did, this is a repetition and is
        // ignored; if it did not, the run has failed.
        (Ok(_), Some(outcome)) => {
            let error = "the transaction that should have recorded the outcome did not commit";
            let otherwise = Box::new(Ending::failure(run, error.into()));
            return Ending::Told { outcome, otherwise };
        }
        (Ok(outcome), None) => return Ending::of(outcome),
        (Err(failure), _) => failure,
    };
    let error = failure.to_string();
    match failure {
        Failure::Undecodable(_) => Ending::Dead { error, cause: Cause::Poison },
        Failure::UnknownKind { wait, .. } => Ending::Snoozed { after: wait, why: Some(error) },
        Failure::Handler(cause) if cause.chain().any(|cause| cause.is::<Permanent>()) => {
            Ending::Dead { error, cause: Cause::Permanent }
        }
        Failure::Handler(_) | Failure::Panicked(_) | Failure::Late(_) => {
            Ending::failure(run, error)
        }
    }
}

/// Nothing of this happens to a run whose lease is lost.
pub(super) fn end(run: Run, ending: Ending, route: &Route) -> Ended {
    let ran = run.elapsed();
    let end = Ended { ending, run, ran };
    report(&end, route);
    end
}

/// The one place where a failed run is logged.
fn report(ended: &Ended, route: &Route) {
    let leased = ended.run.leased();
    let outcome = ended.outcome();
    if outcome == "done" {
        route.done.increment(1);
    } else {
        metrics::counter!("beadle_runs_total", "kind" => leased.kind.clone(), "outcome" => outcome)
            .increment(1);
    }
    route.seconds.record(ended.ran.as_secs_f64());
    if outcome == "done" && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let trace_id = ended.run.trace().id();
    match &ended.ending {
        Ending::Told { .. } => {}
        Ending::Failed { error, again } => tracing::warn!(
            kind = leased.kind, job_id = %leased.id, attempt = leased.attempt, trace_id,
            again_seconds = again.as_secs(), error, "a run failed and is tried again"
        ),
        Ending::Snoozed { why: Some(why), .. } => tracing::warn!(
            kind = leased.kind, job_id = %leased.id, attempt = leased.attempt, trace_id,
            why, "a job waits"
        ),
        Ending::Dead { error, .. } => tracing::error!(
            kind = leased.kind, job_id = %leased.id, attempt = leased.attempt, trace_id,
            error, "a job is dead"
        ),
        _ => tracing::debug!(
            kind = leased.kind, job_id = %leased.id, attempt = leased.attempt, trace_id,
            outcome, "a run ended"
        ),
    }
}
