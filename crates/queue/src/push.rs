//! Putting work in: one job or many, in the caller's transaction.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::job::{Job, queue_of};
use crate::{Error, store};

/// Larger arguments belong in object storage, with their key in the job.
pub const MAX_ARGS_BYTES: usize = 256 * 1024;

/// Lower starts sooner; 0 is normal.
pub const PRIORITIES: RangeInclusive<i16> = -100..=100;
pub const ATTEMPTS: RangeInclusive<i16> = 1..=100;
/// What a job may take from a rate.
pub const WEIGHTS: RangeInclusive<i16> = 1..=1000;
/// Ten years: what is further ahead is a mistake.
pub const MAX_DELAY: Duration = Duration::from_secs(3653 * 24 * 3600);

/// A job on its way into the queue, with options.
#[derive(Debug)]
pub struct Push {
    pub(crate) kind: Cow<'static, str>,
    /// A type that does not serialise is reported by [`push`], so that options read without `?`.
    pub(crate) args: Result<String, String>,
    pub(crate) priority: i16,
    pub(crate) max_attempts: i16,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) delay: Option<Duration>,
    pub(crate) owner: Option<Uuid>,
    pub(crate) unique: Option<Unique>,
    pub(crate) key: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) weight: Option<i16>,
}

/// A key that one job of a kind holds at a time: a push with a key that is held stores nothing.
#[derive(Clone, Debug)]
pub struct Unique {
    /// None is the arguments themselves.
    pub(crate) key: Option<String>,
    pub(crate) hold: Hold,
}

/// How long a job holds its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    UntilEnded,
    Within(Duration),
    WhileKept,
}

/// What a push answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The job that was stored, or the one that holds the key.
    pub id: Uuid,
    pub placed: Placed,
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placed {
    New,
    /// Nothing was stored: another job holds the key.
    Duplicate(Held),
}

/// Until when the key of a push is held by another job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    UntilEnded,
    Until(DateTime<Utc>),
    WhileKept,
}

/// Stores one job. It exists if and only if the transaction of `executor` commits.
pub async fn push(executor: impl PgExecutor<'_>, job: impl Into<Push>) -> Result<Pushed, Error> {
    let rows = store::PushRows::of([job])?;
    let pushed = store::push(executor, &rows).await?;
    Ok(pushed[0])
}

/// Stores jobs in one statement, in order; either all of them or none.
pub async fn push_many(
    executor: impl PgExecutor<'_>,
    jobs: impl IntoIterator<Item = impl Into<Push>>,
) -> Result<Vec<Pushed>, Error> {
    store::push(executor, &store::PushRows::of(jobs)?).await
}

/// Does what [`push_many`] does, for thousands: with COPY, unless a job has a key, a tenant, a weight or a time
/// of its own, or a queue of theirs is fair or has a bound. That takes some round trips more, and half of the
/// server's time for each job. In a transaction it is a part that fails by itself.
pub async fn push_bulk(
    db: &mut PgConnection,
    jobs: impl IntoIterator<Item = impl Into<Push>>,
) -> Result<Vec<Pushed>, Error> {
    store::push_bulk(db, &store::PushRows::of(jobs)?).await
}

impl Push {
    /// The job as its kind says; options follow.
    pub fn of<J: Job>(job: J) -> Self {
        let args = serde_json::to_string(&job).map_err(|error| error.to_string());
        Self::new(Cow::Borrowed(J::KIND), args, J::RETRY.attempts)
    }

    pub(crate) fn new(
        kind: Cow<'static, str>,
        args: Result<String, String>,
        max_attempts: i16,
    ) -> Self {
        let (run_at, delay, owner, unique) = (None, None, None, None);
        let (key, tenant, weight) = (None, None, None);
        let priority = 0;
        Self {
            kind,
            args,
            priority,
            max_attempts,
            run_at,
            delay,
            owner,
            unique,
            key,
            tenant,
            weight,
        }
    }

    /// Lower starts sooner, within −100..=100; 0 is normal.
    pub fn priority(self, priority: i16) -> Self {
        Self { priority, ..self }
    }

    /// Not before this time.
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        Self { run_at: Some(at), delay: None, ..self }
    }

    /// Not before this long from now, by the database's clock.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(delay), run_at: None, ..self }
    }

    /// Instead of the kind's own number, within 1..=100.
    pub fn max_attempts(self, max_attempts: i16) -> Self {
        Self { max_attempts, ..self }
    }

    /// The user for whom it runs.
    pub fn owner(self, owner: Uuid) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Only if no other job of its kind holds the key.
    pub fn unique(self, unique: Unique) -> Self {
        Self { unique: Some(unique), ..self }
    }

    /// Of the jobs of a queue with one key only so many run at a time: one, in order, unless an operator
    /// says otherwise. Others go on meanwhile.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// With whom it shares a place where tenants take turns; by default, with the jobs of its owner.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// What it takes from the rate of its queue or key, within 1..=1000; 1 by default.
    pub fn weight(self, weight: i16) -> Self {
        Self { weight: Some(weight), ..self }
    }

    pub(crate) fn queue(&self) -> &str {
        queue_of(&self.kind)
    }
}

impl Unique {
    /// Held until the job has ended, for good and in whatever way.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), hold: Hold::UntilEnded }
    }

    /// The arguments are the key.
    pub fn args() -> Self {
        Self { key: None, hold: Hold::UntilEnded }
    }

    /// Held for this long from the push, whether the job has ended or not.
    pub fn within(self, period: Duration) -> Self {
        Self { hold: Hold::Within(period), ..self }
    }

    /// Held as long as the job is kept: what is done is not done again while its history tells.
    pub fn while_kept(self) -> Self {
        Self { hold: Hold::WhileKept, ..self }
    }
}

impl<J: Job> From<J> for Push {
    fn from(job: J) -> Self {
        Self::of(job)
    }
}
