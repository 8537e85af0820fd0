//! The handlers' shell: an apalis worker that runs what the fetcher hands over.
//!
//! apalis is touched here and nowhere else. Our outermost layer decides how a run ended, from the
//! handler's result; apalis' own status, retry and timeout take no part.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::BoxDynError;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::{Task, task_id::TaskId};
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tower::{Layer, Service};
use tracing::Instrument;
use uuid::Uuid;

use super::ending::Cause;
use super::lanes::Slot;
use super::route::Route;
use super::{Ended, Ending};
use crate::{Outcome, Permanent, Run};

/// How long a handler that was asked to stop may take before it is dropped.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long a job waits for a process that knows its kind. That one may be about to be deployed.
const UNKNOWN_KIND_WAIT: Duration = Duration::from_secs(60);

/// Why a handler gave no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No attempt can succeed: the arguments are not what the kind takes.
    #[error("arguments do not decode: {0}")]
    Undecodable(String),
    /// Another process may know it, during a deployment for example: no attempt is burnt.
    #[error("this process has no handler for kind {0}")]
    UnknownKind(String),
    #[error("{0:#}")]
    Handler(anyhow::Error),
}

/// A job on its way to its handler.
pub(crate) struct Work {
    pub run: Run,
    pub route: Arc<Route>,
    pub slot: Option<Slot>,
}

/// Runs all work until the channel ends and the last handler has returned.
pub(crate) async fn run_all(name: String, work: mpsc::Receiver<Work>, ended: mpsc::Sender<Ended>) {
    let worker = WorkerBuilder::new(name)
        .backend(Claimed { work, config: (), ended })
        .parallelize(spawn)
        .build(Dispatch);
    // The source cannot fail and the outermost layer never returns an error.
    if let Err(error) = worker.run().await {
        tracing::error!(%error, "the handlers' shell ended");
    }
}

/// Dropping the handle stops the handler; a plain join handle would only lose sight of it.
fn spawn<F>(future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(future))
}

/// The source that the apalis worker polls: what the fetcher has claimed.
struct Claimed {
    work: mpsc::Receiver<Work>,
    config: (),
    ended: mpsc::Sender<Ended>,
}

impl Backend for Claimed {
    type Task = Task<Work>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Work>, Infallible>>> {
        self.work.poll_recv(cx).map(|work| {
            work.map(|work| {
                let id = TaskId::from(work.run.job_id());
                Ok(TaskBuilder::new(work).task_id(id).build())
            })
        })
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        // A source that has ended does not end its worker by itself. It fails only before the start.
        let _ = worker.stop();
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Claimed {
    type Args = Work;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = OutcomeLayer;

    fn config(&self) -> &() {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> OutcomeLayer {
        OutcomeLayer { ended: self.ended.clone() }
    }
}

/// The innermost service: calls the handler in its span and its trace.
#[derive(Clone)]
struct Dispatch;

impl Service<Task<Work>> for Dispatch {
    type Response = Outcome;
    type Error = Failure;
    type Future = Handling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Work>) -> Self::Future {
        let Work { run, route, .. } = task.args;
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
        Handling(Box::pin(trace.scope(async move { (route.handler)(run).await }).instrument(span)))
    }
}

/// A handler at work. A type of its own, because the compiler cannot prove that a worker over a
/// boxed future is `Send`.
struct Handling(BoxFuture<'static, Result<Outcome, Failure>>);

impl Future for Handling {
    type Output = Result<Outcome, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The outermost layer: stops runs, bounds them, and reports how they ended.
#[derive(Clone)]
struct OutcomeLayer {
    ended: mpsc::Sender<Ended>,
}

impl<S> Layer<S> for OutcomeLayer {
    type Service = OutcomeService<S>;

    fn layer(&self, inner: S) -> OutcomeService<S> {
        OutcomeService { inner, ended: self.ended.clone() }
    }
}

struct OutcomeService<S> {
    inner: S,
    ended: mpsc::Sender<Ended>,
}

impl<S> Service<Task<Work>> for OutcomeService<S>
where
    S: Service<Task<Work>, Response = Outcome, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut task: Task<Work>) -> Self::Future {
        let run = task.args.run.clone();
        let route = task.args.route.clone();
        let slot = task.args.slot.take();
        let ended = self.ended.clone();
        // Calling starts it: what was stopped before its start is not called.
        let stopped = run.stop().reason();
        let handler = stopped.is_none().then(|| self.inner.call(task));
        Box::pin(async move {
            let ending = match (handler, stopped) {
                (Some(handler), _) => run.with_notes(supervise(&run, route.timeout, handler)).await,
                (None, reason) => reason.and_then(Ending::stopped),
            };
            if let Some(ending) = ending {
                let ran = run.elapsed();
                let end = Ended { run, ending, ran };
                report(&end, &route);
                // The completer outlives the shell, unless the worker is broken and its leases expire.
                if ended.send(end).await.is_err() {
                    tracing::error!("an outcome could not be handed over");
                }
            }
            drop(slot);
            Ok(())
        })
    }
}

/// Runs a handler to its end, or stops it. Nothing is reported for a run whose lease is lost.
async fn supervise(
    run: &Run,
    timeout: Duration,
    handler: impl Future<Output = Result<Outcome, BoxDynError>>,
) -> Option<Ending> {
    tokio::pin!(handler);
    let reason = tokio::select! {
        biased;
        result = &mut handler => return Some(conclude(run, result)),
        reason = run.stop().asked() => reason,
        () = tokio::time::sleep(timeout) => {
            return Some(Ending::failure(run, format!("took longer than {} s", timeout.as_secs_f64())));
        }
    };
    let Some(stopped) = Ending::stopped(reason) else {
        tracing::warn!(job_id = %run.job_id(), "the lease is lost; this run stops");
        return None;
    };
    match tokio::time::timeout(GRACE, handler).await {
        Ok(Ok(outcome)) => Some(conclude(run, Ok(outcome))),
        Ok(Err(_)) | Err(_) => Some(stopped),
    }
}

fn conclude(run: &Run, result: Result<Outcome, BoxDynError>) -> Ending {
    match result {
        // What counts is whether the transaction committed. If it did, this is a repetition and is
        // ignored; if it did not, the run has failed.
        Ok(_) if run.finished_in_transaction().is_some() => Ending::failure(
            run,
            "the transaction that should have recorded the outcome did not commit".into(),
        ),
        Ok(outcome) => Ending::of(outcome),
        Err(error) => match error.downcast::<Failure>() {
            Ok(failure) => match *failure {
                Failure::Undecodable(_) => {
                    Ending::Dead { error: failure.to_string(), cause: Cause::Poison }
                }
                Failure::UnknownKind(_) => {
                    Ending::Snoozed { after: UNKNOWN_KIND_WAIT, why: Some(failure.to_string()) }
                }
                Failure::Handler(ref error)
                    if error.chain().any(|cause| cause.is::<Permanent>()) =>
                {
                    Ending::Dead { error: failure.to_string(), cause: Cause::Permanent }
                }
                Failure::Handler(_) => Ending::failure(run, failure.to_string()),
            },
            Err(error) => Ending::failure(run, panic_message(error)),
        },
    }
}

/// What a handler said when it panicked.
fn panic_message(error: BoxDynError) -> String {
    let error = match error.downcast::<JoinError>() {
        Ok(error) => error,
        Err(error) => return error.to_string(),
    };
    let Ok(panic) = error.try_into_panic() else { return "the handler was aborted".into() };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
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
        _ if ended.run.finished_in_transaction().is_some() => {}
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
