//! Jobs that the clock pushes: declared by code, edited by operators, once per tick.

mod declare;
mod operate;
mod policy;
mod tick;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgTransaction;
use sqlx::{PgExecutor, PgPool};

pub use declare::{Declared, When, declare};
pub use operate::{Edit, edit, reset, run_now, set_paused};
pub use policy::{Missed, Overlap};
pub use tick::{run, tick};

use crate::{Clock, Cron, Error};

/// A schedule as it stands: what code declares, with what operators have edited on top.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleView {
    pub name: String,
    pub kind: String,
    pub args: Value,
    pub cron: String,
    pub zone: String,
    pub overlap: Overlap,
    pub missed: Missed,
    /// What an operator has edited, by name.
    pub edited: Vec<String>,
    pub paused: bool,
    pub next_at: DateTime<Utc>,
    /// The tick that waits for an earlier tick's job; see [`Overlap::Queue`].
    pub waiting_at: Option<DateTime<Utc>>,
    pub last_tick_at: Option<DateTime<Utc>>,
}

pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<ScheduleView>, Error> {
    views(executor, None).await
}

pub async fn find(pool: &PgPool, name: &str) -> Result<ScheduleView, Error> {
    let views = views(pool, Some(&[name.to_owned()])).await?;
    views.into_iter().next().ok_or_else(|| Error::NoSchedule(name.to_owned()))
}

/// The next `count` ticks, as if the schedule were not paused.
pub fn next_ticks(schedule: &ScheduleView, count: usize) -> Result<Vec<DateTime<Utc>>, Error> {
    let cron = schedule.cron()?;
    let later = cron.ticks_after(schedule.next_at);
    Ok(std::iter::once(schedule.next_at).chain(later).take(count).collect())
}

impl ScheduleView {
    fn cron(&self) -> Result<Cron, Error> {
        read(&self.cron, &self.zone)
    }
}

/// All schedules, or those of these names.
async fn views(
    executor: impl PgExecutor<'_>,
    names: Option<&[String]>,
) -> Result<Vec<ScheduleView>, Error> {
    Ok(sqlx::query_file_as!(ScheduleView, "sql/schedules.sql", names).fetch_all(executor).await?)
}

/// Locks a schedule until `tx` ends: whoever changes it, changes what it then is.
async fn lock(tx: &mut PgTransaction<'_>, name: &str) -> Result<ScheduleView, Error> {
    sqlx::query_scalar!(
        "-- queue.lock_schedule
        SELECT name FROM queue.schedules WHERE name = $1 FOR UPDATE",
        name
    )
    .fetch_optional(&mut **tx)
    .await?;
    let views = views(&mut **tx, Some(&[name.to_owned()])).await?;
    views.into_iter().next().ok_or_else(|| Error::NoSchedule(name.to_owned()))
}

/// Finds the next tick anew where the time it depends on is no longer what it was.
async fn settle(
    tx: &mut PgTransaction<'_>,
    clock: &Clock,
    before: &ScheduleView,
) -> Result<ScheduleView, Error> {
    let mut now = lock(tx, &before.name).await?;
    if (&now.cron, &now.zone) != (&before.cron, &before.zone) {
        now.next_at = next_after(&now.cron()?, clock.now())?;
        sqlx::query!(
            "-- queue.reschedule
            UPDATE queue.schedules SET next_at = $2 WHERE name = $1",
            now.name,
            now.next_at,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(now)
}

fn next_after(cron: &Cron, at: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    cron.next_after(at).ok_or_else(|| Error::BadCron {
        expression: cron.expression().to_owned(),
        reason: format!("it does not tick after {at}"),
    })
}

fn read(expression: &str, zone: &str) -> Result<Cron, Error> {
    let zone = zone.parse().map_err(|_| Error::BadCron {
        expression: expression.to_owned(),
        reason: format!("unknown time zone {zone:?}"),
    })?;
    Cron::parse(expression, zone)
}
