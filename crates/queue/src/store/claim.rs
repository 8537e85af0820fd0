//! Jobs under a lease.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::push::PRIORITIES;
use crate::runtime::Stretch;

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
    /// It is part of it.
    pub workflow: Option<Uuid>,
    /// It holds a unique key that is freed when it has ended.
    pub keyed: bool,
    /// What it has because its queue has rules.
    pub ruled: Option<Ruled>,
    /// Somebody asked it to stop between two attempts.
    pub cancelled: bool,
}

/// A job's place among others of its queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruled {
    /// It holds a place among the jobs with this key.
    pub key: Option<String>,
    pub tenant: String,
}

/// A job whose place is kept goes before all others of its queue: see queue.ready.
const PROMISED: i16 = 1000;

impl Leased {
    /// As it was pushed.
    pub fn own_priority(&self) -> i16 {
        if self.priority < *PRIORITIES.start() { self.priority + PROMISED } else { self.priority }
    }
}

/// How many jobs of which queue a worker could start, and where to look for them.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub queues: Vec<String>,
    pub free: Vec<i32>,
    pub from_safe: bool,
    /// Whether it is for what no mark knows of.
    pub sweeps: bool,
    /// Whether it passes over what is under an open transaction.
    pub goes_around: bool,
    /// Whether it needs a transaction number even if it takes nothing.
    pub numbered: bool,
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
    /// All transactions below have ended, and it saw what they did.
    pub xmin: i64,
    /// Its transaction number, if it took something or was to have one.
    pub number: Option<i64>,
    /// The latest `seq` that was given out.
    pub last_seq: i64,
    /// Queues in which nobody else claimed at the same time.
    pub in_turn: Vec<String>,
    /// Queues in which somebody else did. Queues that are paused are in neither.
    pub out_of_turn: Vec<String>,
    /// Queues of the former with nothing behind what it looked at.
    pub exhausted: Vec<String>,
    /// Queues that have rules, and are claimed apart.
    pub ruled: Vec<String>,
}

/// So far ahead looks a claim that comes while another is at the head of the queue.
const OUT_OF_TURN: i64 = 2000;

pub(crate) async fn claim(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    wanted: &Wanted,
    worker: i32,
    lease_seconds: f64,
) -> sqlx::Result<Claimed> {
    let out_of_turn = wanted.sweeps || wanted.goes_around;
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
        if out_of_turn { 0 } else { OUT_OF_TURN },
        out_of_turn,
        wanted.numbered,
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
                workflow: row.workflow,
                keyed: row.keyed?,
                ruled: None,
                cancelled: row.cancelled?,
            })
        })();
        jobs.extend(leased);
    }
    Ok(Claimed {
        jobs,
        xmin: about.xmin.unwrap_or_default(),
        number: about.number,
        last_seq: about.last_seq.unwrap_or_default(),
        in_turn: about.in_turn.unwrap_or_default(),
        out_of_turn: about.out_of_turn.unwrap_or_default(),
        exhausted: about.exhausted.unwrap_or_default(),
        ruled: about.ruled.unwrap_or_default(),
    })
}
