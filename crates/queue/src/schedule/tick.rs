//! The clock at work: what is due becomes jobs, by the policies of its schedule.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgTransaction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Missed, Overlap, ScheduleView, next_after, views};
use crate::{Clock, Cron, Error, Kinds, Push, Trace, inspect, push};

/// Schedules in one transaction.
const MAX_DUE: i64 = 100;
/// The longest sleep between two looks: an operator's change shows within it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A scheduler may take so long to restart before its ticks count as missed.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// Jobs of earlier ticks that are asked whether they have ended. More than one has not only where
/// operators have run or retried some, or have just changed the policy.
const EARLIER_JOBS: i64 = 20;

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

/// Pushes what is due, and answers how many jobs.
pub async fn tick(pool: &PgPool, clock: &Clock, kinds: &Kinds) -> Result<usize, Error> {
    let known: Vec<String> = kinds.iter().map(|kind| kind.name.to_owned()).collect();
    let mut tx = pool.begin().await?;
    let due = sqlx::query!(
        r#"-- queue.due
        SELECT name, coalesce($1, now()) AS "now!"
        FROM queue.schedules
        WHERE NOT paused AND (next_at <= coalesce($1, now()) OR waiting_at IS NOT NULL)
            AND kind = ANY ($2)
        ORDER BY next_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED"#,
        clock.for_database(),
        &known,
        MAX_DUE,
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(now) = due.first().map(|schedule| schedule.now) else { return Ok(0) };
    let names: Vec<_> = due.into_iter().map(|schedule| schedule.name).collect();
    let mut pushed = 0;
    for schedule in views(&mut *tx, Some(&names)).await? {
        let mut part = sqlx::Acquire::begin(&mut *tx).await?;
        match serve(&mut part, kinds, &schedule, now).await {
            Ok(count) => {
                part.commit().await?;
                pushed += count;
            }
            // One row that somebody edited badly must not stop the others.
            Err(error) => {
                part.rollback().await?;
                tracing::error!(%error, name = schedule.name, "a schedule cannot tick");
            }
        }
    }
    tx.commit().await?;
    Ok(pushed)
}

/// Pushes, skips or holds back the ticks of one schedule, oldest first.
async fn serve(
    tx: &mut PgTransaction<'_>,
    kinds: &Kinds,
    schedule: &ScheduleView,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let (name, overlap) = (schedule.name.as_str(), schedule.overlap);
    let (mut ticks, mut next_at) = (Vec::from_iter(schedule.waiting_at), schedule.next_at);
    if next_at <= now {
        let cron = schedule.cron()?;
        ticks.extend(due(&cron, next_at, now, schedule.missed));
        next_at = next_after(&cron, now)?;
    }
    let mut busy = overlap != Overlap::Allow && has_open_job(tx, name).await?;
    let (mut pushed, mut waiting_at) = (0, None);
    for tick_at in ticks {
        if !busy {
            let push = prepare(kinds, &schedule.kind, &schedule.args)?;
            if push_tick(tx, name, tick_at, push).await?.is_some() {
                pushed += 1;
                busy = overlap != Overlap::Allow;
            }
        } else if overlap == Overlap::Queue && waiting_at.is_none() {
            waiting_at = Some(tick_at);
        } else {
            skip_tick(tx, name, tick_at).await?;
        }
    }
    sqlx::query!(
        "-- queue.move_on
        UPDATE queue.schedules SET next_at = $2, waiting_at = $3
        WHERE name = $1 AND (next_at, waiting_at) IS DISTINCT FROM ($2, $3)",
        name,
        next_at,
        waiting_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(pushed)
}

/// The ticks from `first` to `now` that are to happen, oldest first: the latest if it is on time,
/// and what is made up of those that were missed.
fn due(
    cron: &Cron,
    first: DateTime<Utc>,
    now: DateTime<Utc>,
    missed: Missed,
) -> Vec<DateTime<Utc>> {
    let mut ticks = latest(cron, first, now, missed.count().max(1));
    ticks.retain(|tick| missed != Missed::SKIP || now - *tick <= ON_TIME);
    ticks
}

/// The last `count` ticks from `first` to `now`. It looks back in ever longer stretches, so that a
/// schedule that slept for years takes hardly longer than one that slept for a day.
fn latest(
    cron: &Cron,
    first: DateTime<Utc>,
    now: DateTime<Utc>,
    count: usize,
) -> Vec<DateTime<Utc>> {
    let mut back = TimeDelta::hours(1);
    loop {
        let from = first.max(now - back);
        let ticks = cron.ticks_after(from).take_while(|tick| *tick <= now);
        let mut ticks: Vec<_> = (from == first).then_some(first).into_iter().chain(ticks).collect();
        if ticks.len() >= count || from == first {
            return ticks.split_off(ticks.len().saturating_sub(count));
        }
        back = back * 4;
    }
}

async fn has_open_job(tx: &mut PgTransaction<'_>, name: &str) -> Result<bool, Error> {
    let jobs = sqlx::query_scalar!(
        r#"-- queue.earlier_jobs
        SELECT job AS "job!" FROM queue.ticks
        WHERE schedule = $1 AND job IS NOT NULL
        ORDER BY tick_at DESC
        LIMIT $2"#,
        name,
        EARLIER_JOBS,
    )
    .fetch_all(&mut **tx)
    .await?;
    for job in jobs {
        let job = inspect::job(&mut **tx, job).await?;
        if job.is_some_and(|job| !job.state.has_ended()) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn prepare(kinds: &Kinds, kind: &str, args: &Value) -> Result<Push, Error> {
    kinds.prepare(kind, args.clone()).map_err(|refused| Error::BadArgs(refused.to_string()))
}

/// Nothing when this tick has already happened. The caller has locked the schedule's row, so nobody
/// else is between the question and the answer.
pub(super) async fn push_tick(
    tx: &mut PgTransaction<'_>,
    name: &str,
    tick_at: DateTime<Utc>,
    job: Push,
) -> Result<Option<Uuid>, Error> {
    let earlier = sqlx::query_scalar!(
        "-- queue.earlier_tick
        SELECT tick_at FROM queue.ticks WHERE schedule = $1 AND tick_at = $2",
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

/// Keeps a row of what did not happen.
async fn skip_tick(
    tx: &mut PgTransaction<'_>,
    name: &str,
    tick_at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "-- queue.skip_tick
        INSERT INTO queue.ticks (schedule, tick_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name,
        tick_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
