//! Putting work in: one job or many, in the caller's transaction.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::job::{Job, queue_of};
use crate::{Error, Trace, store};

/// Larger arguments belong in object storage, with their key in the job.
pub const MAX_ARGS_BYTES: usize = 256 * 1024;

/// Lower starts sooner; 0 is normal.
pub const PRIORITIES: RangeInclusive<i16> = -100..=100;
pub const ATTEMPTS: RangeInclusive<i16> = 1..=100;
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
}

/// What a push answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub id: Uuid,
}

/// Stores one job. It exists if and only if the transaction of `executor` commits.
pub async fn push(executor: impl PgExecutor<'_>, job: impl Into<Push>) -> Result<Pushed, Error> {
    let pushed = push_many(executor, [job]).await?;
    Ok(pushed[0])
}

/// Stores jobs in one statement, in order; either all of them or none.
pub async fn push_many(
    executor: impl PgExecutor<'_>,
    jobs: impl IntoIterator<Item = impl Into<Push>>,
) -> Result<Vec<Pushed>, Error> {
    let trace = Trace::current().map(|trace| trace.traceparent());
    let mut rows = store::PushRows::default();
    for job in jobs {
        rows.add(job.into(), trace.as_deref())?;
    }
    if rows.ids.is_empty() {
        return Ok(Vec::new());
    }
    store::push(executor, &rows).await?;
    Ok(rows.ids.into_iter().map(|id| Pushed { id }).collect())
}

impl Push {
    /// The job as its kind says; options follow.
    pub fn of<J: Job>(job: J) -> Self {
        let args = serde_json::to_string(&job).map_err(|error| error.to_string());
        Self::new(Cow::Borrowed(J::KIND), args, J::MAX_ATTEMPTS)
    }

    pub(crate) fn new(
        kind: Cow<'static, str>,
        args: Result<String, String>,
        max_attempts: i16,
    ) -> Self {
        Self { kind, args, priority: 0, max_attempts, run_at: None, delay: None, owner: None }
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

    pub(crate) fn queue(&self) -> &str {
        queue_of(&self.kind)
    }
}

impl<J: Job> From<J> for Push {
    fn from(job: J) -> Self {
        Self::of(job)
    }
}
