//! A lane for each queue: how many handlers are free, and a short line of jobs that wait for one.
//!
//! The line hides the way to the database from handlers that are quicker than it. It is as long as
//! the handlers empty in a moment, so slow jobs are not hoarded: they stay in the queue, where any
//! other process may take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::shell::Work;
use super::{Ended, Ending, Pool, Shared};
use crate::store::Wanted;

/// One claim takes no more of a queue: a larger lease would only be lost in larger pieces.
const MAX_CLAIM: usize = 500;
/// Jobs of one queue that wait in this process at most.
const MAX_LINE: usize = 1000;
/// The line is what the handlers empty in this time.
const LINE_SECONDS: f64 = 0.05;

/// All lanes of a process.
pub(super) struct Lanes(Vec<Lane>);

struct Lane {
    queue: String,
    concurrency: usize,
    slots: Arc<Semaphore>,
    pace: Arc<Pace>,
    line: mpsc::UnboundedSender<Work>,
    waiting: Arc<AtomicUsize>,
    /// The last claim found less than it asked for: until somebody pushes there is nothing to ask.
    dry: bool,
}

/// Where the other end of a lane's line goes.
pub(super) struct Dispatch {
    slots: Arc<Semaphore>,
    pace: Arc<Pace>,
    line: mpsc::UnboundedReceiver<Work>,
    waiting: Arc<AtomicUsize>,
}

impl Lanes {
    pub fn new(pools: &[Pool]) -> (Self, Vec<Dispatch>) {
        let lane = |pool: &Pool| {
            let (line_in, line) = mpsc::unbounded_channel();
            let (slots, pace) = (Arc::new(Semaphore::new(pool.concurrency)), Arc::default());
            let waiting = Arc::<AtomicUsize>::default();
            let dispatch = Dispatch {
                slots: Arc::clone(&slots),
                pace: Arc::clone(&pace),
                line,
                waiting: Arc::clone(&waiting),
            };
            let lane = Lane {
                queue: pool.queue.clone(),
                concurrency: pool.concurrency,
                slots,
                pace,
                line: line_in,
                waiting,
                dry: false,
            };
            (lane, dispatch)
        };
        let (lanes, dispatches) = pools.iter().map(lane).unzip();
        (Self(lanes), dispatches)
    }

    /// Somebody has pushed, or it is time to look anyway.
    pub fn refill(&mut self) {
        self.0.iter_mut().for_each(|lane| lane.dry = false);
    }

    /// What to claim now.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for lane in &self.0 {
            let room = lane.room();
            if room > 0 && !lane.dry {
                wanted.queues.push(lane.queue.clone());
                wanted.free.push(room as i32);
            }
        }
        wanted
    }

    /// Notes which lanes did not get what they asked for.
    pub fn note_dry(&mut self, wanted: &Wanted, got: impl Fn(&str) -> usize) {
        for lane in &mut self.0 {
            let asked = wanted.queues.iter().position(|queue| *queue == lane.queue);
            if let Some(asked) = asked {
                lane.dry = got(&lane.queue) < wanted.free[asked] as usize;
            }
        }
    }

    /// Puts a job into its lane's line; the bound was kept by [`wanted`](Self::wanted).
    pub fn send(&self, queue: &str, work: Work) {
        let Some(lane) = self.0.iter().find(|lane| lane.queue == queue) else { return };
        lane.waiting.fetch_add(1, Ordering::Relaxed);
        // It fails only when the dispatcher is gone, and then the worker as a whole ends.
        let _ = lane.line.send(work);
    }
}

impl Lane {
    /// How many jobs it could take. A line that is still half full waits for a larger claim.
    fn room(&self) -> usize {
        let length = self.pace.line(self.concurrency);
        let (free, waiting) =
            (self.slots.available_permits(), self.waiting.load(Ordering::Relaxed));
        if waiting > length / 2 && waiting >= free {
            return 0;
        }
        (free + length).saturating_sub(waiting).min(MAX_CLAIM)
    }
}

impl Dispatch {
    /// Hands jobs to the shell as handlers become free, in order, until the line ends. Told to
    /// stop, it gives back those that have not started.
    pub async fn run(
        mut self,
        shared: Arc<Shared>,
        work: mpsc::Sender<Work>,
        ended: mpsc::Sender<Ended>,
        stop: CancellationToken,
    ) {
        while let Some(mut next) = self.line.recv().await {
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                slot = self.slots.clone().acquire_owned() => slot.ok(),
            };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let sent = match slot {
                Some(permit) => {
                    let (pace, started) = (self.pace.clone(), Instant::now());
                    let shared = shared.clone();
                    next.slot = Some(Slot { permit: Some(permit), pace, started, shared });
                    work.send(next).await.is_ok()
                }
                None => {
                    let run = next.run;
                    ended
                        .send(Ended { run, ending: Ending::Released, ran: Duration::ZERO })
                        .await
                        .is_ok()
                }
            };
            // The other end is gone only when the worker as a whole ends.
            if !sent {
                return;
            }
        }
    }
}

/// The right to run one handler of a queue. Given back, it wakes the fetcher.
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    pace: Arc<Pace>,
    started: Instant,
    shared: Arc<Shared>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pace.note(self.started.elapsed());
        self.permit.take();
        self.shared.freed.notify_one();
    }
}

/// How long runs of a queue take, as a moving average; none before the first has ended.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    /// The newest run counts for so much.
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

    /// How many jobs so many handlers end in the time of a line.
    fn line(&self, concurrency: usize) -> usize {
        let jobs =
            self.average().map_or(0.0, |average| concurrency as f64 * LINE_SECONDS / average);
        (jobs as usize).min(MAX_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_jobs_are_taken_ahead_and_slow_ones_are_not() {
        let quick = Pace::default();
        assert_eq!(quick.line(4), 0, "nothing is known yet");
        quick.note(Duration::from_micros(100));
        assert_eq!(quick.line(4), 1000);
        let slow = Pace::default();
        slow.note(Duration::from_secs(1));
        assert_eq!(slow.line(4), 0);
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
