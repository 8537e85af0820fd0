//! How a kind is run: its handler, its bounds, its figures.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Counter, Histogram};

use super::runner::Failure;
use crate::{Backoff, Kind, Outcome, Run};

/// A handler with its context in it: decodes the arguments and runs.
pub(crate) type Handler =
    Arc<dyn Fn(Run) -> BoxFuture<'static, Result<Outcome, Failure>> + Send + Sync>;

/// The way of a kind's jobs to their handler.
pub(crate) struct Route {
    pub handler: Handler,
    pub timeout: Duration,
    pub backoff: Backoff,
    /// Looked up once: most runs are done.
    pub done: Counter,
    pub seconds: Histogram,
}

impl Route {
    pub fn new(kind: &Kind, handler: Handler) -> Self {
        Self {
            handler,
            timeout: kind.timeout,
            backoff: kind.backoff,
            done: metrics::counter!("beadle_runs_total", "kind" => kind.name, "outcome" => "done"),
            seconds: metrics::histogram!("beadle_run_seconds", "kind" => kind.name),
        }
    }

    /// Says that nobody here knows the kind.
    pub fn unknown(kind: &str) -> Self {
        let name = kind.to_owned();
        let handler: Handler = Arc::new(move |_| {
            let failure = Failure::UnknownKind(name.clone());
            Box::pin(async move { Err(failure) })
        });
        Self {
            handler,
            timeout: Duration::from_secs(1),
            backoff: Backoff::DEFAULT,
            done: Counter::noop(),
            seconds: Histogram::noop(),
        }
    }
}
