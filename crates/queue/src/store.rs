//! The queue's statements as functions: every transition of a job is one of these.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::push::{Held, Hold, MAX_ARGS_BYTES, Placed, Push, Pushed, Unique};
use crate::runtime::{Snapshot, Stretch};
use crate::{Error, Kinds};

/// Jobs on their way in, a column each.
#[derive(Default)]
pub(crate) struct PushRows {
    pub ids: Vec<Uuid>,
    kinds: Vec<String>,
    queues: Vec<String>,
    args: Vec<Json<Box<RawValue>>>,
    priorities: Vec<i16>,
    max_attempts: Vec<i16>,
    run_ats: Vec<Option<DateTime<Utc>>>,
    delays: Vec<Option<f64>>,
    owners: Vec<Option<Uuid>>,
    traces: Vec<Option<String>>,
    uniques: Vec<Option<Unique>>,
}

impl PushRows {
    pub fn add(&mut self, push: Push, trace: Option<&str>) -> Result<(), Error> {
        let queue = push.queue().to_owned();
        let args = push.args.map_err(Error::BadArgs)?;
        if args.len() > MAX_ARGS_BYTES {
            return Err(Error::TooLarge { bytes: args.len(), limit: MAX_ARGS_BYTES });
        }
        let args = RawValue::from_string(args).map_err(|e| Error::BadArgs(e.to_string()))?;
        // Made here and not in the database, so that a caller knows the id whatever happens to the
        // connection. A clock that is off only puts the job into a neighbouring day.
        self.ids.push(Uuid::now_v7());
        self.kinds.push(push.kind.into_owned());
        self.queues.push(queue);
        self.args.push(Json(args));
        self.priorities.push(push.priority);
        self.max_attempts.push(push.max_attempts);
        self.run_ats.push(push.run_at);
        self.delays.push(push.delay.map(|delay| delay.as_secs_f64()));
        self.owners.push(push.owner);
        self.traces.push(trace.map(str::to_owned));
        self.uniques.push(push.unique);
        Ok(())
    }

    /// One of them, by itself.
    pub fn one(&self, index: usize) -> Self {
        let only = index..=index;
        Self {
            ids: self.ids[only.clone()].to_vec(),
            kinds: self.kinds[only.clone()].to_vec(),
            queues: self.queues[only.clone()].to_vec(),
            args: self.args[only.clone()].to_vec(),
            priorities: self.priorities[only.clone()].to_vec(),
            max_attempts: self.max_attempts[only.clone()].to_vec(),
            run_ats: self.run_ats[only.clone()].to_vec(),
            delays: self.delays[only.clone()].to_vec(),
            owners: self.owners[only.clone()].to_vec(),
            traces: self.traces[only.clone()].to_vec(),
            uniques: self.uniques[only].to_vec(),
        }
    }

    pub fn has_keys(&self) -> bool {
        self.uniques.iter().any(Option::is_some)
    }
}

pub(crate) async fn push(executor: impl PgExecutor<'_>, rows: &PushRows) -> Result<(), Error> {
    if rows.ids.len() == 1 {
        return push_one(executor, rows).await;
    }
    sqlx::query_file!(
        "sql/push.sql",
        &rows.ids,
        &rows.kinds,
        &rows.queues,
        &rows.args as _,
        &rows.priorities,
        &rows.max_attempts,
        &rows.run_ats as _,
        &rows.delays as _,
        &rows.owners as _,
        &rows.traces as _,
    )
    .execute(executor)
    .await
    .map_err(Error::from_push)?;
    Ok(())
}

async fn push_one(executor: impl PgExecutor<'_>, rows: &PushRows) -> Result<(), Error> {
    sqlx::query_file!(
        "sql/push_one.sql",
        rows.ids[0],
        rows.kinds[0],
        rows.queues[0],
        &rows.args[0] as _,
        rows.priorities[0],
        rows.max_attempts[0],
        rows.run_ats[0],
        rows.delays[0],
        rows.owners[0],
        rows.traces[0],
    )
    .execute(executor)
    .await
    .map_err(Error::from_push)?;
    Ok(())
}

