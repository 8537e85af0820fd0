//! How a run ended, and what the database is told about it.

use std::time::Duration;

use sqlx::types::Json;

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
        match &self.ending {
            Ending::Told { outcome, .. } => outcome,
            ending => ending.name(),
        }
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
    /// Never again.
    Dead {
        error: String,
        cause: Cause,
    },
    Cancelled,
    /// Back to the list, as if it had not been started.
    Released,
    /// Its handler's transaction has recorded it, the handler says. If that did not commit, it ended
    /// otherwise.
    Told {
        outcome: &'static str,
        otherwise: Box<Ending>,
    },
}

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    /// It was the last attempt.
    Exhausted,
    /// No attempt can succeed, says its handler.
    Permanent,
    /// No handler can read it.
    Poison,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::Poison => "poison",
        }
    }
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
            Self::Dead { error, cause: Cause::Exhausted }
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
            Self::Told { otherwise, .. } => otherwise.name(),
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Discarded(error) | Self::Failed { error, .. } | Self::Dead { error, .. } => {
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
            Self::Told { otherwise, .. } => otherwise.again(),
            _ => None,
        }
    }
}

impl Endings {
    pub fn add(&mut self, run: &Run, ending: &Ending, ran: Duration) {
        let leased = run.leased();
        self.put(leased, ending, ran);
        if let (Ending::Done, Some(output)) = (ending, run.stored_output()) {
            self.outputs.which.add(leased);
            self.outputs.outputs.push(Json(output));
        }
        if run.stop().reason() == Some(Reason::Cancelled) && ending.again().is_none() {
            self.stopped.add(leased);
        }
    }

    /// As of a run that has said nothing.
    pub fn put(&mut self, leased: &Leased, ending: &Ending, ran: Duration) {
        if let Ending::Told { otherwise, .. } = ending {
            return self.put(leased, otherwise, ran);
        }
        self.tokens.push(leased.token);
        self.jobs.push(leased.id);
        self.attempts.push(leased.attempt);
        self.outcomes.push(ending.name());
        self.notes.push(ending.error().map(|error| storable(error, MAX_ERROR_BYTES)));
        self.ran_seconds.push(ran.as_secs_f64());
        if let Some(after) = ending.again() {
            let failed = matches!(ending, Ending::Failed { .. });
            self.again.which.add(leased);
            self.again.queues.push(leased.queue.clone());
            self.again.priorities.push(leased.own_priority());
            self.again.attempts.push(leased.attempt + i16::from(failed));
            self.again.max_attempts.push(leased.max_attempts);
            self.again.seconds.push(after.as_secs_f64());
            let ruled = leased.ruled.clone().unwrap_or_default();
            self.again.keys.push(ruled.key.unwrap_or_default());
            self.again.tenants.push(ruled.tenant);
            return;
        }
        if leased.keyed {
            self.keyed.add(leased);
        }
        if leased.workflow.is_some() {
            self.members.push(leased.id);
        }
        if let Some(key) = leased.ruled.as_ref().and_then(|ruled| ruled.key.as_ref()) {
            self.passing.which.add(leased);
            self.passing.keys.push(key.clone());
        }
        let cause = match ending {
            Ending::Dead { cause, .. } => cause.name(),
            Ending::Discarded(_) | Ending::Cancelled => "decided",
            _ => return,
        };
        self.buried.which.add(leased);
        self.buried.kinds.push(leased.kind.clone());
        self.buried.queues.push(leased.queue.clone());
        self.buried.causes.push(cause);
        self.buried.fingerprints.push(fingerprint(ending.error().unwrap_or_default()));
    }
}

/// The same for errors that differ only in numbers and ids, and still readable.
fn fingerprint(error: &str) -> String {
    const MAX_BYTES: usize = 200;
    let line = error.lines().next().unwrap_or_default();
    let mut fingerprint = String::new();
    // With its hyphens, since a group of an id may happen to be all letters.
    let ends_word = |c: char| !c.is_alphanumeric() && c != '-';
    for word in line.split_inclusive(ends_word) {
        let tail = word.chars().next_back().filter(|&c| ends_word(c));
        let end = word.len() - tail.map_or(0, char::len_utf8);
        let (word, tail) = word.split_at(end);
        // Numbers, ids, hashes: words that have a digit in them.
        let varies = word.chars().any(|c| c.is_ascii_digit());
        fingerprint.push_str(if varies { "#" } else { word });
        fingerprint.push_str(tail);
        if fingerprint.len() > MAX_BYTES {
            break;
        }
    }
    let fingerprint = fingerprint.replace('\0', "\u{fffd}");
    fingerprint[..fingerprint.floor_char_boundary(MAX_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_and_ids_have_one_fingerprint() {
        let of = |user: &str, seconds: u32| {
            fingerprint(&format!("user {user}: no answer after {seconds} s\nat line 3"))
        };
        let one = of("0199a3b2-7c1d-7e6f-8a9b-0c1d2e3f4a5b", 30);
        assert_eq!(one, of("0299b3b2-aded-7e6f-8a9b-0c1d2e3f4a50", 7));
        assert_eq!(one, "user #: no answer after # s");
        assert_ne!(one, fingerprint("user 7: card refused"));
        assert_eq!(fingerprint(&"é".repeat(300)).len(), 200);
    }
}
