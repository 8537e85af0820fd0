//! How far into its queue a claim need not look any more.
//!
//! A claim leaves dead rows behind, and while somebody holds an old snapshot they stay. A search that
//! began at the head of the queue would walk over all of them, each time a little longer. So a lane
//! remembers, for each priority, up to which `seq` everything has been taken: its *head*.
//!
//! A row may turn up below the head: its transaction had its `seq` and had not committed. Every `seq`
//! is given out after its transaction has its number. So once all transactions have ended that were
//! under way after the head was reached, nothing new can turn up; a search from below that finds no
//! more then moves the *safe* mark up to that head. Until then, every now and then a search begins at
//! the safe mark.
//!
//! The marks of a process are its own, and cost no write. A claim that failed resets them; what a
//! crashed claim of another process put back is found by the sweep from zero once a minute, which takes
//! no turn.

use std::collections::BTreeMap;

/// What is known of one queue.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    by_priority: BTreeMap<i16, Mark>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Nothing can turn up at or below.
    safe: i64,
    /// Everything that was there has been taken.
    head: i64,
}

/// Heads that were reached, on their way to be safe.
#[derive(Debug)]
struct Pending {
    heads: Vec<(i16, i64)>,
    /// Transactions that could still put something below have lower numbers.
    before: Option<i64>,
}

/// Where a search begins and ends: after a priority and `seq`, before a priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub priority: i16,
    pub seq: i64,
    pub before_priority: i16,
}

/// What a claim has found in one queue.
pub(crate) struct Found<'a> {
    pub from_safe: bool,
    /// Nobody else claimed there at the same time.
    pub alone: bool,
    /// As much as was asked for: there may be more behind.
    pub full: bool,
    /// Priority and `seq` of what was taken, in order.
    pub taken: &'a [(i16, i64)],
    /// The latest `seq` that was given out.
    pub last_seq: i64,
    pub snapshot: Snapshot,
}

/// Which transactions a claim could see: all below `xmin`, none from `xmax` on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub xmin: i64,
    pub xmax: i64,
}

impl Marks {
    /// Where to search, first what starts first. Priorities never seen before lie in between.
    pub fn stretches(&self, from_safe: bool) -> Vec<Stretch> {
        let mut stretches = Vec::with_capacity(self.by_priority.len() + 1);
        let (mut priority, mut seq) = (i16::MIN, 0);
        for (&next, mark) in &self.by_priority {
            stretches.push(Stretch { priority, seq, before_priority: next });
            (priority, seq) = (next, if from_safe { mark.safe } else { mark.head });
        }
        stretches.push(Stretch { priority, seq, before_priority: i16::MAX });
        stretches
    }

    /// Something may still turn up below a head.
    pub fn is_unsettled(&self) -> bool {
        self.pending.is_some()
    }

    pub fn note(&mut self, found: &Found<'_>) {
        self.confirm(found);
        if found.alone {
            for &(priority, seq) in found.taken {
                let mark = self.by_priority.entry(priority).or_default();
                mark.head = mark.head.max(seq);
            }
        }
        if found.alone && !found.full {
            self.reach(found.last_seq);
        }
        if self.pending.is_none() {
            let ahead = self.by_priority.iter().filter(|(_, mark)| mark.head > mark.safe);
            let heads: Vec<_> = ahead.map(|(priority, mark)| (*priority, mark.head)).collect();
            self.pending = (!heads.is_empty()).then_some(Pending { heads, before: None });
        }
    }

    /// All that was there has been taken, up to the latest `seq`. A process that seldom finds anything
    /// would otherwise walk over what others took, and hold them up.
    fn reach(&mut self, last_seq: i64) {
        self.by_priority.entry(0).or_default();
        // Postgres has crashed and forgotten numbers: some will be given out again.
        if self.by_priority.values().any(|mark| mark.head > last_seq) {
            *self = Self::default();
        }
        self.by_priority.values_mut().for_each(|mark| mark.head = last_seq);
    }

