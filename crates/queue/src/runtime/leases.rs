//! The leases this process holds, and how their runs are told to stop.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::Run;

/// Why a run should stop before its handler returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reason {
    /// Somebody asked for it.
    Cancelled,
    /// The process stops; the job goes back.
    Released,
    /// The job belongs to somebody else; this run may write nothing.
    LeaseLost,
}

/// Asks one run to stop. The first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    reason: OnceLock<Reason>,
    asked: Notify,
}

impl Stop {
    pub fn ask(&self, reason: Reason) {
        self.reason.get_or_init(|| reason);
        self.asked.notify_waiters();
    }

    pub fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }

    /// Returns the reason once there is one.
    pub async fn asked(&self) -> Reason {
        loop {
            let mut asked = std::pin::pin!(self.asked.notified());
            // In the list of those who wait before the look: what is asked after it, wakes.
            asked.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason;
            }
            asked.await;
        }
    }
}

/// Which leases are held, and which of their jobs have not ended.
#[derive(Default)]
pub(crate) struct Leases {
    book: Mutex<HashMap<i64, Lease>>,
    /// Leases without jobs that the database still has.
    emptied: Mutex<Vec<i64>>,
    /// Runs that have no lease any more and whose handlers may still be there.
    lost: Mutex<Vec<Run>>,
}

#[derive(Default)]
struct Lease {
    runs: Vec<Run>,
    /// Those that have not been struck off.
    open: usize,
}

impl Lease {
    fn open_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| !run.is_struck())
    }
}

impl Leases {
    /// A whole claim at once: a job that ends at once must not find its lease empty.
    pub fn add<'a>(&self, runs: impl Iterator<Item = &'a Run>) {
        let mut book = self.book();
        for run in runs {
            let lease = book.entry(run.leased().token).or_default();
            lease.runs.push(run.clone());
            lease.open += 1;
        }
    }

    /// The leases that have no job left once these have ended, and those that were found empty
    /// since the last call. The former stay in the book, and are renewed, until the database has it
    /// too.
    pub fn closing<'a>(&self, ended: impl Iterator<Item = &'a Run>) -> Vec<i64> {
        let mut counts = HashMap::<i64, usize>::new();
        for run in ended.filter(|run| !run.is_struck()) {
            *counts.entry(run.leased().token).or_default() += 1;
        }
        let book = self.book();
        let all = |(token, count): &(i64, usize)| {
            book.get(token).is_some_and(|lease| lease.open == *count)
        };
        let closing = counts.into_iter().filter(all).map(|(token, _)| token);
        closing.chain(std::mem::take(&mut *self.emptied())).collect()
    }

    /// Strikes off jobs whose end is recorded. A lease that two batches have emptied together, so
    /// that neither closed it, is for the next to close. Without a next one it expires, and a rescue
    /// finds nothing in it.
    pub fn strike<'a>(&self, ended: impl Iterator<Item = &'a Run>, closed: &[i64]) {
        let mut book = self.book();
        for run in ended.filter(|run| run.strike()) {
            let token = run.leased().token;
            let Some(lease) = book.get_mut(&token) else { continue };
            lease.open -= 1;
            if lease.open * 2 < lease.runs.len() {
                // Whoever waits for the last of many need not keep the arguments of all.
                lease.runs.retain(|run| !run.is_struck());
            }
            if lease.open == 0 {
                book.remove(&token);
                if !closed.contains(&token) {
                    self.emptied().push(token);
                }
            }
        }
    }

    pub fn tokens(&self) -> Vec<i64> {
        self.book().keys().copied().collect()
    }

    pub fn jobs(&self) -> Vec<Uuid> {
        let book = self.book();
        book.values().flat_map(Lease::open_runs).map(Run::job_id).collect()
    }

    pub fn cancel(&self, job: Uuid) {
        let book = self.book();
        if let Some(run) = book.values().flat_map(Lease::open_runs).find(|run| run.job_id() == job)
        {
            run.stop().ask(Reason::Cancelled);
        }
    }

    /// Another worker has these jobs, or may have them soon.
    pub fn lose(&self, token: i64) {
        let lease = self.book().remove(&token);
        for run in lease.iter().flat_map(Lease::open_runs) {
            run.stop().ask(Reason::LeaseLost);
            self.lost().push(run.clone());
        }
    }

    /// Runs whose handlers are at work, also those that have lost their lease since the last call.
    pub fn under_way(&self) -> Vec<Run> {
        let lost = std::mem::take(&mut *self.lost());
        let book = self.book();
        let held = book.values().flat_map(|lease| &lease.runs).filter(|run| run.is_under_way());
        lost.into_iter().filter(Run::is_under_way).chain(held.cloned()).collect()
    }

    /// Asks everything to stop; answers how many runs that is.
    pub fn stop_all(&self, reason: Reason) -> usize {
        let book = self.book();
        let open = book.values().flat_map(Lease::open_runs);
        open.inspect(|run| run.stop().ask(reason)).count()
    }

    fn book(&self) -> MutexGuard<'_, HashMap<i64, Lease>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emptied(&self) -> MutexGuard<'_, Vec<i64>> {
        self.emptied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> MutexGuard<'_, Vec<Run>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
