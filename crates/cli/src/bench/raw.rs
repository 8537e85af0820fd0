//! The floor under each figure: the statements of our own shape, with no runtime around them.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::database::Database;
use super::job::{DoNothing, QUEUE};

const CLAIM: &str = include_str!("../../../queue/sql/claim.sql");
const FINISH: &str = include_str!("../../../queue/sql/finish.sql");
const INSERT: &str = include_str!("raw_insert.sql");
const WORKER: &str = "bench:raw";
/// Nobody rescues what a measurement holds.
const LEASE_SECONDS: f64 = 600.0;

/// What a finish needs to know of a claimed job.
#[derive(sqlx::FromRow)]
pub struct Claimed {
    #[sqlx(rename = "token!")]
    token: i64,
    #[sqlx(rename = "id!")]
    id: Uuid,
    #[sqlx(rename = "queue!")]
    queue: String,
    #[sqlx(rename = "priority!")]
    priority: i16,
    #[sqlx(rename = "attempt!")]
    attempt: i16,
    #[sqlx(rename = "max_attempts!")]
    max_attempts: i16,
}

pub async fn claim(executor: impl PgExecutor<'_>, batch: usize) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(CLAIM)
        .bind(None::<DateTime<Utc>>)
        .bind(vec![QUEUE])
        .bind(vec![batch as i32])
        .bind(WORKER)
        .bind(LEASE_SECONDS)
        .fetch_all(executor)
        .await
}

/// Records that all of one claim are done, and closes its lease.
pub async fn finish(executor: impl PgExecutor<'_>, jobs: Vec<Claimed>) -> sqlx::Result<()> {
    let count = jobs.len();
    let column = |of: fn(&Claimed) -> i16| jobs.iter().map(of).collect::<Vec<_>>();
    let closed: Vec<_> = jobs.first().map(|job| job.token).into_iter().collect();
    sqlx::query(FINISH)
        .bind(None::<DateTime<Utc>>)
        .bind(jobs.iter().map(|job| job.token).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.queue.as_str()).collect::<Vec<_>>())
        .bind(column(|job| job.priority))
        .bind(column(|job| job.attempt))
        .bind(column(|job| job.max_attempts))
        .bind(vec!["done"; count])
        .bind(vec![None::<String>; count])
        .bind(vec![0.0; count])
        .bind(vec![None::<f64>; count])
        .bind(closed)
        .bind(Vec::<uuid::Uuid>::new())
        .execute(executor)
        .await?;
    Ok(())
}

/// Claims and finishes by turns, on several connections, until nothing is left.
pub async fn drain(database: &Database, connections: usize, batch: usize) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let connection = database.connect().await?;
        tasks.spawn(drain_one(connection, batch));
    }
    while let Some(ended) = tasks.join_next().await {
        ended?.context("drain with raw statements")?;
    }
    Ok(())
}

async fn drain_one(mut connection: PgConnection, batch: usize) -> sqlx::Result<()> {
    loop {
        let jobs = claim(&mut connection, batch).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        finish(&mut connection, jobs).await?;
    }
}

/// The rows of these pushes, and no notification: an idle worker finds them by looking.
pub async fn insert(executor: impl PgExecutor<'_>, count: usize) -> sqlx::Result<()> {
    let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
    let args: Vec<_> = (0..count).map(|_| Json(DoNothing::now())).collect();
    sqlx::query(INSERT).bind(ids).bind(args).execute(executor).await?;
    Ok(())
}
