//! What an operator does to a schedule: edit it, pause it, or run it now.

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Missed, Overlap, ScheduleView, lock, next_after, settle, tick};
use crate::{Clock, Error, Kinds};

/// What to change; the rest stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub cron: Option<String>,
    /// IANA name.
    pub zone: Option<String>,
    pub overlap: Option<Overlap>,
    pub missed: Option<Missed>,
    pub args: Option<Value>,
}

/// Changes a schedule until it is [`reset`]; deployments leave alone what was edited.
pub async fn edit(
    pool: &PgPool,
    clock: &Clock,
    kinds: &Kinds,
    name: &str,
    edit: Edit,
) -> Result<ScheduleView, Error> {
    let mut tx = pool.begin().await?;
    let before = lock(&mut tx, name).await?;
    if let Some(args) = &edit.args {
        tick::prepare(kinds, &before.kind, args)?;
    }
    sqlx::query!(
        "-- queue.edit_schedule
        UPDATE queue.schedules
        SET edited_cron = coalesce($2, edited_cron), edited_zone = coalesce($3, edited_zone),
            edited_overlap = coalesce($4, edited_overlap),
            edited_missed = coalesce($5, edited_missed), edited_args = coalesce($6, edited_args)
        WHERE name = $1",
        name,
        edit.cron,
        edit.zone,
        edit.overlap as Option<Overlap>,
        edit.missed as Option<Missed>,
        edit.args,
    )
    .execute(&mut *tx)
    .await?;
    let now = settle(&mut tx, clock, &before).await?;
    tx.commit().await?;
    Ok(now)
}

/// Gives a schedule back to its declaration. It stays paused if it is.
pub async fn reset(pool: &PgPool, clock: &Clock, name: &str) -> Result<ScheduleView, Error> {
    let mut tx = pool.begin().await?;
    let before = lock(&mut tx, name).await?;
    sqlx::query!(
        "-- queue.reset_schedule
        UPDATE queue.schedules
        SET edited_cron = NULL, edited_zone = NULL, edited_overlap = NULL, edited_missed = NULL,
            edited_args = NULL
        WHERE name = $1",
        name,
    )
    .execute(&mut *tx)
    .await?;
    let now = settle(&mut tx, clock, &before).await?;
    tx.commit().await?;
    Ok(now)
}

/// Stops or resumes a schedule. On resuming, ticks of the pause are not made up, nor is one that
/// waited when it began.
pub async fn set_paused(
    pool: &PgPool,
    clock: &Clock,
    name: &str,
    paused: bool,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let schedule = lock(&mut tx, name).await?;
    sqlx::query!(
        "-- queue.set_paused
        UPDATE queue.schedules
        SET paused = $2, next_at = $3, waiting_at = NULL
        WHERE name = $1 AND paused <> $2",
        name,
        paused,
        next_after(&schedule.cron()?, clock.now())?,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Pushes a schedule's job now, whatever its next tick, its policies, and whether or not it is
/// paused.
pub async fn run_now(
    pool: &PgPool,
    clock: &Clock,
    kinds: &Kinds,
    name: &str,
) -> Result<Uuid, Error> {
    let mut tx = pool.begin().await?;
    let schedule = lock(&mut tx, name).await?;
    let push = tick::prepare(kinds, &schedule.kind, &schedule.args)?;
    let job = tick::push_tick(&mut tx, name, clock.now(), push).await?;
    tx.commit().await?;
    job.ok_or_else(|| Error::BadArgs("this very moment already has its tick".into()))
}
