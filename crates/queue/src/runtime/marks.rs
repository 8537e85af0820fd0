//! How far into its queue a claim need not look any more.
//!
//! A claim leaves dead rows behind, and while somebody holds an old snapshot they stay. A search that
//! began at the head of the queue would walk over all of them, each time a little longer. So a lane
//! remembers, for each priority, up to which `seq` everything has been taken: its *head*.
//!
//! A row may turn up below the head: its transaction had its `seq` and had not committed. Every `seq`
//! is given out after its transaction has its number. So a number that is given out once the head has
//! been reached bounds those transactions; when all below it have ended, nothing new can turn up, and a
//! search from below that finds no more moves the *safe* mark up to that head. Until then, every now and
//! then a search begins at the safe mark.
//!
//! The marks of a process are its own, and cost no write. A claim that failed resets them; what a
//! crashed claim of another process put back is found by the sweep from zero once a minute, which takes
//! no turn.

use std::collections::BTreeMap;

/// What is known of one queue.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    by_priority: BTreeMap<i16, Mark>,
    /// Whoever has a `seq` up to a head has a lower transaction number.
    bound: Option<i64>,
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
    bound: Option<i64>,
}

/// Where a search begins and ends: after a priority and `seq`, before a priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub priority: i16,
    pub seq: i64,
    pub before_priority: i16,
}

/// What a claim has found in one queue.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub from_safe: bool,
    /// Nobody else claimed there at the same time.
    pub alone: bool,
    /// It has looked at all that was there.
    pub exhausted: bool,
    /// Priority and `seq` of what was taken, in order.
    pub taken: &'a [(i16, i64)],
    /// The latest `seq` that was given out.
    pub last_seq: i64,
    /// All transactions with lower numbers had ended.
    pub xmin: i64,
    /// The number of the claim's own transaction.
    pub number: Option<i64>,
}

