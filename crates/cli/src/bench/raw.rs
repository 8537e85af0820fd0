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
/// History names a worker by a number that nobody else has.
const NO_WORKER: i32 = -1;
/// As the engine has it.
const OUT_OF_TURN: i64 = 2000;
/// Nobody rescues what a measurement holds.
const LEASE_SECONDS: f64 = 600.0;

/// What a finish needs to know of a claim, in its first row, and of each job in another.
#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(rename = "exhausted?")]
    exhausted: Option<Vec<String>>,
    #[sqlx(rename = "last_seq?")]
    last_seq: Option<i64>,
    #[sqlx(rename = "token?")]
    token: Option<i64>,
    #[sqlx(rename = "id?")]
    id: Option<Uuid>,
    #[sqlx(rename = "seq?")]
    seq: Option<i64>,
    #[sqlx(rename = "attempt?")]
    attempt: Option<i16>,
}

/// Jobs of one claim.
#[derive(Default)]
pub struct Claimed {
    token: i64,
    ids: Vec<Uuid>,
    attempts: Vec<i16>,
    /// Up to which `seq` all that was there has been taken.
    reached: i64,
}

impl Claimed {
    pub fn reached(&self) -> i64 {
        self.reached
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Claims above a `seq`: as the engine does, once it knows that nothing is left below.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    batch: usize,
    above: i64,
) -> sqlx::Result<Claimed> {
    let rows: Vec<Row> = sqlx::query_as(CLAIM)
        .bind(None::<DateTime<Utc>>)
        .bind(vec![QUEUE])
        .bind(vec![batch as i32])
        .bind(NO_WORKER)
        .bind(LEASE_SECONDS)
        .bind(vec![QUEUE])
        .bind(vec![0i16])
        .bind(vec![above])
        .bind(vec![1i16])
        .bind(OUT_OF_TURN)
        .bind(false)
        .bind(false)
        .fetch_all(executor)
        .await?;
    let mut claimed = Claimed { reached: above, ..Claimed::default() };
    let mut rows = rows.into_iter();
    let about = rows.next().ok_or(sqlx::Error::RowNotFound)?;
    claimed.token = about.token.unwrap_or_default();
    for row in rows {
        let (Some(id), Some(seq), Some(attempt)) = (row.id, row.seq, row.attempt) else { continue };
        claimed.ids.push(id);
        claimed.attempts.push(attempt);
        claimed.reached = seq;
    }
    if about.exhausted.is_some_and(|queues| !queues.is_empty()) {
        claimed.reached = about.last_seq.unwrap_or(above);
    }
    Ok(claimed)
}

/// Records that all of one claim are done, and closes its lease.
pub async fn finish(executor: impl PgExecutor<'_>, jobs: Claimed) -> sqlx::Result<()> {
    let count = jobs.ids.len();
    let (no_ids, no_tokens) = (Vec::<Uuid>::new(), Vec::<i64>::new());
    let (no_texts, no_smalls) = (Vec::<String>::new(), Vec::<i16>::new());
    sqlx::query(FINISH)
        .bind(None::<DateTime<Utc>>)
        .bind(vec![jobs.token; count])
        .bind(jobs.ids)
        .bind(jobs.attempts)
        .bind(vec!["done"; count])
        .bind(vec![None::<String>; count])
        .bind(vec![0.0; count])
        .bind(vec![jobs.token])
        .bind(false)
        // Nothing runs again, holds a key, was stopped, died or has anything to say.
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(&no_texts)
        .bind(&no_smalls)
        .bind(&no_smalls)
        .bind(&no_smalls)
        .bind(Vec::<f64>::new())
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(Vec::<Json<()>>::new())
        .bind(&no_texts)
        .bind(&no_texts)
        .bind(&no_ids)
        .bind(&no_tokens)
        .bind(&no_texts)
        .bind(&no_ids)
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
    let mut above = 0;
    let mut found_nothing = 0;
    // Out of turn, a claim may find nothing though the other leaves something.
    while found_nothing < 2 {
        let from = if found_nothing == 0 { above } else { 0 };
        let jobs = claim(&mut connection, batch, from).await?;
        if jobs.is_empty() {
            found_nothing += 1;
            continue;
        }
        (found_nothing, above) = (0, jobs.reached);
        finish(&mut connection, jobs).await?;
    }
    Ok(())
}

/// The rows of these pushes, and no notification: an idle worker finds them by looking.
pub async fn insert(executor: impl PgExecutor<'_>, count: usize) -> sqlx::Result<()> {
    let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
    let args: Vec<_> = (0..count).map(|_| Json(DoNothing::now())).collect();
    sqlx::query(INSERT).bind(ids).bind(args).execute(executor).await?;
    Ok(())
}
