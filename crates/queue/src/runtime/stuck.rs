//! Reports handlers that were told to stop and do not: they block their thread, where nothing can
//! drop them.
//!
//! A thread of its own looks, because handlers that block all threads of the runtime stop its tasks.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use metrics::Gauge;
use uuid::Uuid;

use super::{Shared, runner};
use crate::Run;
use crate::fleet::Handlers;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After its grace a handler is dropped at its next `.await`, which should be near.
const PATIENCE: Duration = runner::GRACE.saturating_add(Duration::from_millis(500));

/// Dropped, it ends the watch once nothing is stuck.
pub(super) struct Watch {
    _until: Sender<()>,
}

/// Watches the handlers of this process.
pub(super) fn watch(shared: Arc<Shared>, handlers: Handlers) -> io::Result<Watch> {
    let (until, dropped) = mpsc::channel();
    let look = move || look(&shared, &handlers, &dropped);
    std::thread::Builder::new().name("stuck-handlers".into()).spawn(look)?;
    Ok(Watch { _until: until })
}

fn look(shared: &Shared, handlers: &Handlers, dropped: &Receiver<()>) {
    let mut watched = HashMap::<(i64, Uuid), Watched>::new();
    loop {
        let ends = dropped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected);
        for run in shared.leases.under_way() {
            let leased = run.leased();
            let (key, timeout) = ((leased.token, leased.id), handlers.of(&leased.kind).timeout);
            watched.entry(key).or_insert(Watched { run, timeout, told: None, stuck: None });
        }
        watched.retain(|_, handler| handler.is_there());
        if ends && watched.values().all(|handler| handler.stuck.is_none()) {
            return;
        }
        if ends {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A handler that was there at the last look.
struct Watched {
    run: Run,
    timeout: Duration,
    /// When it was told to stop.
    told: Option<Instant>,
    /// It has been reported, and counts.
    stuck: Option<Gauge>,
}

impl Watched {
    /// Looks again, and reports what has changed.
    fn is_there(&mut self) -> bool {
        let is_there = self.run.is_under_way();
        let is_told = self.run.stop().reason().is_some() || self.run.elapsed() > self.timeout;
        if is_told {
            self.told.get_or_insert_with(Instant::now);
        }
        let seconds = self.told.map_or(Duration::ZERO, |told| told.elapsed()).as_secs_f64();
        let (leased, trace) = (self.run.leased(), self.run.trace());
        if let Some(stuck) = self.stuck.take_if(|_| !is_there) {
            stuck.decrement(1.0);
            tracing::info!(
                kind = leased.kind, job_id = %leased.id, attempt = leased.attempt,
                trace_id = trace.id(), seconds, "a handler that did not stop has let go"
            );
        }
        if is_there && self.stuck.is_none() && seconds >= PATIENCE.as_secs_f64() {
            let stuck = metrics::gauge!("beadle_handlers_stuck", "kind" => leased.kind.clone());
            stuck.increment(1.0);
            self.stuck = Some(stuck);
            tracing::error!(
                kind = leased.kind, job_id = %leased.id, attempt = leased.attempt,
                trace_id = trace.id(), seconds,
                "a handler was told to stop and does not: it blocks its thread"
            );
        }
        is_there
    }
}

/// Dropped after a handler's future.
pub(super) struct Held<'a>(pub &'a Run);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
