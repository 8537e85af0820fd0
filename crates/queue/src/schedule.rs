//! Jobs that the clock pushes: declared by code, edited by operators, once per tick.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgTransaction;
use sqlx::{PgExecutor, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Clock, Cron, Error, Kinds, Push, Trace, push};

/// A schedule as code declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: &'static str,
    pub kind: &'static str,
    pub args: Value,
    pub cron: Cron,
}

/// A schedule as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleView {
    pub name: String,
    pub kind: String,
    pub cron: String,
    pub zone: String,
    pub paused: bool,
    pub next_at: DateTime<Utc>,
    pub last_tick_at: Option<DateTime<Utc>>,
}

/// Ticks in one transaction.
const MAX_DUE: i64 = 100;
/// The longest sleep between two looks: an operator's change shows within it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ticks until told to stop. Any number of processes may do it at once.
pub async fn run(pool: &PgPool, clock: &Clock, kinds: &Kinds, stop: CancellationToken) {
    let mut healthy = true;
    while !stop.is_cancelled() {
        match tick(pool, clock, kinds).await {
            Ok(_) => healthy = true,
            Err(error) if healthy => {
                tracing::warn!(%error, "schedules wait for the database");
                healthy = false;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Stores what code declares, and removes what it no longer does. Whether a schedule is paused is
/// the operator's.
pub async fn declare(pool: &PgPool, clock: &Clock, declared: &[Declared]) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    for schedule in declared {
        let next_at = next_after(&schedule.cron, clock.now())?;
        sqlx::query!(
            "-- queue.declare
            INSERT INTO queue.schedules AS s (name, kind, args, cron, zone, next_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name) DO UPDATE
            SET kind = excluded.kind, args = excluded.args, cron = excluded.cron,
                zone = excluded.zone, next_at = excluded.next_at
            WHERE (s.kind, s.args, s.cron, s.zone)
                IS DISTINCT FROM (excluded.kind, excluded.args, excluded.cron, excluded.zone)",
            schedule.name,
            schedule.kind,
            schedule.args,
            schedule.cron.expression(),
            schedule.cron.zone().name(),
            next_at,
        )
        .execute(&mut *tx)
        .await?;
    }
    let names: Vec<String> = declared.iter().map(|schedule| schedule.name.to_owned()).collect();
    sqlx::query!(
        "-- queue.undeclare
        DELETE FROM queue.schedules WHERE name <> ALL ($1)",
        &names
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Pushes what is due, and answers how many jobs. Ticks that were missed become one, the latest.
pub async fn tick(pool: &PgPool, clock: &Clock, kinds: &Kinds) -> Result<usize, Error> {
    let known: Vec<String> = kinds.iter().map(|kind| kind.name.to_owned()).collect();
    let mut tx = pool.begin().await?;
    let due = sqlx::query!(
        r#"-- queue.due
        SELECT name, kind, args, cron, zone, next_at, coalesce($1, now()) AS "now!"
        FROM queue.schedules
        WHERE NOT paused AND next_at <= coalesce($1, now()) AND kind = ANY ($2)
        ORDER BY next_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED"#,
        clock.for_database(),
        &known,
        MAX_DUE,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut pushed = 0;
    for schedule in due {
        let next = read(&schedule.cron, &schedule.zone).and_then(|cron| {
            let tick_at = latest(&cron, schedule.next_at, schedule.now)?;
            Ok((tick_at, next_after(&cron, schedule.now)?))
        });
        let push = kinds.prepare(&schedule.kind, schedule.args);
        // One row that somebody edited badly must not stop the others.
        let ((tick_at, next_at), push) = match (next, push) {
            (Ok(next), Ok(push)) => (next, push),
            (Err(error), _) => {
                tracing::error!(%error, name = schedule.name, "a schedule cannot tick");
                continue;
            }
            (_, Err(error)) => {
                tracing::error!(%error, name = schedule.name, "a schedule cannot tick");
                continue;
            }
        };
        sqlx::query!(
            "-- queue.move_on
            UPDATE queue.schedules SET next_at = $2 WHERE name = $1",
            schedule.name,
            next_at,
        )
        .execute(&mut *tx)
        .await?;
        pushed += usize::from(push_tick(&mut tx, &schedule.name, tick_at, push).await?.is_some());
    }
    tx.commit().await?;
    Ok(pushed)
}

/// Pushes a schedule's job now, whatever its next tick and whether or not it is paused.
pub async fn run_now(
    pool: &PgPool,
    clock: &Clock,
    kinds: &Kinds,
    name: &str,
) -> Result<Uuid, Error> {
    let mut tx = pool.begin().await?;
    let schedule = sqlx::query!(
        "-- queue.schedule
        SELECT kind, args FROM queue.schedules WHERE name = $1 FOR UPDATE",
        name
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::NoSchedule(name.to_owned()))?;
    let push = kinds
        .prepare(&schedule.kind, schedule.args)
        .map_err(|refused| Error::BadArgs(refused.to_string()))?;
    let job = push_tick(&mut tx, name, clock.now(), push).await?;
    tx.commit().await?;
    job.ok_or_else(|| Error::BadArgs("this very moment already has its tick".into()))
}

/// Stops or resumes a schedule. On resuming, ticks of the pause are not made up.
pub async fn set_paused(
    pool: &PgPool,
    clock: &Clock,
    name: &str,
    paused: bool,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let schedule = sqlx::query!(
        "-- queue.schedule_cron
        SELECT cron, zone FROM queue.schedules WHERE name = $1 FOR UPDATE",
        name
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::NoSchedule(name.to_owned()))?;
    let cron = read(&schedule.cron, &schedule.zone)?;
    sqlx::query!(
        "-- queue.set_paused
        UPDATE queue.schedules
        SET paused = $2, next_at = $3
        WHERE name = $1 AND paused <> $2",
        name,
        paused,
        next_after(&cron, clock.now())?,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<ScheduleView>, Error> {
    let views = sqlx::query_as!(
        ScheduleView,
        r#"-- queue.schedules
        SELECT name, kind, cron, zone, paused, next_at,
            (SELECT max(tick_at) FROM queue.ticks WHERE schedule = name) AS last_tick_at
        FROM queue.schedules
        ORDER BY name"#
    )
    .fetch_all(executor)
    .await?;
    Ok(views)
}

/// Nothing when this tick has already happened. The caller has locked the schedule's row, so nobody
/// else is between the question and the answer.
async fn push_tick(
    tx: &mut PgTransaction<'_>,
    name: &str,
    tick_at: DateTime<Utc>,
    job: Push,
) -> Result<Option<Uuid>, Error> {
    let earlier = sqlx::query_scalar!(
        "-- queue.earlier_tick
        SELECT job FROM queue.ticks WHERE schedule = $1 AND tick_at = $2",
        name,
        tick_at,
    )
    .fetch_optional(&mut **tx)
    .await?;
    if earlier.is_some() {
        return Ok(None);
    }
    let pushed = Trace::new().scope(push(&mut **tx, job)).await?;
    sqlx::query!(
        "-- queue.tick
        INSERT INTO queue.ticks (schedule, tick_at, job) VALUES ($1, $2, $3)",
        name,
        tick_at,
        pushed.id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Some(pushed.id))
}

/// The last tick that is not in the future. A schedule that was asleep for years takes a moment.
fn latest(cron: &Cron, first: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let mut tick = first;
    loop {
        let next = next_after(cron, tick)?;
        if next > now {
            return Ok(tick);
        }
        tick = next;
    }
}

fn next_after(cron: &Cron, at: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    cron.next_after(at).ok_or_else(|| Error::BadCron {
        expression: cron.expression().to_owned(),
        reason: format!("it does not tick after {at}"),
    })
}

fn read(expression: &str, zone: &str) -> Result<Cron, Error> {
    let zone: Tz = zone.parse().map_err(|_| Error::BadCron {
        expression: expression.to_owned(),
        reason: format!("unknown time zone {zone:?}"),
    })?;
    Cron::parse(expression, zone)
}
