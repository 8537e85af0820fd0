//! The tasks of one worker process, and how they start and stop.
//!
//! These tasks share one book of leases: the *fetcher* claims and puts jobs into the *lines* of their
//! queues, the *shell* (an apalis worker) keeps the places going that run what stands there, singly or in
//! *chunks*, the *completer* records how runs ended, the *keeper* renews leases, and *upkeep* promotes and
//! rescues. A *listener* wakes the fetcher, a *settler* starts jobs that waited for others, and a *watch*
//! reports handlers that are *stuck*.

mod chunk;
mod completer;
mod ending;
mod fetcher;
mod flag;
mod keeper;
mod lanes;
mod leases;
mod line;
mod listener;
mod marks;
mod route;
mod runner;
mod settler;
mod shell;
mod stuck;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{Notify, OnceCell, mpsc};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use chunk::{Chunk, MAX_CHUNK};
use completer::Limits;
pub(crate) use completer::{Ways, record, ways};
pub(crate) use ending::{Ended, Ending};
pub(crate) use fetcher::{all_or_none, prepare};
use lanes::Lanes;
pub(crate) use leases::{Leases, Reason, Stop};
pub(crate) use line::Line;
pub(crate) use marks::{Marks, Stretch};
pub(crate) use route::{HandleChunk, HandleOne, Handler, Route, Unknown};
pub(crate) use runner::Failure;
pub(crate) use shell::run_all;

use crate::Clock;
use crate::fleet::Handlers;
use crate::store;

/// How many handlers of one queue run at once in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub queue: String,
    pub concurrency: usize,
}

/// How a process works.
#[derive(Clone, Debug)]
pub struct WorkOptions {
    pub pools: Vec<Pool>,
    /// How long a silent worker keeps its jobs.
    pub lease: Duration,
    /// How often a worker looks for what is due or lost. An idle one that is told of pushes looks for
    /// jobs ten times less often.
    pub poll: Duration,
    /// The database is behind a pooler in transaction mode: nothing is set on a connection or
    /// expected of it. An idle worker then polls more often.
    pub pooled: bool,
    /// How long running handlers may take to end at shutdown.
    pub shutdown: Duration,
}

impl WorkOptions {
    pub fn new(pools: Vec<Pool>) -> Self {
        Self {
            pools,
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            pooled: false,
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Says whether a worker goes round; cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    start: Instant,
    /// When it wants to go round next, at the latest.
    due_millis: Arc<AtomicU64>,
}

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), due_millis: Arc::default() }
    }

    /// For how long it has been due to go round.
    pub fn overdue(&self) -> Duration {
        let due = Duration::from_millis(self.due_millis.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(due)
    }

    pub(crate) fn due_in(&self, wait: Duration) {
        let due = (self.start.elapsed() + wait).as_millis() as u64;
        self.due_millis.store(due, Ordering::Relaxed);
    }
}

/// What the tasks of one process share.
pub(crate) struct Shared {
    /// Not the handlers' pool: when they hold all of its connections, leases must still be renewed.
    pub pool: PgPool,
    /// Nor the engine's own: what runs say must not hold up claims and outcomes.
    pub notes_pool: PgPool,
    pub clock: Clock,
    /// Host, process id and a random part: who it was, in history.
    pub name: String,
    /// The number of that name, once it has been entered.
    pub number: OnceCell<i32>,
    pub options: WorkOptions,
    pub leases: Leases,
    /// Something may have become ready.
    pub wake: Notify,
    /// Members of a workflow may have ended.
    pub unsettled: Notify,
    /// A line has room.
    pub freed: Arc<Notify>,
    /// Notifications arrive.
    pub hears: AtomicBool,
    pub heartbeat: Heartbeat,
}

impl Shared {
    /// Who this is, in leases.
    pub async fn number(&self) -> sqlx::Result<i32> {
        let enter = || async {
            let queues: Vec<_> = self.options.pools.iter().map(|pool| pool.queue.clone()).collect();
            store::enter_worker(&self.pool, &self.name, &queues).await
        };
        self.number.get_or_try_init(enter).await.copied()
    }
}

/// A worker at work.
#[derive(Debug)]
pub struct Working {
    stop: CancellationToken,
    heartbeat: Heartbeat,
    task: AbortOnDropHandle<Result<(), Broken>>,
}

/// A part of the worker ended that should not have; its leases expire and others go on.
#[derive(Debug, thiserror::Error)]
#[error("the worker's {part} ended: {reason}")]
pub struct Broken {
    part: &'static str,
    reason: String,
}

impl Working {
    pub(crate) fn start(shared: Shared, handlers: Handlers) -> Self {
        let stop = CancellationToken::new();
        let heartbeat = shared.heartbeat.clone();
        heartbeat.due_in(Duration::ZERO);
        let task = tokio::spawn(work(Arc::new(shared), handlers, stop.clone()));
        Self { stop, heartbeat, task: AbortOnDropHandle::new(task) }
    }

    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Waits for the worker to end by itself, which it only does when it is broken.
    pub async fn broken(&mut self) -> Broken {
        match (&mut self.task).await {
            Ok(Ok(())) => Broken { part: "whole", reason: "it was told to stop".into() },
            Ok(Err(broken)) => broken,
            Err(error) => ended("whole", Err(error)),
        }
    }

    /// Stops claiming, lets handlers end within the limit, and puts back what has not.
    pub async fn stop(self) -> Result<(), Broken> {
        self.stop.cancel();
        match self.task.await {
            Ok(result) => result,
            Err(error) => Err(ended("whole", Err(error))),
        }
    }
}

