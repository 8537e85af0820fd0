//! Judges a history by the rules that its queue had: whether more ran at once, or started in a time, than
//! might.
//!
//! The order of `seq` may be trusted for it: a claim that counts a job as ended has seen the end committed,
//! and the end drew its number before it committed. A job counts from the lease to its end.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::history::{Event, History, What};

/// What a queue was told.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub concurrency: usize,
    pub key_concurrency: usize,
    pub per_second: f64,
    pub burst: f64,
}

/// How often a limit was exceeded.
#[derive(Debug, Default, PartialEq)]
pub struct Exceeded {
    pub concurrency: usize,
    pub key_concurrency: usize,
    pub rate: usize,
}

/// A rate may be exceeded by a token, for fractions.
const ONE: f64 = 1.0;

pub fn check(history: &History, limits: &Limits) -> Exceeded {
    let mut exceeded = Exceeded::default();
    let mut keys = HashMap::<Uuid, &str>::new();
    // Open jobs of each lease, and how many of them have each key.
    let mut open = HashMap::<i64, HashSet<Uuid>>::new();
    let mut of_key = HashMap::<&str, usize>::new();
    let mut running = 0;
    let (mut tokens, mut filled_micros) = (limits.burst, i64::MIN);
    for Event { what, .. } in &history.events {
        match what {
            What::Pushed { job, key: Some(key), .. } => drop(keys.insert(*job, key)),
            What::Pushed { .. } => {}
            What::Leased { token, jobs, at_micros } => {
                running += jobs.len();
                exceeded.concurrency += usize::from(running > limits.concurrency);
                for key in jobs.iter().filter_map(|job| keys.get(job)) {
                    let count = of_key.entry(key).or_default();
                    *count += 1;
                    exceeded.key_concurrency += usize::from(*count > limits.key_concurrency);
                }
                let passed = at_micros.saturating_sub(filled_micros).max(0) as f64 / 1e6;
                tokens =
                    (tokens + passed * limits.per_second).min(limits.burst) - jobs.len() as f64;
                filled_micros = filled_micros.max(*at_micros);
                exceeded.rate += usize::from(tokens < -ONE);
                open.insert(*token, jobs.iter().copied().collect());
            }
            What::Ended { job, token, .. } => {
                if open.get_mut(token).is_some_and(|jobs| jobs.remove(job)) {
                    running -= 1;
                    if let Some(count) = keys.get(job).and_then(|key| of_key.get_mut(key)) {
                        *count -= 1;
                    }
                }
            }
            // Its jobs have ends of their own, in the same transaction or before.
            What::Closed { .. } => {}
        }
    }
    exceeded
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { concurrency: 2, key_concurrency: 1, per_second: 10.0, burst: 2.0 };

    fn job(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn pushed(n: u128, key: Option<&str>) -> What {
        What::Pushed { job: job(n), leaves_effect: false, key: key.map(str::to_owned) }
    }

    fn leased(token: i64, jobs: &[u128], at_micros: i64) -> What {
        What::Leased { token, jobs: jobs.iter().copied().map(job).collect(), at_micros }
    }

    fn ended(token: i64, n: u128) -> What {
        What::Ended { job: job(n), token, outcome: "done".into() }
    }

    fn exceeded(events: &[What]) -> [usize; 3] {
        let event =
            |(seq, what): (usize, &What)| Event { seq: seq as i64, xact: 1, what: what.clone() };
        let events = events.iter().enumerate().map(event).collect();
        let found = check(&History { events, ..History::default() }, &LIMITS);
        [found.concurrency, found.key_concurrency, found.rate]
    }

    #[test]
    fn more_at_once_than_the_queue_may_are_seen() {
        let two = [leased(1, &[1], 0), leased(2, &[2], 0)];
        assert_eq!(exceeded(&two), [0, 0, 0]);
        let third = leased(3, &[3], 1_000_000);
        assert_eq!(exceeded(&[&two[..], std::slice::from_ref(&third)].concat()), [1, 0, 0]);
        assert_eq!(exceeded(&[&two[..], &[ended(1, 1), third]].concat()), [0, 0, 0]);
    }

    #[test]
    fn more_at_once_than_a_key_may_are_seen() {
        let first =
            [pushed(1, Some("a")), pushed(2, Some("a")), pushed(3, None), leased(1, &[1], 0)];
        let second = leased(2, &[2], 1_000_000);
        assert_eq!(exceeded(&[&first[..], &[leased(2, &[3], 0)]].concat()), [0, 0, 0]);
        assert_eq!(exceeded(&[&first[..], std::slice::from_ref(&second)].concat()), [0, 1, 0]);
        assert_eq!(exceeded(&[&first[..], &[ended(1, 1), second]].concat()), [0, 0, 0]);
    }

    #[test]
    fn more_in_a_time_than_a_rate_lets_are_seen() {
        let done = |token, n| [leased(token, &[n], 0), ended(token, n)];
        let full = [done(1, 1), done(2, 2), done(3, 3)].concat();
        assert_eq!(exceeded(&full), [0, 0, 0], "one token more is a rounding");
        assert_eq!(exceeded(&[&full[..], &done(4, 4)].concat()), [0, 0, 1]);
        let later = [leased(4, &[4], 200_000), ended(4, 4)];
        assert_eq!(exceeded(&[&full[..], &later].concat()), [0, 0, 0]);
    }
}