/// Like [`push`], for a batch in which some jobs have keys.
pub(crate) async fn push_unique(
    executor: impl PgExecutor<'_>,
    rows: &PushRows,
) -> Result<Vec<Pushed>, Error> {
    let (mut keys, mut by_args) = (Vec::new(), Vec::new());
    let (mut while_kept, mut periods) = (Vec::new(), Vec::new());
    for unique in &rows.uniques {
        let hold = unique.as_ref().map(|unique| unique.hold);
        keys.push(unique.as_ref().and_then(|unique| unique.key.clone()));
        by_args.push(unique.as_ref().is_some_and(|unique| unique.key.is_none()));
        while_kept.push(matches!(hold, Some(Hold::WhileKept)));
        periods.push(match hold {
            Some(Hold::Within(period)) => Some(period.as_secs_f64()),
            _ => None,
        });
    }
    let placed = sqlx::query_file!(
        "sql/push_unique.sql",
        &rows.ids,
        &rows.kinds,
        &rows.queues,
        &rows.args as _,
        &rows.priorities,
        &rows.max_attempts,
        &rows.run_ats as _,
        &rows.delays as _,
        &rows.owners as _,
        &rows.traces as _,
        &keys as _,
        &by_args,
        &while_kept,
        &periods as _,
    )
    .fetch_all(executor)
    .await
    .map_err(Error::from_push)?;
    let pushed = placed.into_iter().zip(&rows.ids).map(|(row, id)| {
        let held = match row.until {
            Some(until) => Held::Until(until),
            None if row.until_ended => Held::UntilEnded,
            None => Held::WhileKept,
        };
        let placed = if row.job == *id { Placed::New } else { Placed::Duplicate(held) };
        Pushed { id: row.job, placed }
    });
    Ok(pushed.collect())
}

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

/// A job under a lease, ready to run.
#[derive(Debug)]
pub(crate) struct Leased {
    pub token: i64,
    pub id: Uuid,
    pub kind: String,
    pub queue: String,
    pub priority: i16,
    pub seq: i64,
    pub attempt: i16,
    pub max_attempts: i16,
    pub args: Json<Box<RawValue>>,
    pub owner: Option<Uuid>,
    pub trace: Option<String>,
    /// It holds a key that is freed when it has ended.
    pub keyed: bool,
    /// Somebody asked it to stop between two attempts.
    pub cancelled: bool,
}

/// How many jobs of which queue a worker could start, and where to look for them.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub queues: Vec<String>,
    pub free: Vec<i32>,
    pub from_safe: bool,
    /// The queue of each stretch.
    stretch_queues: Vec<String>,
    priorities: Vec<i16>,
    seqs: Vec<i64>,
    before_priorities: Vec<i16>,
}

impl Wanted {
    pub fn add(&mut self, queue: &str, free: usize, stretches: &[Stretch]) {
        self.queues.push(queue.to_owned());
        self.free.push(i32::try_from(free).unwrap_or(i32::MAX));
        for stretch in stretches {
            self.stretch_queues.push(queue.to_owned());
            self.priorities.push(stretch.priority);
            self.seqs.push(stretch.seq);
            self.before_priorities.push(stretch.before_priority);
        }
    }
}

/// What a claim has brought.
pub(crate) struct Claimed {
    pub jobs: Vec<Leased>,
    pub snapshot: Snapshot,
    /// Queues in which nobody else claimed at the same time.
    pub in_turn: Vec<String>,
    /// Queues in which somebody else did. Queues that are paused are in neither.
    pub out_of_turn: Vec<String>,
}

/// So far ahead looks a claim that comes while another is at the head of the queue.
const OUT_OF_TURN: i64 = 1000;

pub(crate) async fn claim(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    wanted: &Wanted,
    worker: i32,
    lease_seconds: f64,
) -> sqlx::Result<Claimed> {
    let rows = sqlx::query_file!(
        "sql/claim.sql",
        now,
        &wanted.queues,
        &wanted.free,
        worker,
        lease_seconds,
        &wanted.stretch_queues,
        &wanted.priorities,
        &wanted.seqs,
        &wanted.before_priorities,
        OUT_OF_TURN,
    )
    .fetch_all(executor)
    .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    let about = rows.next().ok_or(sqlx::Error::RowNotFound)?;
    for row in rows {
        let leased = (|| {
            Some(Leased {
                token: about.token?,
                id: row.id?,
                kind: row.kind?,
                queue: row.queue?,
                priority: row.priority?,
                seq: row.seq?,
                attempt: row.attempt?,
                max_attempts: row.max_attempts?,
                args: row.args?,
                owner: row.owner,
                trace: row.trace,
                keyed: row.keyed?,
                cancelled: row.cancelled?,
            })
        })();
        jobs.extend(leased);
    }
    Ok(Claimed {
        jobs,
        snapshot: Snapshot {
            xmin: about.xmin.unwrap_or_default(),
            xmax: about.xmax.unwrap_or_default(),
        },
        in_turn: about.in_turn.unwrap_or_default(),
        out_of_turn: about.out_of_turn.unwrap_or_default(),
    })
}

