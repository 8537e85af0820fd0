//! Random days of a queue, beside a plain model of it.
//!
//! The model knows what everybody may rely on and nothing of how it is done: where each job stands, that
//! no limit is exceeded, that no job waits while there is a place for it, and that of one key and priority
//! jobs start in the order in which they were pushed.

use std::collections::BTreeMap;
use std::time::Duration;

use queue::{Cancelled, Retried};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::stage::{Claimed, End, end_all, job, push, set, take};
use crate::support::Theatre;

const RESCUE: &str = include_str!("../../../sql/rescue.sql");
const PROMOTE: &str = include_str!("../../../sql/promote.sql");
const DAYS: u64 = 10;
const STEPS: usize = 120;

#[derive(Clone, Debug, PartialEq)]
enum Stands {
    /// In queue.ready or queue.waiting.
    Due,
    /// It keeps its place among those of its key, or not.
    Later {
        holds: bool,
    },
    Runs(Claimed),
    Ended(&'static str),
}

#[derive(Clone, Debug)]
struct Model {
    key: Option<String>,
    priority: i16,
    /// Its place among all that became due, and whether nothing may go before it: it had started.
    order: usize,
    had_place: bool,
    stands: Stands,
}

struct Day {
    theatre: Theatre,
    random: StdRng,
    jobs: BTreeMap<Uuid, Model>,
    order: usize,
    key_concurrency: usize,
    concurrency: usize,
    is_fair: bool,
    /// The order of a key holds while its limit is one.
    was_loose: bool,
}

#[tokio::test]
async fn a_queue_does_what_a_plain_model_of_it_does() {
    let days = std::env::var("BEADLE_TEST_DAYS").ok().and_then(|days| days.parse().ok());
    for seed in 0..days.unwrap_or(DAYS) {
        let mut day = Day::new(seed).await;
        for step in 0..STEPS {
            let what = day.step().await;
            // Shown when this fails.
            println!("{seed}.{step}: {what}");
            day.check(&format!("seed {seed}, step {step}: {what}")).await;
        }
        day.finish(&format!("seed {seed}, at the end")).await;
    }
}

impl Day {
    async fn new(seed: u64) -> Self {
        let theatre = Theatre::open().await;
        theatre.fleet.declare().await.unwrap();
        set(&theatre.db.pool, json!({ "concurrency": 1000 })).await;
        Self {
            theatre,
            random: StdRng::seed_from_u64(seed),
            jobs: BTreeMap::new(),
            order: 0,
            key_concurrency: 1,
            concurrency: 1000,
            is_fair: false,
            was_loose: false,
        }
    }

    fn db(&self) -> PgPool {
        self.theatre.db.pool.clone()
    }

    async fn step(&mut self) -> String {
        match self.random.random_range(0..100) {
            0..25 => self.push().await,
            25..50 => self.claim().await,
            50..75 => self.end().await,
            75..80 => self.kill().await,
            80..86 => self.promote().await,
            86..91 => self.cancel().await,
            91..95 => self.retry().await,
            _ => self.change_rules().await,
        }
    }

    fn next(&mut self) -> usize {
        self.order += 1;
        self.order
    }

    fn some(&mut self, stands: impl Fn(&Stands) -> bool) -> Option<Uuid> {
        let all: Vec<_> =
            self.jobs.iter().filter(|(_, job)| stands(&job.stands)).map(|(id, _)| *id).collect();
        all.choose(&mut self.random).copied()
    }

    fn holders(&self, key: &str) -> usize {
        let holds = |job: &&Model| {
            matches!(job.stands, Stands::Runs(_) | Stands::Later { holds: true })
                && job.key.as_deref() == Some(key)
        };
        self.jobs.values().filter(holds).count()
    }

    fn running(&self) -> usize {
        self.jobs.values().filter(|job| matches!(job.stands, Stands::Runs(_))).count()
    }

    async fn push(&mut self) -> String {
        let count = self.random.random_range(1..12);
        let mut models = Vec::new();
        let pushes: Vec<_> = (0..count)
            .map(|_| {
                let key = self
                    .random
                    .random_bool(0.8)
                    .then(|| format!("key{}", self.random.random_range(0..4)));
                let priority = self.random.random_range(-1..2);
                let tenant = format!("tenant{}", self.random.random_range(0..3));
                let (order, stands) = (self.next(), Stands::Due);
                models.push(Model { key: key.clone(), priority, order, had_place: false, stands });
                let push = job("act").priority(priority).tenant(tenant);
                match key {
                    Some(key) => push.key(key),
                    None => push,
                }
            })
            .collect();
        let ids = push(&self.db(), pushes).await;
        self.jobs.extend(ids.into_iter().zip(models));
        format!("push {count}")
    }

