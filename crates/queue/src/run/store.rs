//! What runs write beside their outcome. Every write stands in a transaction that holds the lease.

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgTransaction;
use uuid::Uuid;

use super::Cost;
use super::notes::{Line, Progress};
use crate::store::Leased;

/// Locks the lease until `tx` ends: nobody can give its jobs to somebody else. False: it is gone.
pub(super) async fn lock_lease(tx: &mut PgTransaction<'_>, token: i64) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "-- queue.lock_lease
        SELECT token FROM queue.leases WHERE token = $1 FOR KEY SHARE",
        token
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn step(
    tx: &mut PgTransaction<'_>,
    job: Uuid,
    name: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"-- queue.step
        SELECT result::text AS "result!" FROM queue.steps WHERE job = $1 AND name = $2"#,
        job,
        name,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Answers whether it was kept, which it is not when there is one already.
pub(super) async fn keep_step(
    tx: &mut PgTransaction<'_>,
    leased: &Leased,
    name: &str,
    result: &str,
) -> sqlx::Result<bool> {
    let kept = sqlx::query!(
        "-- queue.keep_step
        INSERT INTO queue.steps (job, name, result, attempt)
        VALUES ($1, $2, $3::text::json, $4)
        ON CONFLICT DO NOTHING",
        leased.id,
        name,
        result,
        leased.attempt,
    )
    .execute(&mut **tx)
    .await?;
    Ok(kept.rows_affected() == 1)
}

pub(super) async fn set_progress(
    tx: &mut PgTransaction<'_>,
    leased: &Leased,
    progress: &Progress,
    now: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- queue.set_progress
        INSERT INTO queue.progress AS p (job, token, attempt, percent, note, said_at)
        VALUES ($1, $2, $3, $4, $5, coalesce($6, clock_timestamp()) - make_interval(secs => $7))
        ON CONFLICT (job) DO UPDATE
        SET token = excluded.token, attempt = excluded.attempt, percent = excluded.percent,
            note = excluded.note, said_at = excluded.said_at
        WHERE p.token <= excluded.token",
        leased.id,
        leased.token,
        leased.attempt,
        progress.percent,
        progress.note,
        now,
        age_seconds(progress.at),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn add_lines(
    tx: &mut PgTransaction<'_>,
    leased: &Leased,
    lines: &[Line],
    now: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    let levels: Vec<_> = lines.iter().map(|line| line.level.name().to_owned()).collect();
    let messages: Vec<_> = lines.iter().map(|line| line.message.clone()).collect();
    let ages: Vec<_> = lines.iter().map(|line| age_seconds(line.at)).collect();
    sqlx::query!(
        "-- queue.add_lines
        INSERT INTO queue.logs (job, token, attempt, line, level, message, said_at)
        SELECT $1, $2, $3, line, level, message,
            coalesce($4, clock_timestamp()) - make_interval(secs => age_seconds)
        FROM unnest($5::integer[], $6::text[], $7::text[], $8::float8[])
            AS l(line, level, message, age_seconds)
        -- The same batch again: the connection broke before the first answer arrived.
        ON CONFLICT DO NOTHING",
        leased.id,
        leased.token,
        leased.attempt,
        now,
        &numbers,
        &levels,
        &messages,
        &ages,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn add_cost(
    tx: &mut PgTransaction<'_>,
    leased: &Leased,
    nth: i32,
    cost: &Cost,
    now: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- queue.add_cost
        INSERT INTO queue.costs
            (job, token, nth, kind, name, quantity, amount_micro, currency, spent_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, clock_timestamp()))",
        leased.id,
        leased.token,
        nth,
        leased.kind,
        cost.name,
        cost.quantity,
        cost.amount_micro,
        cost.currency,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How long ago, so that times are the database's, which is not asked at that moment.
fn age_seconds(at: Instant) -> f64 {
    at.elapsed().as_secs_f64()
}
