//! What a job is, and how it may end.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// What a job is: its arguments, and how the queue should treat it.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// `<queue>.<order>`, stored with every job. Renaming it strands the jobs already queued.
    const KIND: &'static str;
    /// After this many failed attempts a job is dead.
    const MAX_ATTEMPTS: i16 = 10;
    /// A run that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration = Duration::from_secs(60);
    /// How long to wait before the next attempt.
    const BACKOFF: Backoff = Backoff::DEFAULT;
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

/// The waits between attempts: each is `factor` times the one before, up to `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub factor: f64,
    pub cap: Duration,
}

impl Backoff {
    pub const DEFAULT: Self =
        Self { first: Duration::from_secs(5), factor: 2.0, cap: Duration::from_secs(3600) };

    /// No wait is longer, whatever a kind says.
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Up to this share is added at random, so that jobs that failed together do not return together.
    const JITTER: f64 = 0.25;

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
