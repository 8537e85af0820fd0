//! Judges a history: what was lost, written by a stale owner, owned twice, or done twice.
//!
//! It shares no code with the engine, and reads none of its tables.
//!
//! # Why the order of `seq` may be trusted
//!
//! A number is drawn when an event happens, before its transaction commits, and two transactions
//! may commit in the other order. So a comparison says something only where one event cannot
//! happen before the other one's transaction has committed. These are such:
//!
//! - *A lease comes before everything else that names its token.* Nobody else sees the row of a
//!   lease before the claim has committed.
//! - *An end comes before the removal of its lease by another transaction.* An end holds the lease's
//!   row with `FOR KEY SHARE` until it commits, and a `DELETE` of the row waits for that; the trigger
//!   draws its number after the wait. The other way round, an end that waits for a `DELETE` finds no
//!   row after it. So an end that was numbered after a removal, by another transaction, was accepted
//!   from an owner who had lost the lease. Inside one transaction the order of triggers is chance: a
//!   finish may remove the lease that it empties before or after it notes the ends.
//!   An engine without that lock might also let an end and a removal pass each other, numbered in
//!   the harmless order. Then the rescue has not seen the end and notes another one for the same
//!   job and token, so a second end under one token counts as well.
//! - *A lease of a job comes after its end under the lease before.* The transaction of that end is
//!   what puts the job back, and a claim sees it only once it has committed.
//!
//! None of them needs clocks to agree. An effect and the end of its job are compared by transaction,
//! not by order: they commit together or not at all.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::history::{Event, FINAL, History, What};

/// What breaks a promise, a job for each time.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// How many jobs there were.
    pub jobs: usize,
    /// Acknowledged or committed, but never ended for good.
    pub lost: Vec<Uuid>,
    /// An end under a lease that was gone, or that had ended the job before.
    pub stale_accepted: Vec<Uuid>,
    /// A lease while an earlier one had not ended the job, or after its end for good.
    pub double_leases: Vec<Uuid>,
    /// More than one effect, an effect without its end in the same transaction, or an end without it.
    pub effects_twice: Vec<Uuid>,
}

/// All that happened to one job, in order.
#[derive(Default)]
struct Story {
    leaves_effect: bool,
    leases: Vec<(i64, i64)>,
    ends: Vec<End>,
    /// Their transactions.
    effects: Vec<i64>,
}

struct End {
    seq: i64,
    xact: i64,
    token: i64,
    is_final: bool,
    is_done: bool,
}

/// When and by which transaction a lease was removed.
type Closed = HashMap<i64, (i64, i64)>;

pub fn check(history: &History) -> Verdict {
    let (stories, closed) = read(history);
    let mut verdict = Verdict { jobs: stories.len(), ..Verdict::default() };
    for (job, story) in &stories {
        let note = |found: &mut Vec<Uuid>, times| found.extend(vec![*job; times]);
        note(&mut verdict.lost, usize::from(!story.ends.iter().any(|end| end.is_final)));
        note(&mut verdict.stale_accepted, story.stale_ends(&closed));
        note(&mut verdict.double_leases, story.double_leases());
        note(&mut verdict.effects_twice, usize::from(!story.has_its_effect_once()));
    }
    verdict
}

fn read(history: &History) -> (BTreeMap<Uuid, Story>, Closed) {
    let mut stories = BTreeMap::<Uuid, Story>::new();
    let mut closed = Closed::new();
    for job in &history.acknowledged {
        stories.entry(*job).or_default();
    }
    for Event { seq, xact, what } in &history.events {
        match what {
            What::Pushed { job, leaves_effect, .. } => {
                stories.entry(*job).or_default().leaves_effect = *leaves_effect;
            }
            What::Leased { token, jobs, .. } => {
                for job in jobs {
                    stories.entry(*job).or_default().leases.push((*seq, *token));
                }
            }
            What::Closed { token } => {
                closed.entry(*token).or_insert((*seq, *xact));
            }
            What::Ended { job, token, outcome } => {
                let is_final = FINAL.contains(&outcome.as_str());
                let is_done = outcome == "done";
                let end = End { seq: *seq, xact: *xact, token: *token, is_final, is_done };
                stories.entry(*job).or_default().ends.push(end);
            }
        }
    }
    for effect in &history.effects {
        stories.entry(effect.job).or_default().effects.push(effect.xact);
    }
    (stories, closed)
}

impl Story {
    fn stale_ends(&self, closed: &Closed) -> usize {
        let stale = |(at, end): &(usize, &End)| {
            let leased =
                self.leases.iter().any(|(seq, token)| *token == end.token && *seq < end.seq);
            let gone = closed
                .get(&end.token)
                .is_some_and(|(seq, xact)| *seq < end.seq && *xact != end.xact);
            let again = self.ends[..*at].iter().any(|earlier| earlier.token == end.token);
            !leased || gone || again
        };
        self.ends.iter().enumerate().filter(stale).count()
    }

    fn double_leases(&self) -> usize {
        let earlier = |seq: i64| self.ends.iter().filter(move |end| end.seq < seq);
        let over = self.leases.iter().map(|(seq, _)| earlier(*seq).any(|end| end.is_final));
        let beside = self.leases.windows(2).map(|pair| {
            let ((_, token), (seq, _)) = (pair[0], pair[1]);
            !earlier(seq).any(|end| end.token == token)
        });
        over.chain(beside).filter(|broken| *broken).count()
    }