    async fn claim(&mut self) -> String {
        let free = self.random.random_range(1..15);
        let before = self.jobs.clone();
        let taken = take(&self.db(), free).await;
        assert_eq!(taken.turn, "ours");
        for claimed in &taken.jobs {
            let job = self.jobs.get_mut(&claimed.job).unwrap();
            assert_eq!(job.stands, Stands::Due, "{claimed:?} was not due");
            job.stands = Stands::Runs(claimed.clone());
            job.had_place = true;
        }
        if !self.was_loose && !self.is_fair {
            self.check_order(&before, &taken.jobs);
        }
        for key in taken.jobs.iter().filter_map(|claimed| claimed.key.as_ref()) {
            assert!(self.holders(key) <= self.key_concurrency, "too many with {key}");
        }
        assert!(taken.jobs.is_empty() || self.running() <= self.concurrency, "too many run");
        let ids = taken.jobs.iter().map(|job| format!("{} {:?}", job.job, job.key));
        println!("claimed {}", ids.collect::<Vec<_>>().join(", "));
        self.check("a claim").await;
        let full = taken.jobs.len() == free as usize;
        if !full && self.running() < self.concurrency {
            let free_key = |key: &String| self.holders(key) < self.key_concurrency;
            let left: Vec<_> = self
                .jobs
                .iter()
                .filter(|(_, job)| {
                    job.stands == Stands::Due && job.key.as_ref().is_none_or(free_key)
                })
                .collect();
            assert!(
                left.is_empty(),
                "a claim of {free} brought {} and left {left:?}",
                taken.jobs.len()
            );
        }
        format!("claim {free}: {}", taken.jobs.len())
    }

    /// Nobody starts before an older one of its key and priority, or before one that had started.
    fn check_order(&self, before: &BTreeMap<Uuid, Model>, taken: &[Claimed]) {
        for claimed in taken.iter().filter(|claimed| claimed.key.is_some()) {
            let this = &before[&claimed.job];
            let left = before.iter().filter(|(id, job)| {
                job.stands == Stands::Due && job.key == this.key && **id != claimed.job
            });
            for (id, other) in left {
                let goes_before = other.had_place && !this.had_place
                    || other.had_place == this.had_place
                        && other.priority == this.priority
                        && other.order < this.order;
                assert!(!goes_before, "{claimed:?} started before {id} {other:?}");
            }
        }
    }

    async fn end(&mut self) -> String {
        let mut ended = Vec::new();
        for _ in 0..self.random.random_range(1..6) {
            let Some(id) = self.some(|stands| matches!(stands, Stands::Runs(_))) else { break };
            let how = match self.random.random_range(0..10) {
                0..5 => End::Done,
                5..7 => End::Failed(Duration::from_secs(600)),
                7..9 => End::Released,
                _ => End::Dead,
            };
            let order = self.next();
            let holds = self.key_concurrency == 1;
            let job = self.jobs.get_mut(&id).unwrap();
            let Stands::Runs(claimed) = job.stands.clone() else { unreachable!() };
            job.stands = match how {
                End::Done => Stands::Ended("done"),
                End::Dead => Stands::Ended("dead"),
                End::Released => Stands::Due,
                End::Failed(_) => Stands::Later { holds: holds && job.key.is_some() },
            };
            job.had_place = match how {
                End::Released => true,
                End::Failed(_) => holds,
                _ => false,
            };
            job.order = order;
            ended.push((claimed, how));
        }
        end_all(&self.db(), None, &ended).await;
        let ended = ended.iter().map(|(job, end)| format!("{} {end:?}", job.job));
        format!("end {}", ended.collect::<Vec<_>>().join(", "))
    }

    /// The worker of a lease dies.
    async fn kill(&mut self) -> String {
        let Some(id) = self.some(|stands| matches!(stands, Stands::Runs(_))) else {
            return "kill nobody".into();
        };
        let Stands::Runs(Claimed { token, .. }) = self.jobs[&id].stands else { unreachable!() };
        sqlx::query(RESCUE)
            .bind(None::<chrono::DateTime<chrono::Utc>>)
            .bind(vec![token])
            .bind(1000i16)
            .execute(&self.db())
            .await
            .unwrap();
        let mut lost: Vec<_> = self
            .jobs
            .values_mut()
            .filter(|job| matches!(&job.stands, Stands::Runs(claimed) if claimed.token == token))
            .collect();
        for job in &mut lost {
            let Stands::Runs(claimed) = &job.stands else { unreachable!() };
            let last = claimed.attempt >= claimed.max_attempts;
            job.stands = if last { Stands::Ended("dead") } else { Stands::Due };
        }
        let order = self.order;
        self.order += lost.len();
        // Which of them is first is nobody's business.
        lost.iter_mut().for_each(|job| job.order = order);
        format!("kill {token}")
    }

