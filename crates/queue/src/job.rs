//! What a job is, and how it may end.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// What a job is: its arguments, and how the queue should treat it.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// `<queue>.<order>`, stored with every job. Renaming it strands the jobs already queued.
    const KIND: &'static str;
    /// How often a failed run is tried again, and when.
    const RETRY: Retry = Retry::DEFAULT;
    /// A run that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration = Duration::from_secs(60);
    /// After so many attempts in a row that took their process along a job is poison, and dead.
    const MAX_LOSSES: i16 = 2;
}

/// How a run ended when nothing went wrong. An error is retried; this is a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// Again after this long; the attempt does not count.
    Snooze(Duration),
    /// Never again, for this reason.
    Discard(String),
}

/// A failure that no further attempt can mend: the job is dead at once, and stays re-drivable.
///
/// A handler returns it like any other error: `Err(Permanent::because("no such account").into())`,
/// or `call().map_err(Permanent::new)?`. Context may be added to it.
#[derive(Debug)]
pub struct Permanent(Box<dyn std::error::Error + Send + Sync>);

impl Permanent {
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into().into())
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Permanent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// How often a failed run is tried again, and when.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// After this many failed attempts a job is dead.
    pub attempts: i16,
    pub backoff: Backoff,
}

impl Retry {
    pub const DEFAULT: Self = Self::new(10, Backoff::DEFAULT);
    /// Calls of other people's services.
    pub const EXTERNAL: Self = Self::new(8, Backoff::seconds(10, 2.0, 3600));
    /// What others have sent us: they have already been told that all is well.
    pub const INBOUND: Self = Self::new(12, Backoff::seconds(5, 2.0, 6 * 3600));
    /// Long work that is dear to repeat.
    pub const HEAVY: Self = Self::new(4, Backoff::seconds(60, 3.0, 3600));
    /// What must not go wrong twice: a person looks after the third time.
    pub const CAREFUL: Self = Self::new(3, Backoff::seconds(60, 4.0, 3600));
    /// Work on our own tables, that the next tick of the clock would do again.
    pub const DATABASE: Self = Self::new(5, Backoff::seconds(30, 2.0, 3600));
    pub const NONE: Self = Self::new(1, Backoff::DEFAULT);

    pub const fn new(attempts: i16, backoff: Backoff) -> Self {
        Self { attempts, backoff }
    }
}

/// The waits between attempts: each is `factor` times the one before, up to `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub factor: f64,
    pub cap: Duration,
}

impl Backoff {
    pub const DEFAULT: Self = Self::seconds(5, 2.0, 3600);

    /// No wait is longer, whatever a kind says.
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Up to this share is added at random, so that jobs that failed together do not return together.
    const JITTER: f64 = 0.25;

    pub const fn seconds(first: u64, factor: f64, cap: u64) -> Self {
        Self { first: Duration::from_secs(first), factor, cap: Duration::from_secs(cap) }
    }

    /// The wait after attempt number `attempt`, which counts from 1.
    pub fn after(&self, attempt: i16) -> Duration {
        let grown = self.first.as_secs_f64() * self.factor.powi(i32::from(attempt) - 1);
        let cap = self.cap.min(Self::LONGEST).as_secs_f64();
        let jitter = 1.0 + Self::JITTER * rand::random::<f64>();
        Duration::from_secs_f64(grown.clamp(0.0, cap) * jitter)
    }
}

/// The queue of a kind: what stands before its first dot.
pub(crate) fn queue_of(kind: &str) -> &str {
    kind.split('.').next().unwrap_or(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_and_stop_at_the_cap() {
        for (attempt, seconds) in [(1, 5.0), (2, 10.0), (5, 80.0), (30, 3600.0), (100, 3600.0)] {
            let wait = Backoff::DEFAULT.after(attempt).as_secs_f64();
            assert!((seconds..=seconds * 1.25).contains(&wait), "attempt {attempt} waits {wait} s");
        }
    }
}