    fn confirm(&mut self, found: &Found<'_>) {
        let Some(pending) = &mut self.pending else { return };
        let before = *pending.before.get_or_insert(found.snapshot.xmax);
        if !found.from_safe || !found.alone || found.snapshot.xmin < before {
            return;
        }
        // A full claim says nothing about what lies behind its last row.
        let end = found.taken.last().filter(|_| found.full).copied();
        pending.heads.retain(|&(priority, head)| {
            let reached = match end {
                Some((last, _)) if priority > last => return true,
                Some((last, seq)) if priority == last => head.min(seq),
                _ => head,
            };
            if let Some(mark) = self.by_priority.get_mut(&priority) {
                mark.safe = mark.safe.max(reached);
            }
            reached < head
        });
        if pending.heads.is_empty() {
            self.pending = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Snapshot = Snapshot { xmin: 100, xmax: 100 };

    fn found(taken: &[(i16, i64)], full: bool, snapshot: Snapshot) -> Found<'_> {
        Found { from_safe: true, alone: true, full, taken, last_seq: 9, snapshot }
    }

    fn starts(marks: &Marks, from_safe: bool) -> Vec<(i16, i64)> {
        let stretches = marks.stretches(from_safe);
        stretches.iter().map(|stretch| (stretch.priority, stretch.seq)).collect()
    }

    #[test]
    fn nothing_known_is_one_stretch() {
        let all = Stretch { priority: i16::MIN, seq: 0, before_priority: i16::MAX };
        assert_eq!(Marks::default().stretches(false), [all]);
    }

    #[test]
    fn a_head_follows_what_was_taken_and_is_safe_once_all_have_ended() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 7), (0, 9)], true, QUIET));
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 9)]);
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 0)], "9 is not safe yet");
        marks.note(&found(&[], false, QUIET));
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 9)]);
        assert!(!marks.is_unsettled());
    }

    #[test]
    fn a_transaction_under_way_holds_the_safe_mark_back_until_it_has_ended() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], false, QUIET));
        // Number 90 runs, and so may have a seq below 9.
        marks.note(&found(&[], false, Snapshot { xmin: 90, xmax: 101 }));
        assert_eq!(starts(&marks, true)[1], (0, 0));
        marks.note(&found(&[], false, Snapshot { xmin: 100, xmax: 120 }));
        assert_eq!(starts(&marks, true)[1], (0, 0), "number 100 may be one of them");
        marks.note(&found(&[], false, Snapshot { xmin: 101, xmax: 120 }));
        assert_eq!(starts(&marks, true)[1], (0, 9));
    }

    #[test]
    fn a_search_from_the_head_confirms_nothing() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], false, QUIET));
        marks.note(&Found { from_safe: false, ..found(&[], false, QUIET) });
        assert_eq!(starts(&marks, true)[1], (0, 0));
    }

    #[test]
    fn a_full_claim_confirms_only_what_lies_before_its_end() {
        let mut marks = Marks::default();
        let found = |taken, full| Found { last_seq: 20, ..found(taken, full, QUIET) };
        marks.note(&found(&[(0, 9), (5, 20)], false));
        // Late rows turn up: 3 in priority 0, and more behind it.
        marks.note(&found(&[(0, 3)], true));
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 3), (5, 0)]);
        marks.note(&found(&[], false));
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 20), (5, 20)]);
    }

    #[test]
    fn what_others_took_is_not_walked_over_again() {
        let mut marks = Marks::default();
        let nothing = |last_seq| Found { last_seq, ..found(&[], false, QUIET) };
        marks.note(&nothing(700));
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 700)]);
        assert_eq!(starts(&marks, true)[1], (0, 0), "one of them may still be under way");
        marks.note(&nothing(700));
        assert_eq!(starts(&marks, true)[1], (0, 700));
        assert!(!marks.is_unsettled());
        let full = Found { last_seq: 900, ..found(&[(0, 701)], true, QUIET) };
        marks.note(&full);
        assert_eq!(starts(&marks, false)[1], (0, 701), "there may be more behind it");
    }

    #[test]
    fn numbers_that_a_crash_gives_out_again_are_found() {
        let mut marks = Marks::default();
        marks.note(&Found { last_seq: 700, ..found(&[], false, QUIET) });
        marks.note(&Found { last_seq: 650, ..found(&[], false, QUIET) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0)]);
    }

    #[test]
    fn out_of_turn_a_head_stays() {
        let mut marks = Marks::default();
        marks.note(&Found { alone: false, ..found(&[(0, 900)], false, QUIET) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0)]);
    }
}