    /// A job that has not ended well leaves nothing, and neither does one of another kind.
    fn has_its_effect_once(&self) -> bool {
        let dones: Vec<_> =
            self.ends.iter().filter(|end| end.is_done).map(|end| end.xact).collect();
        match self.leaves_effect {
            true => self.effects == dones && dones.len() <= 1,
            false => self.effects.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Effect;
    use super::*;

    const JOB: Uuid = Uuid::from_u128(7);

    /// Events in order, each with its transaction; the job leaves an effect.
    fn history(events: &[(i64, What)], effects: &[i64]) -> History {
        let pushed = (1, What::Pushed { job: JOB, leaves_effect: true, key: None });
        let events = std::iter::once(&pushed).chain(events).enumerate();
        let event = |(seq, (xact, what)): (usize, &(i64, What))| Event {
            seq: seq as i64,
            xact: *xact,
            what: what.clone(),
        };
        let effects = effects.iter().map(|xact| Effect { job: JOB, xact: *xact }).collect();
        History { events: events.map(event).collect(), effects, acknowledged: vec![JOB] }
    }

    fn leased(token: i64) -> What {
        What::Leased { token, jobs: vec![JOB], at_micros: 0 }
    }

    fn closed(token: i64) -> What {
        What::Closed { token }
    }

    fn ended(token: i64, outcome: &str) -> What {
        What::Ended { job: JOB, token, outcome: outcome.to_owned() }
    }

    /// How often each promise is broken: lost, stale, double, effects.
    fn counts(events: &[(i64, What)], effects: &[i64]) -> [usize; 4] {
        let verdict = check(&history(events, effects));
        assert_eq!(verdict.jobs, 1);
        let Verdict { lost, stale_accepted, double_leases, effects_twice, .. } = verdict;
        [lost, stale_accepted, double_leases, effects_twice].map(|jobs| jobs.len())
    }

    #[test]
    fn a_job_that_is_rescued_and_done_breaks_nothing() {
        let rescue = [(3, closed(1)), (3, ended(1, "lost"))];
        // A finish notes its removal before or after the end, as it happens.
        for finish in
            [[(5, closed(2)), (5, ended(2, "done"))], [(5, ended(2, "done")), (5, closed(2))]]
        {
            let mut events = vec![(2, leased(1))];
            events.extend(rescue.clone());
            events.push((4, leased(2)));
            events.extend(finish);
            assert_eq!(counts(&events, &[5]), [0, 0, 0, 0]);
        }
    }

    #[test]
    fn a_job_is_lost_that_never_ended_for_good_or_was_never_stored() {
        assert_eq!(counts(&[], &[]), [1, 0, 0, 0]);
        let snoozed = [(2, leased(1)), (3, ended(1, "snoozed")), (3, closed(1))];
        assert_eq!(counts(&snoozed, &[]), [1, 0, 0, 0]);
        let unknown = History { acknowledged: vec![JOB], ..History::default() };
        assert_eq!(check(&unknown).lost, [JOB]);
    }

    #[test]
    fn an_end_is_stale_after_the_removal_of_its_lease_without_a_lease_or_for_the_second_time() {
        let late = [(2, leased(1)), (3, closed(1)), (4, ended(1, "done"))];
        assert_eq!(counts(&late, &[4]), [0, 1, 0, 0]);
        assert_eq!(counts(&[(4, ended(1, "done"))], &[4]), [0, 1, 0, 0]);
        // The rescue and the finish passed each other.
        let both = [(2, leased(1)), (3, ended(1, "done")), (4, closed(1)), (4, ended(1, "lost"))];
        assert_eq!(counts(&both, &[3]), [0, 1, 0, 0]);
    }

    #[test]
    fn a_lease_is_double_beside_an_open_one_and_after_the_end_for_good() {
        let beside =
            [(2, leased(1)), (3, leased(2)), (4, ended(1, "released")), (5, ended(2, "done"))];
        assert_eq!(counts(&beside, &[5]), [0, 0, 1, 0]);
        let after = [(2, leased(1)), (3, ended(1, "done")), (4, leased(2))];
        assert_eq!(counts(&after, &[3]), [0, 0, 1, 0]);
        let twice_listed = What::Leased { token: 1, jobs: vec![JOB, JOB], at_micros: 0 };
        assert_eq!(counts(&[(2, twice_listed), (3, ended(1, "done"))], &[3]), [0, 0, 1, 0]);
    }

    #[test]
    fn an_effect_and_its_end_are_one_each_in_one_transaction() {
        let done = [(2, leased(1)), (3, ended(1, "done"))];
        assert_eq!(counts(&done, &[3]), [0, 0, 0, 0]);
        for effects in [&[][..], &[3, 3], &[2, 3], &[2]] {
            assert_eq!(counts(&done, effects), [0, 0, 0, 1], "{effects:?}");
        }
        let again = [done.to_vec(), vec![(4, leased(2)), (5, ended(2, "done"))]].concat();
        assert_eq!(counts(&again, &[3, 5]), [0, 0, 1, 1]);
        let dead = [(2, leased(1)), (3, ended(1, "dead"))];
        assert_eq!(counts(&dead, &[]), [0, 0, 0, 0]);
        assert_eq!(counts(&dead, &[3]), [0, 0, 0, 1]);
    }

    #[test]
    fn the_checker_uses_nothing_of_the_engine() {
        for source in
            [include_str!("checker.rs"), include_str!("history.rs"), include_str!("limits.rs")]
        {
            assert!(!source.contains(concat!("queue", "::")));
        }
    }
}
