//! A lane for each queue: how much of it this process could take, and where to look for it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pool;
use super::line::Line;
use super::marks::{Found, Marks, Stretch};
use super::runner::Work;
use crate::store::{Claimed, Taken, Turn, Wanted};

/// One claim takes no more of a queue: a larger lease would only be lost in larger pieces.
const MAX_CLAIM: usize = 2000;
/// A lane that has found something so many times in a row, never long apart, is a stream.
const STREAM: u32 = 16;
/// How long a stream may pause.
const STREAM_PAUSE: Duration = Duration::from_millis(20);
/// The waits between two searches from the safe marks, while long transactions keep things unsettled.
const SAFE_WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
/// How often a search begins at zero: for what no mark knows of.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long claims go around what is under somebody's open transaction, before one tries to wait again.
const GO_AROUND: Duration = Duration::from_secs(10);
/// How often they look whether it is free.
const GO_AROUND_LOOK: Duration = Duration::from_secs(1);

/// Whoever waits for a rule looks this often: not every end is told to everybody.
const RULES_LOOK: Duration = Duration::from_secs(1);
/// So often looks whoever has left all that is there, as a heavy job for which a rate has not filled up.
const LEFT_LOOK: Duration = Duration::from_millis(50);

/// All lanes of a process.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Transactions with lower numbers may push and not tell: they have not seen the flag.
    unaware_below: Option<i64>,
    /// A search begins at the safe marks so often; at each, unless that has been of no use.
    safe_every: Duration,
    safe_at: Instant,
    sweep_at: Instant,
    go_around_until: Instant,
}

struct Lane {
    queue: String,
    line: Arc<Line>,
    marks: Marks,
    /// The last claim found less than it asked for: until somebody pushes there is nothing to ask.
    dry: bool,
    /// What it knows of the rules of its queue, if there are any.
    rules: Option<Rules>,
    /// Finds in a row, and when the last was.
    finds: u32,
    found_at: Instant,
}

/// A queue with rules is claimed by itself.
#[derive(Default)]
struct Rules {
    /// When they let something start that they did not.
    look_at: Option<Instant>,
}

/// What to claim of a queue with rules.
pub(super) struct Ruled {
    pub queue: String,
    /// How many would start at once, and how many there is room for.
    pub free: usize,
    pub room: usize,
    pub stretches: Vec<Stretch>,
}

impl Lanes {
    /// A lane for each pool, over its line.
    pub fn new(pools: &[Pool], lines: &[Arc<Line>]) -> Self {
        let now = Instant::now();
        let lane = |(pool, line): (&Pool, &Arc<Line>)| Lane {
            queue: pool.queue.clone(),
            line: line.clone(),
            marks: Marks::default(),
            dry: false,
            rules: None,
            finds: 0,
            found_at: now,
        };
        Self {
            lanes: pools.iter().zip(lines).map(lane).collect(),
            unaware_below: None,
            safe_every: Duration::ZERO,
            safe_at: now,
            sweep_at: now + SWEEP_EVERY,
            go_around_until: now,
        }
    }

    /// Somebody has a hand on what is next, in a transaction that does not end.
    pub fn go_around(&mut self) {
        self.go_around_until = Instant::now() + GO_AROUND;
    }

