//! What a worker does beside running jobs: it says who it is, renews, promotes, rescues.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::Kinds;

/// Tells those who push by SQL which kinds there are. What other fleets have declared stays.
pub(crate) async fn declare_kinds(pool: &PgPool, kinds: &Kinds) -> sqlx::Result<()> {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name.to_owned()).collect();
    let queues: Vec<_> = kinds.iter().map(|kind| kind.queue.to_owned()).collect();
    let max_attempts: Vec<_> = kinds.iter().map(|kind| kind.max_attempts).collect();
    let max_losses: Vec<_> = kinds.iter().map(|kind| kind.max_losses).collect();
    sqlx::query!(
        "-- queue.declare_kinds
        INSERT INTO queue.kinds AS k (kind, queue, max_attempts, max_losses)
        SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[])
        ON CONFLICT (kind) DO UPDATE
        SET queue = excluded.queue, max_attempts = excluded.max_attempts, max_losses = excluded.max_losses
        WHERE (k.queue, k.max_attempts, k.max_losses)
            IS DISTINCT FROM (excluded.queue, excluded.max_attempts, excluded.max_losses)",
        &names,
        &queues,
        &max_attempts,
        &max_losses,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Enters a process into the list of workers; answers its number.
pub(crate) async fn enter_worker(
    pool: &PgPool,
    name: &str,
    queues: &[String],
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "-- queue.enter_worker
        INSERT INTO queue.workers (name, queues) VALUES ($1, $2) RETURNING id",
        name,
        queues
    )
    .fetch_one(pool)
    .await
}

/// Says that a worker is there, or that it goes.
pub(crate) async fn sign_worker(pool: &PgPool, worker: i32, stops: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "-- queue.sign_worker
        UPDATE queue.workers SET seen_at = now(), stopped_at = CASE WHEN $2 THEN now() END
        WHERE id = $1",
        worker,
        stops
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Finds places that nobody was given, in queues whose jobs have keys, and tenants of what was pushed
/// while its queue became fair, within the last hour; `sweeps` looks through all fair queues.
///
/// A statement each, so that no lock of a queue is held while another is looked after; one that is busy
/// holds up no other.
pub(crate) async fn mend(pool: &PgPool, sweeps: bool) -> sqlx::Result<()> {
    note_rules(pool).await?;
    let queues = sqlx::query!(
        r#"-- queue.to_mend
        SELECT
            name, q.fair AND ($1 OR q.fair_since > now() - interval '1 hour') AS "lines_up!",
            EXISTS (SELECT FROM queue.waiting w WHERE w.queue = q.name) AS "waits!"
        FROM queue.queues q WHERE keyed OR fair
        ORDER BY name"#,
        sweeps
    )
    .fetch_all(pool)
    .await?;
    let mut result = Ok(());
    for queue in queues {
        if queue.waits {
            let mended = sqlx::query!(
                "-- queue.mend
                SELECT queue.mend($1) FROM set_config('lock_timeout', '1s', true)",
                queue.name
            );
            result = result.and(mended.fetch_one(pool).await.map(drop));
        }
        if queue.lines_up {
            let lined = sqlx::query!(
                "-- queue.line_up
                SELECT queue.line_up($1) FROM set_config('lock_timeout', '1s', true)",
                queue.name
            );
            result = result.and(lined.fetch_one(pool).await.map(drop));
        }
    }
    result
}

/// From now on every claim knows of the rules that are seen here.
async fn note_rules(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query!(
        "-- queue.note_rules
        UPDATE queue.queues SET ruled_since = clock_timestamp()
        WHERE name = ANY (ARRAY(
            SELECT name FROM queue.queues WHERE ruled AND ruled_since = 'infinity' FOR UPDATE SKIP LOCKED
        ))"
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Extends leases; answers those that are still there.
pub(crate) async fn renew(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    tokens: &[i64],
    lease_seconds: f64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_file_scalar!("sql/renew.sql", now, tokens, lease_seconds).fetch_all(pool).await
}

/// Which of these running jobs somebody asked to stop.
pub(crate) async fn cancellations(pool: &PgPool, jobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- queue.cancellations
        SELECT job FROM queue.cancellations WHERE job = ANY ($1)",
        jobs
    )
    .fetch_all(pool)
    .await
}

/// Moves due jobs to the ready list; answers how many.
pub(crate) async fn promote(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<i64> {
    Ok(sqlx::query_file!("sql/promote.sql", now, limit).fetch_one(pool).await?.moved)
}

/// What a rescue found.
#[derive(Default)]
pub(crate) struct Rescued {
    pub leases: usize,
    /// Jobs of these leases that had not ended.
    pub jobs: i64,
    /// Those of them that have killed their worker too often.
    pub poison: i64,
}

/// Attempts in a row that a job of a kind nobody has declared may take its worker along.
const MAX_LOSSES: i16 = 2;

/// Starts again what dead workers left behind, unless the database itself started less than
/// `grace_seconds` ago.
pub(crate) async fn rescue(
    pool: &PgPool,
    now: Option<DateTime<Utc>>,
    limit: i64,
    grace_seconds: f64,
) -> sqlx::Result<Rescued> {
    let mut tx = pool.begin().await?;
    let expired = sqlx::query_file_scalar!("sql/expired.sql", now, limit, grace_seconds)
        .fetch_all(&mut *tx)
        .await?;
    if expired.is_empty() {
        return Ok(Rescued::default());
    }
    let rescued =
        sqlx::query_file!("sql/rescue.sql", now, &expired, MAX_LOSSES).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(Rescued { leases: expired.len(), jobs: rescued.lost, poison: rescued.poison })
}

/// What a worker that nobody has woken finds to do.
pub(crate) struct Look {
    /// Somebody has not renewed a lease.
    pub expired: bool,
    /// Until the next scheduled job is due.
    pub due_in_seconds: Option<f64>,
    /// Until the next timer of a workflow is due.
    pub rings_in_seconds: Option<f64>,
    /// Somebody waits for what has ended, and has not heard of it.
    pub unsettled: bool,
}

pub(crate) async fn look(pool: &PgPool, now: Option<DateTime<Utc>>) -> sqlx::Result<Look> {
    sqlx::query_file_as!(Look, "sql/look.sql", now).fetch_one(pool).await
}
