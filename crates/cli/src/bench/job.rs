//! The job that is measured: it does nothing, and says when it was pushed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use queue::{Clock, Fleet, Job, Outcome, Run};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::histogram::Histogram;

/// About a hundred bytes of arguments, as a job with two ids and a name has.
#[derive(Debug, Serialize, Deserialize)]
pub struct DoNothing {
    pub pushed_at_micros: i64,
    pub note: String,
}

impl Job for DoNothing {
    const KIND: &'static str = "bench.do_nothing";
}

pub const QUEUE: &str = "bench";
const NOTE: &str = "sixty-odd bytes that nobody reads, as the names in a real job";

impl DoNothing {
    pub fn now() -> Self {
        Self { pushed_at_micros: micros(), note: NOTE.to_owned() }
    }
}

/// How long jobs waited from their push to their handler; shared by all handlers of a process.
#[derive(Clone, Default)]
pub struct Starts(Arc<Mutex<Histogram>>);

impl Starts {
    /// What has come since the last call.
    pub fn take(&self) -> Histogram {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub fn fleet(pool: PgPool, starts: Starts) -> Fleet<Starts> {
    Fleet::new(pool, Clock::system(), starts).worker(run)
}

async fn run(job: DoNothing, starts: Starts, _run: Run) -> anyhow::Result<Outcome> {
    // Pusher and handler read one machine's clock.
    let waited = u64::try_from(micros() - job.pushed_at_micros).unwrap_or(0);
    let mut all = starts.0.lock().unwrap_or_else(PoisonError::into_inner);
    all.add(Duration::from_micros(waited));
    Ok(Outcome::Done)
}

fn micros() -> i64 {
    Clock::system().now().timestamp_micros()
}
