//! Runs jobs of one kind together: one call of their handler, and an ending for each.
//!
//! Endings are written when the handler has ended, also for a run that was stopped long before: while
//! somebody works on a job it is not over, and nobody else may begin it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::route::{HandleChunk, Route};
use super::runner::{Failure, GRACE, end, settle};
use super::stuck::Held;
use super::{Ended, Ending, Reason};
use crate::job::Job;
use crate::{Outcome, Run, Trace, kinds};

/// The largest chunk that a kind may ask for.
pub(crate) const MAX_CHUNK: usize = 1000;

/// Runs that share a call of their handler; cheap to clone.
#[derive(Clone)]
pub(crate) struct Chunk(Arc<[Member]>);

struct Member {
    run: Run,
    /// The first counts.
    result: OnceLock<Result<Outcome, Failure>>,
}

/// Runs them to their end; answers nothing of those whose lease is lost.
pub(super) async fn run_chunk(
    runs: impl Iterator<Item = Run>,
    route: &Route,
    handle: &HandleChunk,
) -> Vec<Ended> {
    // What was stopped before its start is not started.
    let (stopped, runs): (Vec<_>, Vec<_>) = runs.partition(Run::is_cancelled);
    let stopped = stopped.into_iter().filter_map(|run| {
        let ending = run.stop().reason().and_then(Ending::stopped)?;
        Some(end(run, ending, route))
    });
    let mut ended: Vec<_> = stopped.collect();
    if runs.is_empty() {
        return ended;
    }
    route.chunk.record(runs.len() as f64);
    runs.iter().for_each(Run::begin);
    let member = |run| Member { run, result: OnceLock::new() };
    let chunk = Chunk(runs.into_iter().map(member).collect());
    chunk.run(route, handle).await;
    let endings = chunk.0.iter().filter_map(|member| Some((&member.run, member.ending()?)));
    ended.extend(endings.map(|(run, ending)| end(run.clone(), ending, route)));
    ended
}

impl Chunk {
    /// The jobs with their runs. Arguments that do not decode are the failure of their run alone.
    pub fn decode<J: Job>(&self) -> Vec<(J, Run)> {
        let decode = |member: &Member| match kinds::decode::<J>(member.run.leased().args.get()) {
            Ok(job) => Some((job, member.run.clone())),
            Err(reason) => {
                member.result.get_or_init(|| Err(Failure::Undecodable(reason)));
                None
            }
        };
        self.0.iter().filter_map(decode).collect()
    }

    /// Gives each job that was decoded the handler's result for it.
    pub fn share_out(&self, results: anyhow::Result<Vec<anyhow::Result<Outcome>>>) {
        let members: Vec<_> = self.without_result().collect();
        let results = results.and_then(|results| {
            let (given, jobs) = (results.len(), members.len());
            anyhow::ensure!(given == jobs, "the handler gave {given} results for {jobs} jobs");
            Ok(results)
        });
        match results {
            Ok(results) => members.iter().zip(results).for_each(|(member, result)| {
                member.result.get_or_init(|| result.map_err(Failure::handler));
            }),
            Err(error) => self.fail(Failure::handler(error)),
        }
    }

    /// Runs the handler, and writes beside it what the runs say.
    async fn run(&self, route: &Route, handle: &HandleChunk) {
        let over = CancellationToken::new();
        let handled = async {
            let supervised = AssertUnwindSafe(self.supervise(route, handle)).catch_unwind().await;
            if let Err(panic) = supervised {
                self.fail(Failure::panicked(&*panic));
            }
            over.cancel();
        };
        let noted = self.0.iter().map(|member| member.run.with_notes(over.cancelled()));
        tokio::join!(handled, join_all(noted));
    }

    /// Runs the handler to its end, or stops it.
    async fn supervise(&self, route: &Route, handle: &HandleChunk) {
        // Dropped after the handler.
        let _held: Vec<_> = self.0.iter().map(|member| Held(&member.run)).collect();
        tokio::select! {
            biased;
            () = self.call(handle) => {}
            () = self.given_up() => {}
            () = tokio::time::sleep(route.timeout) => self.fail(Failure::Late(route.timeout)),
        }
    }

    /// Calls the handler in a span and a trace of its own, which links to those of its jobs.
    async fn call(&self, handle: &HandleChunk) {
        let trace = Trace::new();
        let kind = self.0.first().map(|member| member.run.leased().kind.as_str());
        let span =
            tracing::error_span!("chunk.run", kind, jobs = self.0.len(), trace_id = trace.id());
        trace.adopt(&span);
        self.0.iter().for_each(|member| member.run.trace().link(&span));
        trace.scope(async { handle(self.clone()).await }).instrument(span).await;
    }

    /// Returns when every run was told to stop and has had its grace. The handler of a single one is
    /// dropped then; here it goes on for the others, and is not stuck because of that.
    async fn given_up(&self) {
        let one = async |run: &Run| {
            if run.stop().asked().await != Reason::LeaseLost {
                tokio::time::sleep(GRACE).await;
            }
            run.let_go();
        };
        join_all(self.0.iter().map(|member| one(&member.run))).await;
    }

    fn fail(&self, failure: Failure) {
        for member in self.without_result() {
            member.result.get_or_init(|| Err(failure.clone()));
        }
    }

    fn without_result(&self) -> impl Iterator<Item = &Member> {
        self.0.iter().filter(|member| member.result.get().is_none())
    }
}

impl Member {
    /// How it ended, now that the handler is gone.
    fn ending(&self) -> Option<Ending> {
        let reason = self.run.stop().reason();
        if reason == Some(Reason::LeaseLost) {
            tracing::warn!(job_id = %self.run.job_id(), "the lease is lost; this run has stopped");
            return None;
        }
        match self.result.get() {
            Some(result) => settle(&self.run, result.clone()),
            // The handler was dropped because all of its runs were told to stop.
            None => reason.and_then(Ending::stopped),
        }
    }
}