/// A head does not follow a sequence that is so near: what there is to walk over costs less than to
/// settle a new head.
const NEAR: i64 = 1000;

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

    /// The next claim has to have a transaction number.
    pub fn need_number(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.bound.is_none())
    }

    pub fn note(&mut self, found: &Found<'_>) {
        self.confirm(found);
        if found.alone {
            self.follow(found);
        }
        if self.pending.is_none() {
            let ahead = self.by_priority.iter().filter(|(_, mark)| mark.head > mark.safe);
            let heads: Vec<_> = ahead.map(|(priority, mark)| (*priority, mark.head)).collect();
            let pending = Pending { heads, bound: self.bound };
            self.pending = (!pending.heads.is_empty()).then_some(pending);
        }
    }

    /// Moves the heads up to what was taken; where there was nothing, to what others have taken. A
    /// process that seldom finds anything would otherwise walk over all of that, and hold them up.
    fn follow(&mut self, found: &Found<'_>) {
        for &(priority, seq) in found.taken {
            let mark = self.by_priority.entry(priority).or_default();
            mark.head = mark.head.max(seq);
        }
        if !found.taken.is_empty() {
            self.bound = found.number;
        }
        let last = self.by_priority.values().map(|mark| mark.head).max().unwrap_or(0);
        if last > found.last_seq {
            // Postgres has crashed and forgotten numbers: some will be given out again.
            *self = Self::default();
        } else if found.exhausted && found.taken.is_empty() && found.last_seq > last + NEAR {
            self.by_priority.entry(0).or_default();
            self.by_priority.values_mut().for_each(|mark| mark.head = found.last_seq);
            // Some of those numbers may be younger than this claim.
            self.bound = None;
        }
    }

    fn confirm(&mut self, found: &Found<'_>) {
        let Some(pending) = &mut self.pending else { return };
        let Some(bound) = pending.bound else {
            pending.bound = found.number;
            return;
        };
        if !found.from_safe || !found.alone || found.xmin < bound {
            return;
        }
        // Of what lies behind its last row it says nothing, unless that was all.
        let end = match (found.exhausted, found.taken.last()) {
            (true, _) => None,
            (false, Some(last)) => Some(*last),
            (false, None) => return,
        };
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

    /// By a claim with the number 100, after everything else has ended.
    fn found(taken: &[(i16, i64)], exhausted: bool) -> Found<'_> {
        Found {
            from_safe: true,
            alone: true,
            exhausted,
            taken,
            last_seq: taken.iter().map(|&(_, seq)| seq).max().unwrap_or(20),
            xmin: 100,
            number: (!taken.is_empty()).then_some(100),
        }
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
        marks.note(&found(&[(0, 7), (0, 9)], false));
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 9)]);
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 0)], "9 is not safe yet");
        marks.note(&found(&[], true));
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 9)]);
        assert!(!marks.is_unsettled());
    }

    #[test]
    fn a_transaction_under_way_holds_the_safe_mark_back_until_it_has_ended() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], true));
        // Number 90 runs, and so may have a seq below 9.
        marks.note(&Found { xmin: 90, ..found(&[], true) });
        assert_eq!(starts(&marks, true)[1], (0, 0));
        marks.note(&Found { xmin: 99, ..found(&[], true) });
        assert_eq!(starts(&marks, true)[1], (0, 0), "number 99 may be one of them");
        marks.note(&Found { xmin: 100, ..found(&[], true) });
        assert_eq!(starts(&marks, true)[1], (0, 9));
    }

    #[test]
    fn a_search_from_the_head_confirms_nothing() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], true));
        marks.note(&Found { from_safe: false, ..found(&[], true) });
        assert_eq!(starts(&marks, true)[1], (0, 0));
    }

    #[test]
    fn a_claim_that_leaves_something_confirms_only_what_lies_before_its_end() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9), (5, 20)], true));
        // Late rows turn up: 3 in priority 0, and more behind it.
        marks.note(&Found { last_seq: 20, ..found(&[(0, 3)], false) });
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 3), (5, 0)]);
        marks.note(&found(&[], true));
        assert_eq!(starts(&marks, true), [(i16::MIN, 0), (0, 9), (5, 20)]);
    }

    #[test]
    fn what_others_took_is_not_walked_over_again() {
        let mut marks = Marks::default();
        let nothing = Found { last_seq: 7000, ..found(&[], true) };
        marks.note(&nothing);
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 7000)]);
        // One of them may still be under way, whatever the claim could see.
        marks.note(&nothing);
        assert_eq!(starts(&marks, true)[1], (0, 0));
        assert!(marks.need_number());
        marks.note(&Found { number: Some(120), ..nothing });
        assert!(!marks.need_number());
        marks.note(&Found { xmin: 119, ..nothing });
        assert_eq!(starts(&marks, true)[1], (0, 0), "number 119 may be one of them");
        marks.note(&Found { xmin: 121, ..nothing });
        assert_eq!(starts(&marks, true)[1], (0, 7000));
        assert!(!marks.is_unsettled());
    }

    #[test]
    fn what_others_took_under_its_hands_does_not_make_a_claim_exhaustive() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], false));
        marks.note(&Found { last_seq: 7000, ..found(&[], false) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 9)]);
        assert_eq!(starts(&marks, true)[1], (0, 0), "it has not seen what lies before 9");
    }

    #[test]
    fn what_others_took_lately_is_not_worth_a_new_head() {
        let mut marks = Marks::default();
        marks.note(&found(&[(0, 9)], true));
        marks.note(&Found { last_seq: 9 + NEAR, ..found(&[], true) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0), (0, 9)]);
        assert!(!marks.is_unsettled());
    }

    #[test]
    fn numbers_that_a_crash_gives_out_again_are_found() {
        let mut marks = Marks::default();
        marks.note(&Found { last_seq: 7000, ..found(&[], true) });
        marks.note(&Found { last_seq: 6950, ..found(&[], true) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0)]);
    }

    #[test]
    fn out_of_turn_a_head_stays() {
        let mut marks = Marks::default();
        marks.note(&Found { alone: false, ..found(&[(0, 900)], true) });
        assert_eq!(starts(&marks, false), [(i16::MIN, 0)]);
    }
}