/// Enters a process into the list of workers; answers its number.
pub(crate) async fn enter_worker(pool: &PgPool, name: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "-- queue.enter_worker
        INSERT INTO queue.workers (name) VALUES ($1) RETURNING id",
        name
    )
    .fetch_one(pool)
    .await
}

/// Ended attempts on their way into history, a column each. What only few of them need has columns
/// of its own, with an entry for these few.
#[derive(Default)]
pub(crate) struct Endings {
    pub tokens: Vec<i64>,
    pub jobs: Vec<Uuid>,
    pub attempts: Vec<i16>,
    pub outcomes: Vec<&'static str>,
    pub notes: Vec<Option<String>>,
    pub ran_seconds: Vec<f64>,
    /// Leases whose jobs have all ended.
    pub closed: Vec<i64>,
    /// Some of it may be recorded already.
    pub repeated: bool,
    pub again: Again,
    /// Those that have ended for good and hold a key.
    pub keyed: Few,
    /// Those that were asked to stop.
    pub stopped: Few,
    pub buried: Buried,
    pub outputs: Outputs,
}

/// Some of the attempts: job and token.
#[derive(Default)]
pub(crate) struct Few {
    pub jobs: Vec<Uuid>,
    pub tokens: Vec<i64>,
}

impl Few {
    pub fn add(&mut self, leased: &Leased) {
        self.jobs.push(leased.id);
        self.tokens.push(leased.token);
    }
}

/// Jobs that run again.
#[derive(Default)]
pub(crate) struct Again {
    pub which: Few,
    pub queues: Vec<String>,
    pub priorities: Vec<i16>,
    /// The next one.
    pub attempts: Vec<i16>,
    pub max_attempts: Vec<i16>,
    pub seconds: Vec<f64>,
}

/// Jobs that have ended without being done.
#[derive(Default)]
pub(crate) struct Buried {
    pub which: Few,
    pub kinds: Vec<String>,
    pub queues: Vec<String>,
    pub causes: Vec<&'static str>,
    pub fingerprints: Vec<String>,
}

/// What jobs that are done have to say.
#[derive(Default)]
pub(crate) struct Outputs {
    pub which: Few,
    pub outputs: Vec<Json<Box<RawValue>>>,
}

/// A lease that was still there, and how many of the endings it let through.
pub(crate) struct Accepted {
    pub token: i64,
    pub recorded: i64,
}

pub(crate) async fn finish(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    endings: &Endings,
) -> sqlx::Result<Vec<Accepted>> {
    let Endings { again, keyed, stopped, buried, outputs, .. } = endings;
    let rows = sqlx::query_file!(
        "sql/finish.sql",
        now,
        &endings.tokens,
        &endings.jobs,
        &endings.attempts,
        &endings.outcomes as _,
        &endings.notes as _,
        &endings.ran_seconds,
        &endings.closed,
        endings.repeated,
        &again.which.jobs,
        &again.which.tokens,
        &again.queues,
        &again.priorities,
        &again.attempts,
        &again.max_attempts,
        &again.seconds,
        &keyed.jobs,
        &keyed.tokens,
        &stopped.jobs,
        &stopped.tokens,
        &buried.which.jobs,
        &buried.which.tokens,
        &buried.kinds,
        &buried.queues,
        &buried.causes as _,
        &buried.fingerprints,
        &outputs.which.jobs,
        &outputs.which.tokens,
        &outputs.outputs as _,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Accepted { token: row.token, recorded: row.recorded }).collect())
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
}

pub(crate) async fn look(pool: &PgPool, now: Option<DateTime<Utc>>) -> sqlx::Result<Look> {
    sqlx::query_file_as!(Look, "sql/look.sql", now).fetch_one(pool).await
}
