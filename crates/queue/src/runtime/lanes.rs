//! A lane for each queue: how many handlers are free, and a short line of jobs that wait for one.
//!
//! The line hides the way to the database from handlers that are quicker than it. It is as long as
//! the handlers empty in a moment, so slow jobs are not hoarded: they stay in the queue, where any
//! other process may take them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::marks::{Found, Marks};
use super::shell::Work;
use super::{Ended, Ending, Pool, Shared};
use crate::store::{Claimed, Wanted};

/// One claim takes no more of a queue: a larger lease would only be lost in larger pieces.
const MAX_CLAIM: usize = 500;
/// Jobs of one queue that wait in this process at most.
const MAX_LINE: usize = 1000;
/// The line is what the handlers empty in this time.
const LINE_SECONDS: f64 = 0.05;
/// A lane that has found something so many times in a row, never long apart, is a stream.
const STREAM: u32 = 16;
/// How long a stream may pause.
const STREAM_PAUSE: Duration = Duration::from_millis(20);
/// The waits between two searches from the safe marks, while long transactions keep things unsettled.
const SAFE_WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
/// How often a search begins at zero: for what no mark knows of.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// All lanes of a process.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Until all transactions have ended that were under way when the flag was raised: they may
    /// have pushed without seeing it.
    unaware: Option<Unaware>,
    /// A search begins at the safe marks so often; at each, unless that has been of no use.
    safe_every: Duration,
    safe_at: Instant,
    sweep_at: Instant,
}

/// Transactions that may push something and not tell.
enum Unaware {
    /// All that are under way at the next look.
    Unknown,
    Below(i64),
}

struct Lane {
    queue: String,
    concurrency: usize,
    slots: Arc<Semaphore>,
    pace: Arc<Pace>,
    line: mpsc::UnboundedSender<Work>,
    waiting: Arc<AtomicUsize>,
    marks: Marks,
    /// The last claim found less than it asked for: until somebody pushes there is nothing to ask.
    dry: bool,
    /// Finds in a row, and when the last was.
    finds: u32,
    found_at: Instant,
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
                marks: Marks::default(),
                dry: false,
                finds: 0,
                found_at: Instant::now(),
            };
            (lane, dispatch)
        };
        let (lanes, dispatches) = pools.iter().map(lane).unzip();
        let now = Instant::now();
        (
            Self {
                lanes,
                unaware: None,
                safe_every: Duration::ZERO,
                safe_at: now,
                sweep_at: now + SWEEP_EVERY,
            },
            dispatches,
        )
    }

    /// Somebody has pushed, or it is time to look anyway.
    pub fn refill(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.dry = false);
    }

    /// What to claim now.
    pub fn wanted(&mut self) -> Wanted {
        let now = Instant::now();
        if now >= self.sweep_at {
            self.forget();
        }
        let mut wanted = Wanted::default();
        wanted.from_safe = now >= self.safe_at;
        for lane in &self.lanes {
            let room = lane.room();
            if room > 0 && !lane.dry {
                let stretches = lane.marks.stretches(wanted.from_safe);
                wanted.add(&lane.queue, room, &stretches);
            }
        }
        wanted
    }

    /// Notes what a claim tells of the lanes that it asked for.
    pub fn note(&mut self, wanted: &Wanted, claimed: &Claimed) {
        let (now, snapshot) = (Instant::now(), claimed.snapshot);
        let was_settled = self.are_settled();
        for (queue, asked) in wanted.queues.iter().zip(&wanted.free) {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == *queue) else {
                continue;
            };
            let of_lane = claimed.jobs.iter().filter(|job| job.queue == *queue);
            let taken: Vec<_> = of_lane.map(|job| (job.priority, job.seq)).collect();
            let full = taken.len() >= *asked as usize;
            let alone = claimed.in_turn.contains(queue);
            let contended = claimed.out_of_turn.contains(queue);
            if alone || contended {
                let from_safe = wanted.from_safe;
                lane.marks.note(&Found { from_safe, alone, full, taken: &taken, snapshot });
            }
            // Out of turn, what was left to others may be more than they take.
            lane.dry = !full && !contended;
            lane.stream(!taken.is_empty(), now);
        }
        self.unaware = match self.unaware.take() {
            Some(Unaware::Unknown) if snapshot.xmin < snapshot.xmax => {
                Some(Unaware::Below(snapshot.xmax))
            }
            Some(Unaware::Below(before)) if snapshot.xmin < before => Some(Unaware::Below(before)),
            _ => None,
        };
        if wanted.from_safe {
            let in_vain = !was_settled && !self.are_settled();
            self.safe_every = match in_vain {
                true => (self.safe_every * 2).clamp(*SAFE_WAITS.start(), *SAFE_WAITS.end()),
                false => Duration::ZERO,
            };
            self.safe_at = now + self.safe_every;
        }
    }

    /// The flag has just been raised: every lane looks once more.
    pub fn raised(&mut self) {
        self.refill();
        self.unaware = Some(Unaware::Unknown);
    }

    /// Nothing can turn up that nobody tells of.
    fn are_settled(&self) -> bool {
        self.unaware.is_none() && self.lanes.iter().all(|lane| !lane.marks.is_unsettled())
    }

    /// When to look again for what transactions under way may still bring.
    pub fn follow_up(&self) -> Option<Duration> {
        (!self.are_settled()).then(|| self.safe_every.max(*SAFE_WAITS.start()))
    }

    /// Others were at the head of a queue that has room here.
    pub fn are_contended(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.dry && lane.room() > 0)
    }

    /// Queues that have nothing for handlers that are free.
    pub fn waiting(&self) -> BTreeSet<String> {
        self.lanes.iter().filter(|lane| lane.dry).map(|lane| lane.queue.clone()).collect()
    }

    /// Queues in which something is found all the time.
    pub fn streaming(&self) -> BTreeSet<String> {
        let now = Instant::now();
        let streaming = self.lanes.iter().filter(|lane| lane.is_stream(now));
        streaming.map(|lane| lane.queue.clone()).collect()
    }

    /// Forgets all marks, so that the next search begins at zero.
    pub fn forget(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.marks = Marks::default());
        self.sweep_at = Instant::now() + SWEEP_EVERY;
    }

    /// Puts a job into its lane's line; the bound was kept by [`wanted`](Self::wanted).
    pub fn send(&self, work: Work) {
        let queue = &work.run.leased().queue;
        let Some(lane) = self.lanes.iter().find(|lane| lane.queue == *queue) else { return };
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

    fn stream(&mut self, found: bool, now: Instant) {
        if !self.is_recent(now) {
            self.finds = 0;
        }
        if found {
            (self.finds, self.found_at) = (self.finds.saturating_add(1), now);
        }
    }

    fn is_stream(&self, now: Instant) -> bool {
        self.finds >= STREAM && self.is_recent(now)
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.found_at) < STREAM_PAUSE
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
