//! Schedules as code declares them.

use chrono_tz::Tz;
use serde_json::Value;
use sqlx::PgPool;

use super::{Missed, Overlap, next_after, settle, views};
use crate::{Clock, Cron, Error, Job};

/// When a job is pushed: a cron expression, in UTC unless it says otherwise, with its policies.
#[derive(Clone, Debug)]
pub struct When {
    cron: &'static str,
    zone: Tz,
    name: Option<&'static str>,
    overlap: Overlap,
    missed: Missed,
}

/// A schedule as code declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: &'static str,
    pub kind: &'static str,
    pub args: Value,
    pub cron: Cron,
    pub overlap: Overlap,
    pub missed: Missed,
}

impl When {
    /// Minute, hour, day of month, month, day of week.
    pub fn cron(expression: &'static str) -> Self {
        let (overlap, missed) = (Overlap::default(), Missed::default());
        Self { cron: expression, zone: Tz::UTC, name: None, overlap, missed }
    }

    pub fn zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// Instead of the kind's own name, where one kind has several schedules.
    pub fn name(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    pub fn overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    /// An expression that does not parse is a mistake in the list itself.
    pub(crate) fn declare<J: Job>(self, job: J) -> Declared {
        Declared {
            name: self.name.unwrap_or(J::KIND),
            kind: J::KIND,
            args: serde_json::to_value(job).expect("a declared job serialises"),
            cron: Cron::parse(self.cron, self.zone).expect("a declared schedule parses"),
            overlap: self.overlap,
            missed: self.missed,
        }
    }
}

impl From<&'static str> for When {
    fn from(expression: &'static str) -> Self {
        Self::cron(expression)
    }
}

/// Stores what code declares, and removes what it no longer does. What operators edited, and
/// whether a schedule is paused, stays.
pub async fn declare(pool: &PgPool, clock: &Clock, declared: &[Declared]) -> Result<(), Error> {
    let names: Vec<String> = declared.iter().map(|schedule| schedule.name.to_owned()).collect();
    let mut tx = pool.begin().await?;
    // Two deployments at once declare one after the other.
    sqlx::query!(
        "-- queue.undeclare
        WITH locked AS (SELECT name FROM queue.schedules ORDER BY name FOR UPDATE)
        DELETE FROM queue.schedules
        WHERE name IN (SELECT name FROM locked) AND name <> ALL ($1)",
        &names
    )
    .execute(&mut *tx)
    .await?;
    let before = views(&mut *tx, Some(&names)).await?;
    for schedule in declared {
        sqlx::query_file!(
            "sql/declare.sql",
            schedule.name,
            schedule.kind,
            schedule.args,
            schedule.cron.expression(),
            schedule.cron.zone().name(),
            schedule.overlap as Overlap,
            schedule.missed as Missed,
            next_after(&schedule.cron, clock.now())?,
        )
        .execute(&mut *tx)
        .await?;
    }
    for schedule in &before {
        settle(&mut tx, clock, schedule).await?;
    }
    tx.commit().await?;
    Ok(())
}
