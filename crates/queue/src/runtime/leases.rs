//! The leases this process holds, and how their runs are told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
pub(crate) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Stop {
    pub fn ask(&self, reason: Reason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    pub fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }

    /// Returns the reason once there is one.
    pub async fn asked(&self) -> Reason {
        self.token.cancelled().await;
        self.reason().expect("the reason is set before the token is cancelled")
    }
}

/// Which leases are held, and which of their jobs have not ended.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<i64, HashMap<Uuid, Stop>>>);

impl Leases {
    pub fn add(&self, token: i64, job: Uuid, stop: Stop) {
        self.book().entry(token).or_default().insert(job, stop);
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