    async fn promote(&mut self) -> String {
        let Some(id) = self.some(|stands| matches!(stands, Stands::Later { .. })) else {
            return "promote nobody".into();
        };
        sqlx::query("UPDATE queue.scheduled SET run_at = now() WHERE job = $1")
            .bind(id)
            .execute(&self.db())
            .await
            .unwrap();
        sqlx::query(PROMOTE)
            .bind(None::<chrono::DateTime<chrono::Utc>>)
            .bind(100i64)
            .execute(&self.db())
            .await
            .unwrap();
        let order = self.next();
        let job = self.jobs.get_mut(&id).unwrap();
        job.had_place = job.stands == Stands::Later { holds: true };
        (job.stands, job.order) = (Stands::Due, order);
        format!("promote {id}")
    }

    async fn cancel(&mut self) -> String {
        let due = |stands: &Stands| matches!(stands, Stands::Due | Stands::Later { .. });
        let Some(id) = self.some(due) else { return "cancel nobody".into() };
        assert_eq!(queue::cancel(&self.db(), id, "test").await.unwrap(), Cancelled::Now);
        self.jobs.get_mut(&id).unwrap().stands = Stands::Ended("cancelled");
        format!("cancel {id}")
    }

    async fn retry(&mut self) -> String {
        let over = |stands: &Stands| matches!(stands, Stands::Ended("dead" | "cancelled"));
        let Some(id) = self.some(over) else { return "retry nobody".into() };
        assert_eq!(queue::retry(&self.db(), id, "test").await.unwrap(), Retried::Now);
        let order = self.next();
        let job = self.jobs.get_mut(&id).unwrap();
        (job.stands, job.order, job.had_place) = (Stands::Due, order, false);
        format!("retry {id}")
    }

    async fn change_rules(&mut self) -> String {
        if self.random.random_bool(0.4) {
            self.is_fair = !self.is_fair;
        } else if self.random.random_bool(0.5) {
            self.concurrency = self.random.random_range(1..12);
        } else {
            self.key_concurrency = self.random.random_range(1..4);
            self.was_loose = true;
        }
        let (keys, all) = (self.key_concurrency, self.concurrency);
        let rules = json!({ "fair": self.is_fair, "concurrency": all, "key_concurrency": keys });
        set(&self.db(), rules.clone()).await;
        format!("set {rules}")
    }

    /// What the database says of each job is what the model says.
    async fn check(&self, after: &str) {
        let states: Vec<(Uuid, String)> = sqlx::query_as("SELECT id, state FROM queue.job_states")
            .fetch_all(&self.db())
            .await
            .unwrap();
        assert_eq!(states.len(), self.jobs.len(), "{after}");
        for (id, state) in states {
            let expected = match &self.jobs[&id].stands {
                Stands::Due if state == "waiting" => "waiting",
                Stands::Due => "ready",
                Stands::Later { .. } => "scheduled",
                Stands::Runs(_) => "running",
                Stands::Ended(how) => how,
            };
            assert_eq!(state, expected, "{id} after {after}");
        }
        let free = "SELECT w.key, t.leased, t.promised, queue.key_concurrency('theatre', w.key)
            FROM (SELECT DISTINCT key FROM queue.waiting) w
            LEFT JOIN LATERAL queue.places_taken('theatre', ARRAY[w.key]) t ON true
            WHERE coalesce(t.leased + t.promised, 0) < queue.key_concurrency('theatre', w.key)";
        let free: Vec<(String, Option<i64>, Option<i64>, i16)> =
            sqlx::query_as(AssertSqlSafe(free)).fetch_all(&self.db()).await.unwrap();
        assert!(free.is_empty(), "jobs wait for places that nobody has: {free:?}, after {after}");
    }

    /// Everything can be brought to an end.
    async fn finish(&mut self, when: &str) {
        set(&self.db(), json!({ "concurrency": 1000 })).await;
        self.concurrency = 1000;
        for _ in 0..10_000 {
            while self.some(|stands| matches!(stands, Stands::Later { .. })).is_some() {
                self.promote().await;
            }
            self.claim().await;
            let running: Vec<_> = self
                .jobs
                .values_mut()
                .filter_map(|job| match job.stands.clone() {
                    Stands::Runs(claimed) => {
                        job.stands = Stands::Ended("done");
                        Some((claimed, End::Done))
                    }
                    _ => None,
                })
                .collect();
            if running.is_empty() && self.some(|stands| *stands == Stands::Due).is_none() {
                return self.check(when).await;
            }
            end_all(&self.db(), None, &running).await;
            self.check(when).await;
        }
        panic!("{when}: it never comes to an end");
    }
}