    /// Somebody has pushed, or it is time to look anyway.
    pub fn refill(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.dry = false);
    }

    /// What to claim now.
    pub fn wanted(&mut self) -> Wanted {
        let now = Instant::now();
        let mut wanted = Wanted::default();
        wanted.from_safe = now >= self.safe_at;
        wanted.sweeps = now >= self.sweep_at;
        wanted.goes_around = now < self.go_around_until;
        if wanted.sweeps {
            self.sweep_at = now + SWEEP_EVERY;
        }
        for lane in self.lanes.iter().filter(|lane| lane.rules.is_none()) {
            let room = lane.room();
            wanted.numbered |= lane.marks.need_number();
            if room > 0 && wanted.sweeps {
                wanted.add(&lane.queue, room, &Marks::default().stretches(true));
            } else if room > 0 && !lane.dry {
                let stretches = lane.marks.stretches(wanted.from_safe);
                wanted.add(&lane.queue, room, &stretches);
            }
        }
        wanted
    }

    /// What to claim of queues with rules, at the same time.
    pub fn ruled(&self, wanted: &Wanted) -> Vec<Ruled> {
        let ruled = |lane: &Lane| {
            let room = lane.room();
            let asks = lane.rules.is_some() && room > 0 && (wanted.sweeps || !lane.dry);
            asks.then(|| Ruled {
                queue: lane.queue.clone(),
                free: lane.line.free(),
                room,
                stretches: match wanted.sweeps {
                    true => Marks::default().stretches(true),
                    false => lane.marks.stretches(wanted.from_safe),
                },
            })
        };
        self.lanes.iter().filter_map(ruled).collect()
    }

    /// Whether a claim of this queue is to have a transaction number.
    pub fn need_number(&self, queue: &str) -> bool {
        self.lanes.iter().any(|lane| lane.queue == queue && lane.marks.need_number())
    }

    /// Notes what a claim tells of the lanes that it asked for.
    /// Answers whether what was asked of them was known: that queues have rules may be new.
    pub fn note(&mut self, wanted: &Wanted, claimed: &Claimed) -> bool {
        // It was apart from all that is known.
        if wanted.sweeps {
            return true;
        }
        let now = Instant::now();
        for lane in &mut self.lanes {
            if claimed.ruled.contains(&lane.queue) {
                lane.rules = Some(Rules::default());
            }
        }
        for (queue, free) in wanted.queues.iter().zip(&wanted.free) {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == *queue) else {
                continue;
            };
            let of_lane = claimed.jobs.iter().filter(|job| job.queue == *queue);
            let taken: Vec<_> = of_lane.map(|job| (job.priority, job.seq)).collect();
            if wanted.goes_around {
                // It took what nobody has a hand on, and learns nothing for the marks.
                lane.dry = taken.len() < *free as usize;
                lane.stream(!taken.is_empty(), now);
                continue;
            }
            let exhausted = claimed.exhausted.contains(queue);
            let alone = claimed.in_turn.contains(queue);
            let contended = claimed.out_of_turn.contains(queue);
            if alone || contended {
                lane.marks.note(&Found {
                    from_safe: wanted.from_safe,
                    alone,
                    exhausted,
                    taken: &taken,
                    last_seq: claimed.last_seq,
                    xmin: claimed.xmin,
                    number: claimed.number,
                });
            }
            // Out of turn, what was left to others may be more than they take.
            lane.dry = lane.rules.is_none() && (exhausted || (!alone && !contended));
            lane.stream(!taken.is_empty(), now);
        }
        self.unaware_below = self.unaware_below.filter(|&below| claimed.xmin < below);
        claimed.ruled.is_empty()
    }

    /// Notes what a claim of a queue with rules tells of it.
    pub fn note_taken(&mut self, wanted: &Wanted, ruled: &Ruled, taken: &Taken) {
        let now = Instant::now();
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == ruled.queue) else {
            return;
        };
        if taken.turn == Turn::Unruled {
            (lane.rules, lane.dry) = (None, false);
            return;
        }
        if wanted.sweeps {
            return;
        }
        let ours = taken.turn == Turn::Ours;
        if taken.is_fair {
            lane.marks = Marks::default();
        } else if ours && !wanted.goes_around {
            let gone = taken.jobs.iter().map(|job| (job.priority, job.seq));
            let mut gone: Vec<_> = gone.chain(taken.passed.iter().copied()).collect();
            gone.sort_unstable();
            lane.marks.note(&Found {
                from_safe: wanted.from_safe,
                alone: true,
                exhausted: taken.exhausted,
                taken: &gone,
                last_seq: taken.last_seq,
                xmin: taken.xmin,
                number: taken.number,
            });
        }
        let left = ours && !taken.exhausted && taken.jobs.is_empty() && taken.passed.is_empty();
        let wait = taken.wait.or(left.then_some(LEFT_LOOK));
        lane.dry = taken.turn == Turn::Paused
            || ours && (taken.exhausted || wait.is_some() || wanted.goes_around);
        lane.rules = Some(Rules { look_at: wait.map(|wait| now + wait.min(RULES_LOOK)) });
        lane.stream(!taken.jobs.is_empty(), now);
        if ours {
            self.unaware_below = self.unaware_below.filter(|&below| taken.xmin < below);
        }
    }

    /// After all claims of a round.
    pub fn settle(&mut self, wanted: &Wanted, was_settled: bool) {
        if wanted.from_safe && !wanted.goes_around && !wanted.sweeps {
            let now = Instant::now();
            let in_vain = !was_settled && !self.are_settled();
            self.safe_every = match in_vain {
                true => (self.safe_every * 2).clamp(*SAFE_WAITS.start(), *SAFE_WAITS.end()),
                false => Duration::ZERO,
            };
            self.safe_at = now + self.safe_every;
        }
    }

    /// The flag has just been raised: every lane looks once more.
    pub fn raised(&mut self, unaware_below: Option<i64>) {
        self.refill();
        self.unaware_below = unaware_below.or(self.unaware_below);
    }

    /// Until a rule lets something start.
    pub fn due_in(&self) -> Option<Duration> {
        let look_at = |lane: &Lane| lane.rules.as_ref().and_then(|rules| rules.look_at);
        let first = self.lanes.iter().filter(|lane| lane.dry).filter_map(look_at).min();
        first.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Nothing can turn up that nobody tells of.
    pub fn are_settled(&self) -> bool {
        self.unaware_below.is_none() && self.lanes.iter().all(|lane| !lane.marks.is_unsettled())
    }

    /// When to look again for what transactions under way may still bring.
    pub fn follow_up(&self) -> Option<Duration> {
        if Instant::now() < self.go_around_until {
            return Some(GO_AROUND_LOOK);
        }
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

    /// Puts jobs into their lines.
    pub fn put(&self, mut works: Vec<Work>) {
        for lane in &self.lanes {
            lane.line.put(works.extract_if(.., |work| work.run.leased().queue == lane.queue));
        }
    }
}

impl Lane {
    fn room(&self) -> usize {
        self.line.room().min(MAX_CLAIM)
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
