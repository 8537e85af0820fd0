//! The line of one queue: jobs that wait here for a handler, and the places where handlers run.
//!
//! A place opens when a job waits and no other is about to open, and takes jobs until there are
//! none. So slow jobs run side by side, and a quick one costs no task of its own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::runner::Work;

/// Jobs of one queue that wait in this process at most.
const MAX_LENGTH: usize = 4000;
/// The line is as long as the handlers empty in this time: it hides the way to the database from
/// handlers that are quicker than it. Slow jobs are not hoarded: they stay in the queue, where any
/// other process may take them.
const LENGTH_SECONDS: f64 = 0.05;

pub(crate) struct Line {
    places: usize,
    /// So many jobs one place may take at once.
    chunk: usize,
    pace: Pace,
    state: Mutex<State>,
    /// To the shell.
    opened: mpsc::UnboundedSender<Place>,
    /// To the fetcher: there is room.
    freed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Work>,
    /// Places that are open or about to.
    open: usize,
    /// One of them has not taken its first job yet.
    opening: bool,
    /// The fetcher has been told that there is room, and has not looked since.
    told: bool,
    closed: bool,
}

impl Line {
    pub fn new(
        places: usize,
        chunk: usize,
        opened: mpsc::UnboundedSender<Place>,
        freed: Arc<Notify>,
    ) -> Arc<Self> {
        let (pace, state) = (Pace::default(), Mutex::default());
        Arc::new(Self { places, chunk, pace, state, opened, freed })
    }

    /// How many jobs it could take. A line that is still half full waits for a larger claim.
    pub fn room(&self) -> usize {
        let length = self.pace.length(self.places, self.chunk);
        let mut state = self.state();
        state.told = false;
        let free = self.places.saturating_sub(state.open) * self.chunk;
        let waiting = state.jobs.len();
        if waiting > length / 2 && waiting >= free {
            return 0;
        }
        (free + length).saturating_sub(waiting)
    }

    /// How many jobs would start at once.
    pub fn free(&self) -> usize {
        let state = self.state();
        (self.places.saturating_sub(state.open) * self.chunk).saturating_sub(state.jobs.len())
    }

    /// The bound was kept by [`room`](Self::room).
    pub fn put(self: &Arc<Self>, jobs: impl IntoIterator<Item = Work>) {
        let mut state = self.state();
        state.jobs.extend(jobs);
        let opens = state.opens(self.places);
        drop(state);
        if opens {
            self.open();
        }
    }

    /// Nothing starts any more; answers what has not. It may be called again when more has come.
    pub fn close(&self) -> Vec<Work> {
        let mut state = self.state();
        state.closed = true;
        state.jobs.drain(..).collect()
    }

    fn open(self: &Arc<Self>) {
        let place = Place { line: self.clone(), is_opening: true, is_open: true };
        // It fails only when the shell is gone, and then the worker as a whole ends.
        let _ = self.opened.send(place);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether another place is to open now; it then counts as open.
    fn opens(&mut self, places: usize) -> bool {
        let opens = !self.opening && !self.closed && self.open < places && !self.jobs.is_empty();
        if opens {
            self.opening = true;
            self.open += 1;
        }
        opens
    }

    /// The first job, and as many more as its handler takes with it.
    fn take(&mut self) -> Option<Turn> {
        let first = self.jobs.pop_front()?;
        let at_most = first.route.at_most();
        let mut more = Vec::new();
        let mut at = 0;
        while more.len() + 1 < at_most
            && let Some(next) = self.jobs.get(at)
        {
            if Arc::ptr_eq(&next.route, &first.route) {
                more.extend(self.jobs.remove(at));
            } else {
                at += 1;
            }
        }
        Some(Turn { first, more })
    }
}

/// What a place runs at once: a job, and more of its kind if its handler takes chunks.
pub(crate) struct Turn {
    pub first: Work,
    pub more: Vec<Work>,
}

/// The right to run handlers of a queue, one at a time.
pub(crate) struct Place {
    line: Arc<Line>,
    is_opening: bool,
    is_open: bool,
}

impl Place {
    /// Before the next job is taken: opens another place for those behind it, and asks for more. Answers
    /// whether that has woken somebody.
    pub fn announce(&mut self) -> bool {
        let length = self.line.pace.length(self.line.places, self.line.chunk);
        let mut state = self.line.state();
        if std::mem::take(&mut self.is_opening) {
            state.opening = false;
        }
        let behind = state.jobs.len().saturating_sub(1);
        let opens = behind > 0 && state.opens(self.line.places);
        let tells = !state.told && behind <= length / 2;
        state.told |= tells;
        drop(state);
        if opens {
            self.line.open();
        }
        if tells {
            self.line.freed.notify_one();
        }
        opens || tells
    }

    /// What to run next. Without it, the place has closed.
    pub fn next(&mut self) -> Option<Turn> {
        let mut state = self.line.state();
        let turn = if state.closed { None } else { state.take() };
        if turn.is_none() {
            // Under the same lock that found nothing: whoever puts a job sees the place free.
            self.is_open = false;
            state.open -= 1;
            state.told = true;
            drop(state);
            self.line.freed.notify_one();
        }
        turn
    }

    /// How long its handler took.
    pub fn note(&self, ran: Duration) {
        self.line.pace.note(ran);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_open {
            let mut state = self.line.state();
            state.open -= 1;
            state.opening &= !self.is_opening;
        }
    }
}

/// How long handlers of a queue take, as a moving average; nothing before the first has ended.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    /// The newest counts for so much.
    const WEIGHT: f64 = 0.1;

    fn note(&self, ran: Duration) {
        // A race loses one sample of many.
        let seconds = ran.as_secs_f64();
        let average = match self.average() {
            Some(average) => average + Self::WEIGHT * (seconds - average),
            None => seconds,
        };
        self.0.store(average.max(f64::MIN_POSITIVE).to_bits(), Ordering::Relaxed);
    }

    fn average(&self) -> Option<f64> {
        let average = f64::from_bits(self.0.load(Ordering::Relaxed));
        (average > 0.0).then_some(average)
    }

    /// How many jobs so many handlers end in the time of a line: whole chunks, since a line that is cut
    /// short would make chunks small, and their handlers no quicker.
    fn length(&self, places: usize, chunk: usize) -> usize {
        let calls = self.average().map_or(0.0, |average| places as f64 * LENGTH_SECONDS / average);
        (calls as usize).saturating_mul(chunk).min(MAX_LENGTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_jobs_are_taken_ahead_and_slow_ones_are_not() {
        let quick = Pace::default();
        assert_eq!(quick.length(4, 1), 0, "nothing is known yet");
        quick.note(Duration::from_micros(100));
        assert_eq!(quick.length(4, 1), 2000);
        let slow = Pace::default();
        slow.note(Duration::from_secs(1));
        assert_eq!(slow.length(4, 1), 0);
    }

    #[test]
    fn chunks_are_taken_ahead_as_a_whole() {
        let pace = Pace::default();
        pace.note(Duration::from_millis(30));
        assert_eq!((pace.length(2, 1), pace.length(2, 100)), (3, 300));
        pace.note(Duration::from_secs(10));
        assert_eq!(pace.length(2, 100), 0, "slow ones are not");
    }

    #[test]
    fn a_pace_follows_its_runs() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.note(Duration::from_millis(1));
        }
        for _ in 0..100 {
            pace.note(Duration::from_millis(100));
        }
        assert!(pace.average().is_some_and(|average| average > 0.09), "{:?}", pace.average());
    }
}
