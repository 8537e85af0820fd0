//! Progress and log lines: said without waiting, written beside the handler, the last at its end.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Run, store};
use crate::Error;
use crate::text::storable;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// A run writes no more often, however often it says something.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// The longest wait between two tries while the database is away.
const MAX_RETRY: Duration = Duration::from_secs(5);
/// How long the end of a run waits for the database to take what the run said.
const LAST_WRITE_LIMIT: Duration = Duration::from_secs(10);

const MAX_NOTE_BYTES: usize = 200;
const MAX_LINE_BYTES: usize = 4 * 1024;
/// Of one run; what comes after is counted and not kept.
const MAX_LINES: i32 = 1000;
const MAX_LOG_BYTES: usize = 256 * 1024;

/// What a run has said. It costs nothing until something is said.
#[derive(Debug, Default)]
pub(super) struct Notes {
    said: Mutex<Said>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Said {
    unwritten: Batch,
    lines: i32,
    bytes: usize,
    left_out: usize,
    costs: i32,
    /// The handler has ended.
    closed: bool,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub progress: Option<Progress>,
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    pub percent: i16,
    pub note: String,
    pub at: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub number: i32,
    pub level: Level,
    pub message: String,
    pub at: Instant,
}

impl Run {
    /// Says how far the job is, from 0 to 100. It may be called as often as is convenient: the latest
    /// is written twice a second, and the last one at the end of the run.
    pub fn progress(&self, percent: f64, note: &str) {
        // Down: 100 is what is finished. Not a number, as 0 of 0, is 0.
        let percent = percent.clamp(0.0, 100.0).floor() as i16;
        let note = storable(note, MAX_NOTE_BYTES);
        self.0.notes.say(|said| {
            said.unwritten.progress = Some(Progress { percent, note, at: Instant::now() });
        });
    }

    /// Adds a line to the job's log, which is kept with its history.
    ///
    /// The first thousand lines of a run are kept, or the first 256 KiB; the log then says how many
    /// are missing.
    pub fn log(&self, level: Level, message: &str) {
        let message = storable(message, MAX_LINE_BYTES);
        self.0.notes.say(|said| said.add_line(level, message));
    }

    /// Runs the handler to its end, and writes beside it what it says.
    pub(crate) async fn with_notes<T>(&self, handler: impl Future<Output = T>) -> T {
        let output = tokio::select! {
            biased;
            output = handler => output,
            never = self.write_on() => match never {},
        };
        if self.0.notes.close() {
            self.write_rest().await;
        }
        output
    }

    /// Writes whenever something was said, but not too often.
    async fn write_on(&self) -> Infallible {
        let mut wait = WRITE_EVERY;
        loop {
            self.0.notes.changed.notified().await;
            match self.write().await {
                Ok(()) => wait = WRITE_EVERY,
                // The run has been told to stop.
                Err(Error::LeaseLost) => return std::future::pending().await,
                Err(error) => {
                    tracing::warn!(%error, job_id = %self.job_id(), "what a run says cannot be stored yet");
                    self.0.notes.changed.notify_one();
                    wait = (wait * 2).min(MAX_RETRY);
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Before the outcome, because that may end the lease.
    async fn write_rest(&self) {
        let written = async {
            while let Err(error) = self.write().await {
                if matches!(error, Error::LeaseLost) {
                    return;
                }
                tracing::warn!(%error, job_id = %self.job_id(), "what a run said cannot be stored yet");
                tokio::time::sleep(WRITE_EVERY).await;
            }
        };
        if tokio::time::timeout(LAST_WRITE_LIMIT, written).await.is_err() {
            tracing::error!(job_id = %self.job_id(), "what a run said last is lost");
        }
    }

    /// Writes what was said until now. A batch that is written twice is stored once.
    async fn write(&self) -> Result<(), Error> {
        let batch = self.0.notes.said().unwritten.clone();
        if batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.locked().await?;
        let now = self.0.clock.for_database();
        if let Some(progress) = &batch.progress {
            store::set_progress(&mut tx, self.leased(), progress, now).await?;
        }
        if !batch.lines.is_empty() {
            store::add_lines(&mut tx, self.leased(), &batch.lines, now).await?;
        }
        tx.commit().await?;
        self.0.notes.said().unwritten.remove(&batch);
        Ok(())
    }
}

impl Notes {
    /// The handler has ended; answers whether anything is left to write.
    fn close(&self) -> bool {
        let mut said = self.said();
        said.closed = true;
        if said.left_out > 0 {
            let message = format!("{} more lines were not kept", said.left_out);
            said.keep_line(Level::Warn, message);
        }
        !said.unwritten.is_empty()
    }

    pub fn is_closed(&self) -> bool {
        self.said().closed
    }

    /// The number of the next cost.
    pub fn count_cost(&self) -> i32 {
        let mut said = self.said();
        said.costs = said.costs.saturating_add(1);
        said.costs
    }

    fn say(&self, what: impl FnOnce(&mut Said)) {
        let mut said = self.said();
        if !said.closed {
            what(&mut said);
            self.changed.notify_one();
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn add_line(&mut self, level: Level, message: String) {
        if self.left_out > 0
            || self.lines == MAX_LINES
            || self.bytes + message.len() > MAX_LOG_BYTES
        {
            self.left_out += 1;
        } else {
            self.keep_line(level, message);
        }
    }

    fn keep_line(&mut self, level: Level, message: String) {
        self.lines += 1;
        self.bytes += message.len();
        let line = Line { number: self.lines, level, message, at: Instant::now() };
        self.unwritten.lines.push(line);
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.progress.is_none() && self.lines.is_empty()
    }

    /// Leaves what was said since `written` was copied.
    fn remove(&mut self, written: &Self) {
        self.lines.drain(..written.lines.len());
        if self.progress == written.progress {
            self.progress = None;
        }
    }
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(notes: &Notes, message: &str) {
        notes.say(|said| said.add_line(Level::Info, message.into()));
    }

    #[test]
    fn a_run_that_says_nothing_has_nothing_to_write() {
        let (silent, spoke, late) = (Notes::default(), Notes::default(), Notes::default());
        line(&spoke, "one");
        assert!(!silent.close() && spoke.close());
        late.close();
        line(&late, "too late");
        assert!(late.said().unwritten.is_empty());
    }

    #[test]
    fn what_is_said_while_a_batch_is_written_stays_for_the_next() {
        let notes = Notes::default();
        let progress = |percent| {
            notes.say(|said| {
                let (note, at) = (String::new(), Instant::now());
                said.unwritten.progress = Some(Progress { percent, note, at });
            });
        };
        line(&notes, "one");
        progress(1);
        let written = notes.said().unwritten.clone();
        line(&notes, "two");
        progress(2);
        notes.said().unwritten.remove(&written);
        let left = notes.said().unwritten.clone();
        assert_eq!(left.progress.as_ref().map(|progress| progress.percent), Some(2));
        assert_eq!((left.lines.len(), left.lines[0].number), (1, 2));
        notes.said().unwritten.remove(&left);
        assert!(notes.said().unwritten.is_empty());
    }
}
