//! Jobs of queues that have rules.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;

use super::{Leased, Ruled};
use crate::runtime::Stretch;

/// What to take of one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a> {
    pub queue: &'a str,
    /// How many would start at once.
    pub free: usize,
    /// How many there is room for.
    pub room: usize,
    pub stretches: &'a [Stretch],
    /// Whether it passes over what is under an open transaction.
    pub goes_around: bool,
    /// Whether it needs a transaction number even if it takes nothing.
    pub numbered: bool,
}

/// Whether a claim had a queue for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turn {
    Ours,
    Others,
    Paused,
    /// The queue has no rules any more.
    Unruled,
}

/// What a claim of one queue has brought.
pub(crate) struct Taken {
    pub turn: Turn,
    pub jobs: Vec<Leased>,
    /// So many are in its lease.
    pub leased: usize,
    /// There was nothing behind what it looked at.
    pub exhausted: bool,
    /// Its tenants take turns: marks say nothing about it.
    pub is_fair: bool,
    /// What is left may start after this long, or once others have ended.
    pub wait: Option<Duration>,
    /// As of a claim of other queues.
    pub xmin: i64,
    pub number: Option<i64>,
    pub last_seq: i64,
    /// Priority and `seq` of the last that went elsewhere, by priority.
    pub passed: Vec<(i16, i64)>,
}

pub(crate) async fn take(
    executor: impl PgExecutor<'_>,
    now: Option<DateTime<Utc>>,
    take: Take<'_>,
    worker: i32,
    lease_seconds: f64,
) -> sqlx::Result<Taken> {
    let priorities: Vec<_> = take.stretches.iter().map(|stretch| stretch.priority).collect();
    let seqs: Vec<_> = take.stretches.iter().map(|stretch| stretch.seq).collect();
    let before: Vec<_> = take.stretches.iter().map(|stretch| stretch.before_priority).collect();
    let mut rows = sqlx::query_file!(
        "sql/take.sql",
        now,
        take.queue,
        i32::try_from(take.free).unwrap_or(i32::MAX),
        i32::try_from(take.room).unwrap_or(i32::MAX),
        worker,
        lease_seconds,
        &priorities,
        &seqs,
        &before,
        take.goes_around,
        take.numbered,
    )
    .fetch_all(executor)
    .await?;
    let about = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
    let leased = rows.len();
    let mut jobs = Vec::with_capacity(leased);
    for row in rows {
        let leased = (|| {
            Some(Leased {
                token: row.token?,
                id: row.id?,
                kind: row.kind?,
                queue: take.queue.to_owned(),
                priority: row.priority?,
                seq: row.seq?,
                attempt: row.attempt?,
                max_attempts: row.max_attempts?,
                args: row.args?,
                owner: row.owner,
                trace: row.trace,
                workflow: row.workflow,
                keyed: row.keyed?,
                ruled: Some(Ruled { key: row.key, tenant: row.tenant? }),
                cancelled: row.cancelled?,
            })
        })();
        jobs.extend(leased);
    }
    let passed = about.passed_priorities.unwrap_or_default();
    let passed = passed.into_iter().zip(about.passed_seqs.unwrap_or_default()).collect();
    Ok(Taken {
        turn: match about.turn.as_deref() {
            Some("ours") => Turn::Ours,
            Some("others") => Turn::Others,
            Some("paused") => Turn::Paused,
            _ => Turn::Unruled,
        },
        jobs,
        leased,
        exhausted: about.exhausted.unwrap_or_default(),
        is_fair: about.is_fair.unwrap_or_default(),
        // What is too far away for a duration is as good as infinite.
        wait: about.wait_seconds.map(|s| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX)),
        xmin: about.xmin.unwrap_or_default(),
        number: about.number,
        last_seq: about.last_seq.unwrap_or_default(),
        passed,
    })
}
