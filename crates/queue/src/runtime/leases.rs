//! The leases this process holds, and how their runs are told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Asking>);

#[derive(Debug, Default)]
struct Asking {
    reason: OnceLock<Reason>,
    asked: Notify,
}

impl Stop {
    pub fn ask(&self, reason: Reason) {
        self.0.reason.get_or_init(|| reason);
        self.0.asked.notify_waiters();
    }

    pub fn reason(&self) -> Option<Reason> {
        self.0.reason.get().copied()
    }

    /// Returns the reason once there is one.
    pub async fn asked(&self) -> Reason {
        loop {
            let mut asked = std::pin::pin!(self.0.asked.notified());
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
pub(crate) struct Leases(Mutex<HashMap<i64, HashMap<Uuid, Stop>>>);

impl Leases {
    /// A whole claim at once: a job that ends at once must not find its lease empty.
    pub fn add<'a>(&self, runs: impl Iterator<Item = &'a Run>) {
        let mut book = self.book();
        for run in runs {
            let leased = run.leased();
            book.entry(leased.token).or_default().insert(leased.id, run.stop().clone());
        }
    }

    /// The leases that have no job left once these have ended. They stay in the book, and are
    /// renewed, until the database has it too.
    pub fn closing(&self, ended: &[(i64, Uuid)]) -> Vec<i64> {
        let book = self.book();
        let mut counts = HashMap::<i64, usize>::new();
        for (token, job) in ended {
            if book.get(token).is_some_and(|open| open.contains_key(job)) {
                *counts.entry(*token).or_default() += 1;
            }
        }
        let all = |(token, count): &(i64, usize)| {
            book.get(token).is_some_and(|open| open.len() == *count)
        };
        counts.into_iter().filter(all).map(|(token, _)| token).collect()
    }

    /// Strikes off jobs whose end is recorded. A lease that was emptied by two batches at once, so
    /// that neither closed it, expires, and a rescue finds nothing in it.
    pub fn strike(&self, ended: &[(i64, Uuid)]) {
        let mut book = self.book();
        for (token, job) in ended {
            let Some(open) = book.get_mut(token) else { continue };
            open.remove(job);
            if open.is_empty() {
                book.remove(token);
            }
        }
    }

    pub fn tokens(&self) -> Vec<i64> {
        self.book().keys().copied().collect()
    }

    pub fn jobs(&self) -> Vec<Uuid> {
        self.book().values().flat_map(|open| open.keys().copied()).collect()
    }

    pub fn cancel(&self, job: Uuid) {
        if let Some(stop) = self.book().values().find_map(|open| open.get(&job)) {
            stop.ask(Reason::Cancelled);
        }
    }

    /// Another worker has these jobs, or may have them soon.
    pub fn lose(&self, token: i64) {
        if let Some(open) = self.book().remove(&token) {
            open.values().for_each(|stop| stop.ask(Reason::LeaseLost));
        }
    }

    /// Asks everything to stop; answers how many runs that is.
    pub fn stop_all(&self, reason: Reason) -> usize {
        let book = self.book();
        let open = book.values().flat_map(|open| open.values());
        open.inspect(|stop| stop.ask(reason)).count()
    }

    fn book(&self) -> MutexGuard<'_, HashMap<i64, HashMap<Uuid, Stop>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
