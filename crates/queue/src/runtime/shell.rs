//! The handlers' shell: an apalis worker that keeps the places of all lines going.
//!
//! apalis is touched here and nowhere else. Its task is a place in a line, where one job is run after
//! the other; how a run ends is decided there, and apalis' own status, retry and timeout take no part.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;
use tower::layer::util::Identity;
use uuid::Uuid;

use super::completer::Ways;
use super::line::Place;
use super::runner;

/// Runs what stands in the lines until all of them are gone and the last handler has returned.
pub(crate) async fn run_all(name: String, opened: mpsc::UnboundedReceiver<Place>, ended: Ways) {
    let worker = WorkerBuilder::new(name)
        .backend(Opened { places: opened, config: () })
        .parallelize(spawn)
        .build(Runner { ended });
    // The source cannot fail, and no run returns an error.
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

/// The source that the apalis worker polls: places that open.
struct Opened {
    places: mpsc::UnboundedReceiver<Place>,
    config: (),
}

impl Backend for Opened {
    type Task = Task<Place>;
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
    ) -> Poll<Option<Result<Task<Place>, Infallible>>> {
        self.places
            .poll_recv(cx)
            .map(|place| place.map(|place| Ok(TaskBuilder::new(place).build())))
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

impl BackendConfig for Opened {
    type Args = Place;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

#[derive(Clone)]
struct Runner {
    ended: Ways,
}

impl Service<Task<Place>> for Runner {
    type Response = ();
    type Error = Infallible;
    type Future = Running;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Place>) -> Running {
        Running(Box::pin(runner::run_line(task.args, self.ended.clone())))
    }
}

/// A place at work. A type of its own, because the compiler cannot prove that a worker over a
/// boxed future is `Send`.
struct Running(BoxFuture<'static, ()>);

impl Future for Running {
    type Output = Result<(), Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}
