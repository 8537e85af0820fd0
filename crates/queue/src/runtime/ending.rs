//! How a run ended, and what the database is told about it.

use std::time::Duration;

use super::Reason;
use crate::store::{Endings, Leased};
use crate::text::storable;
use crate::{Outcome, Run};

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub run: Run,
    pub ending: Ending,
    pub ran: Duration,
}

impl Ended {
    /// What became of it, as far as this process can tell.
    pub fn outcome(&self) -> &'static str {
        self.run.finished_in_transaction().unwrap_or(self.ending.name())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    Done,
    /// Again after this long; the attempt does not count. `why` when it is not the handler's wish.
    Snoozed {
        after: Duration,
        why: Option<String>,
    },
    Discarded(String),
    /// Again after this long.
    Failed {
        error: String,
        again: Duration,
    },
    /// Never again: attempts are used up, or no attempt can succeed.
    Dead {
        error: String,
    },
    Cancelled,
    /// Back to the list, as if it had not been started.
    Released,
}

/// What Postgres can add to a time; a handler may ask for more.
const MAX_WAIT: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Enough for an error with its causes; a whole page of output belongs in object storage.
const MAX_ERROR_BYTES: usize = 8 * 1024;

impl Ending {
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Snooze(after) => Self::Snoozed { after, why: None },
            Outcome::Discard(reason) => Self::Discarded(reason),
        }
    }

    /// A run that was stopped; nothing may be written for one whose lease is lost.
    pub fn stopped(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Cancelled => Some(Self::Cancelled),
            Reason::Released => Some(Self::Released),
            Reason::LeaseLost => None,
        }
    }

    /// A failed attempt: again after its wait, unless it was the last.
    pub fn failure(run: &Run, error: String) -> Self {
        if run.is_last_attempt() {
            Self::Dead { error }
        } else {
            Self::Failed { error, again: run.backoff().after(run.attempt()) }
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Snoozed { .. } => "snoozed",
            Self::Discarded(_) => "discarded",
            Self::Failed { .. } => "failed",
            Self::Dead { .. } => "dead",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Discarded(error) | Self::Failed { error, .. } | Self::Dead { error } => {
                Some(error)
            }
            Self::Snoozed { why, .. } => why.as_deref(),
            _ => None,
        }
    }

    /// When the job starts again, if it does.
    fn again(&self) -> Option<Duration> {
        match self {
            Self::Snoozed { after, .. } | Self::Failed { again: after, .. } => {
                Some(*after.min(&MAX_WAIT))
            }
            Self::Released => Some(Duration::ZERO),
            _ => None,
        }
    }
}

impl Endings {
    pub fn add(&mut self, leased: &Leased, ending: &Ending, ran: Duration) {
        self.tokens.push(leased.token);
        self.jobs.push(leased.id);
        self.queues.push(leased.queue.clone());
        self.priorities.push(leased.priority);
        self.attempts.push(leased.attempt);
        self.max_attempts.push(leased.max_attempts);
        self.outcomes.push(ending.name().to_owned());
        self.errors.push(ending.error().map(|error| storable(error, MAX_ERROR_BYTES)));
        self.ran_seconds.push(ran.as_secs_f64());
        if leased.keyed && ending.again().is_none() {
            self.keyed.push(leased.id);
        }
        self.again_seconds.push(ending.again().map(|after| after.as_secs_f64()));
    }
}