/// How many ended runs may wait for the database before handlers have to.
const MAX_UNRECORDED: usize = 4096;
/// How long the last outcomes may take to be recorded at shutdown.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

async fn work(
    shared: Arc<Shared>,
    handlers: Handlers,
    stop: CancellationToken,
) -> Result<(), Broken> {
    let (opened, places) = mpsc::unbounded_channel();
    let line = |pool: &Pool| {
        let chunk = handlers.largest_chunk(&pool.queue);
        Line::new(pool.concurrency, chunk, opened.clone(), shared.freed.clone())
    };
    let lines: Vec<_> = shared.options.pools.iter().map(line).collect();
    drop(opened);
    let (ways, outlets) = ways(MAX_UNRECORDED);
    let recording = Limits::default();

    let kinds = handlers.kinds.clone();
    let lanes = Lanes::new(&shared.options.pools, &lines);
    let watch = stuck::watch(shared.clone(), handlers.clone())
        .map_err(|error| Broken { part: "watch", reason: error.to_string() })?;
    let mut fetcher = spawn(fetcher::fetch(shared.clone(), handlers, lanes, stop.clone()));
    let mut shell = spawn(run_all(shared.name.clone(), places, ways.clone()));
    let mut completer = spawn(completer::complete(shared.clone(), outlets, recording.clone()));
    let mut keeper = spawn(keeper::keep(shared.clone()));
    let mut listener = spawn(listener::listen(shared.clone()));
    let mut upkeep = spawn(upkeep::keep_up(shared.clone(), kinds));
    let mut settler = spawn(settler::settle(shared.clone()));

    tokio::select! {
        // Told to stop, parts end one after the other, and that is no fault.
        biased;
        () = stop.cancelled() => {}
        end = &mut fetcher => return Err(ended("fetcher", end)),
        end = &mut shell => return Err(ended("shell", end)),
        end = &mut completer => return Err(ended("completer", end)),
        end = &mut keeper => return Err(ended("keeper", end)),
        end = &mut listener => return Err(ended("listener", end)),
        end = &mut upkeep => return Err(ended("upkeep", end)),
        end = &mut settler => return Err(ended("settler", end)),
    }

    drop(listener);
    drop(upkeep);
    give_back(&lines, &ways).await;
    match tokio::time::timeout(FLUSH_LIMIT, &mut fetcher).await {
        Ok(end) => end.map_err(|error| ended("fetcher", Err(error)))?,
        Err(_) => {
            tracing::error!("a claim is not answered; what it took runs again when its lease ends")
        }
    }
    // What the last claim has brought. Without lines, the shell ends with the last of its runs.
    drop(fetcher);
    give_back(&lines, &ways).await;
    drop((lines, ways));
    if tokio::time::timeout(shared.options.shutdown, &mut shell).await.is_err() {
        let open = shared.leases.stop_all(Reason::Released);
        tracing::warn!(jobs = open, "handlers still run at the shutdown limit; their jobs go back");
        if tokio::time::timeout(2 * runner::GRACE, &mut shell).await.is_err() {
            tracing::error!("handlers do not yield; their jobs go back when the lease ends");
        }
    }
    drop(watch);
    // The completer records what is left. A handler that does not yield keeps its way open.
    drop(shell);
    recording.close.cancel();
    if tokio::time::timeout(FLUSH_LIMIT, &mut completer).await.is_err() {
        tracing::error!("outcomes could not be recorded; their jobs run again when the lease ends");
        recording.give_up.cancel();
    }
    drop((keeper, settler));
    sign_off(&shared).await;
    // Connections that a stuck server holds are not waited for.
    let close = async { tokio::join!(shared.pool.close(), shared.notes_pool.close()) };
    let _ = tokio::time::timeout(CLOSE_LIMIT, close).await;
    Ok(())
}

/// Nobody needs to wait for a worker that has gone.
async fn sign_off(shared: &Shared) {
    let Some(&number) = shared.number.get() else { return };
    let signed = store::sign_worker(&shared.pool, number, true);
    if !matches!(tokio::time::timeout(CLOSE_LIMIT, signed).await, Ok(Ok(()))) {
        tracing::warn!("that this worker has stopped could not be written down");
    }
}

/// Closes the lines and returns what has not started.
async fn give_back(lines: &[Arc<Line>], ways: &Ways) {
    let give_back = async {
        for work in lines.iter().flat_map(|line| line.close()) {
            let (ending, ran) = (Ending::Released, Duration::ZERO);
            ways.send(Ended { run: work.run, ending, ran }).await;
        }
    };
    if tokio::time::timeout(FLUSH_LIMIT, give_back).await.is_err() {
        tracing::error!(
            "jobs that have not started could not go back; they run again when their lease ends"
        );
    }
}

fn spawn<F>(future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(future))
}

fn ended(part: &'static str, end: Result<(), JoinError>) -> Broken {
    let reason = end.err().map_or_else(|| "without a reason".into(), |error| error.to_string());
    Broken { part, reason }
}

/// Somebody else's lock was not to be had in time.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_waits_for_its_time_is_not_overdue() {
        let start = Instant::now() - Duration::from_secs(60);
        let heartbeat = Heartbeat { start, due_millis: Arc::default() };
        assert!(heartbeat.overdue() >= Duration::from_secs(60));
        heartbeat.due_in(Duration::from_secs(10));
        assert_eq!(heartbeat.overdue(), Duration::ZERO);
        heartbeat.due_in(Duration::ZERO);
        assert!(heartbeat.overdue() < Duration::from_secs(60));
    }
}
