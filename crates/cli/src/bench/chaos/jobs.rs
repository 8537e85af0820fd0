//! What workers do under faults: nothing, a little, the wrong thing at first, or leave an effect.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::bail;
use queue::{Backoff, Clock, Fleet, Job, Outcome, Push, Retry, Run};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::history::EFFECT_KIND;
use super::journal::Journal;

pub const QUEUE: &str = "chaos";
/// Faults alone should not use up the attempts, nor make a job look like poison.
const RETRY: Retry = Retry::new(
    100,
    Backoff { first: Duration::from_millis(50), factor: 1.5, cap: Duration::from_secs(1) },
);

/// A job that touches nothing.
#[derive(Debug, Serialize, Deserialize)]
pub enum Errand {
    Nothing,
    Linger {
        millis: u64,
    },
    /// Its first attempt is an error.
    FailFirst,
    PanicFirst,
    /// Snoozes in small portions until then.
    SnoozeUntil {
        micros: i64,
    },
}

impl Job for Errand {
    const KIND: &'static str = "chaos.errand";
    const RETRY: Retry = RETRY;
    const MAX_LOSSES: i16 = RETRY.attempts;
}

/// A row in `chaos.effects`, in the transaction that ends the job.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaveEffect {}

impl Job for LeaveEffect {
    const KIND: &'static str = EFFECT_KIND;
    const RETRY: Retry = RETRY;
    const MAX_LOSSES: i16 = RETRY.attempts;
}

/// What handlers need.
#[derive(Clone)]
pub struct Desk {
    pub pool: PgPool,
    pub journal: Journal,
}

pub fn fleet(desk: Desk) -> Fleet<Desk> {
    Fleet::new(desk.pool.clone(), Clock::system(), desk).worker(run).worker(leave_effect)
}

/// So many that those which are taken come again soon, and do not stop the others.
const KEYS: u32 = 200;
const NAP: Duration = Duration::from_millis(100);

async fn run(errand: Errand, desk: Desk, run: Run) -> anyhow::Result<Outcome> {
    let _entry = desk.journal.enter(run.job_id(), run.attempt())?;
    match errand {
        Errand::Linger { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
        Errand::FailFirst if run.attempt() == 1 => bail!("a planned failure"),
        Errand::PanicFirst if run.attempt() == 1 => panic!("a planned panic"),
        Errand::SnoozeUntil { micros } if now_micros() < micros => return Ok(Outcome::Snooze(NAP)),
        _ => {}
    }
    Ok(Outcome::Done)
}

async fn leave_effect(_: LeaveEffect, desk: Desk, run: Run) -> anyhow::Result<Outcome> {
    let _entry = desk.journal.enter(run.job_id(), run.attempt())?;
    let mut tx = desk.pool.begin().await?;
    let leave = "-- chaos.leave_effect
        INSERT INTO chaos.effects (job, attempt) VALUES ($1, $2)";
    sqlx::query(leave).bind(run.job_id()).bind(run.attempt()).execute(&mut *tx).await?;
    run.finish_in(&mut tx, Outcome::Done).await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Which jobs come.
#[derive(Clone, Copy)]
pub enum Mix {
    OfAll,
    /// Most of them with a key.
    OfAllWithKeys,
    /// Such as take a moment: whoever is killed has its hands full.
    Lingering,
}

/// Draws jobs, always the same ones for the same seed.
pub struct Draw {
    random: StdRng,
    mix: Mix,
}

impl Draw {
    pub fn seeded(seed: u32, mix: Mix) -> Self {
        Self { random: StdRng::seed_from_u64(u64::from(seed)), mix }
    }

    pub fn next(&mut self) -> Push {
        match self.mix {
            Mix::OfAll => self.next_of_all(),
            Mix::OfAllWithKeys => self.with_key(),
            Mix::Lingering => self.lingering(100..=500),
        }
    }

    fn with_key(&mut self) -> Push {
        let push = self.next_of_all();
        match self.random.random_range(0..KEYS + KEYS / 4) {
            key @ 0..KEYS => push.key(format!("key-{key}")),
            _ => push,
        }
    }

    fn lingering(&mut self, millis: RangeInclusive<u64>) -> Push {
        Push::of(Errand::Linger { millis: self.random.random_range(millis) })
    }

    /// Of a hundred, so many are of each sort.
    fn next_of_all(&mut self) -> Push {
        let ahead = Duration::from_millis(self.random.random_range(100..=3000));
        match self.random.random_range(0..100) {
            0..30 => Push::of(Errand::Nothing),
            30..55 => self.lingering(1..=50),
            55..80 => Push::of(LeaveEffect {}),
            80..85 => Push::of(Errand::FailFirst),
            85..90 => Push::of(Errand::PanicFirst),
            90..95 => {
                Push::of(Errand::SnoozeUntil { micros: now_micros() + ahead.as_micros() as i64 })
            }
            _ => Push::of(Errand::Nothing).delay(ahead),
        }
    }
}

fn now_micros() -> i64 {
    Clock::system().now().timestamp_micros()
}
