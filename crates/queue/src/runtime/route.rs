//! How a kind is run: its handler, its bounds, its figures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::{Counter, Histogram};

use super::chunk::Chunk;
use super::runner::Failure;
use crate::{Backoff, Kind, Outcome, Run};

/// A handler with its context in it: decodes the arguments and runs.
#[derive(Clone)]
pub(crate) enum Handler {
    One(HandleOne),
    Chunk { at_most: usize, handle: HandleChunk },
}

pub(crate) type HandleOne =
    Arc<dyn Fn(Run) -> BoxFuture<'static, Result<Outcome, Failure>> + Send + Sync>;

/// Leaves a result with each run.
pub(crate) type HandleChunk = Arc<dyn Fn(Chunk) -> BoxFuture<'static, ()> + Send + Sync>;

/// The way of a kind's jobs to their handler.
pub(crate) struct Route {
    pub handler: Handler,
    pub timeout: Duration,
    pub backoff: Backoff,
    /// Looked up once: most runs are done.
    pub done: Counter,
    pub seconds: Histogram,
    /// How many jobs a call takes, where it may take several.
    pub chunk: Histogram,
}

impl Route {
    pub fn new(kind: &Kind, handler: Handler) -> Self {
        let chunk = match handler {
            Handler::One(_) => Histogram::noop(),
            Handler::Chunk { .. } => metrics::histogram!("beadle_chunk_jobs", "kind" => kind.name),
        };
        Self {
            handler,
            chunk,
            timeout: kind.timeout,
            backoff: kind.backoff,
            done: metrics::counter!("beadle_runs_total", "kind" => kind.name, "outcome" => "done"),
            seconds: metrics::histogram!("beadle_run_seconds", "kind" => kind.name),
        }
    }

    /// Says that nobody here knows the kind.
    pub fn unknown(kind: &str, wait: Duration) -> Self {
        let name = kind.to_owned();
        let handle: HandleOne = Arc::new(move |_| {
            let failure = Failure::UnknownKind { kind: name.clone(), wait };
            Box::pin(async move { Err(failure) })
        });
        Self {
            handler: Handler::One(handle),
            timeout: Duration::from_secs(1),
            backoff: Backoff::DEFAULT,
            done: Counter::noop(),
            seconds: Histogram::noop(),
            chunk: Histogram::noop(),
        }
    }

    /// How many jobs one call of its handler takes.
    pub fn at_most(&self) -> usize {
        match self.handler {
            Handler::One(_) => 1,
            Handler::Chunk { at_most, .. } => at_most,
        }
    }
}

/// Kinds that jobs were of and that this process does not know.
#[derive(Default)]
pub(crate) struct Unknown(Mutex<HashMap<String, Instant>>);

impl Unknown {
    /// Another process may know it, and may be about to be deployed.
    const FIRST_WAIT: Duration = Duration::from_secs(60);
    /// A kind that is gone for good should not fill history.
    const LONGEST_WAIT: Duration = Duration::from_secs(3600);

    /// How long a job of the kind waits: longer, the longer nobody was there who knows it.
    pub fn wait(&self, kind: &str) -> Duration {
        let mut first_met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let met_at = first_met.entry(kind.to_owned()).or_insert_with(Instant::now);
        met_at.elapsed().clamp(Self::FIRST_WAIT, Self::LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_nobody_knows_is_tried_less_and_less_often() {
        let unknown = Unknown::default();
        assert_eq!(unknown.wait("demo.gone"), Duration::from_secs(60));
        let met_before = |minutes: u64| {
            let met_at = Instant::now() - Duration::from_secs(60 * minutes);
            unknown.0.lock().unwrap().insert("demo.gone".into(), met_at);
            unknown.wait("demo.gone").as_secs()
        };
        assert!((600..610).contains(&met_before(10)));
        assert_eq!(met_before(120), 3600);
        assert_eq!(unknown.wait("demo.other"), Duration::from_secs(60));
    }
}
