//! Jobs on their way in.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, PgExecutor};
use uuid::Uuid;

use super::copy::copy;
use crate::push::{Held, Hold, MAX_ARGS_BYTES, Placed, Push, Pushed, Unique, WEIGHTS};
use crate::rules::{check, check_name};
use crate::{Error, Trace};

/// A column each.
#[derive(Default)]
pub(crate) struct PushRows {
    pub ids: Vec<Uuid>,
    pub(super) kinds: Vec<String>,
    pub(super) queues: Vec<String>,
    pub(super) args: Vec<Json<Box<RawValue>>>,
    pub(super) priorities: Vec<i16>,
    pub(super) max_attempts: Vec<i16>,
    pub(super) run_ats: Vec<Option<DateTime<Utc>>>,
    pub(super) delays: Vec<Option<f64>>,
    pub(super) owners: Vec<Option<Uuid>>,
    pub(super) traces: Vec<Option<String>>,
    uniques: Vec<Option<Unique>>,
    pub(super) keys: Vec<Option<String>>,
    pub(super) tenants: Vec<Option<String>>,
    pub(super) weights: Vec<Option<i16>>,
}

impl PushRows {
    /// Jobs of one caller.
    pub fn of(jobs: impl IntoIterator<Item = impl Into<Push>>) -> Result<Self, Error> {
        let trace = Trace::current().map(|trace| trace.traceparent());
        let mut rows = Self::default();
        for job in jobs {
            rows.add(job.into(), trace.as_deref())?;
        }
        Ok(rows)
    }

    pub fn add(&mut self, push: Push, trace: Option<&str>) -> Result<(), Error> {
        let queue = push.queue().to_owned();
        let args = push.args.map_err(Error::BadArgs)?;
        if args.len() > MAX_ARGS_BYTES {
            return Err(Error::TooLarge { bytes: args.len(), limit: MAX_ARGS_BYTES });
        }
        let args = RawValue::from_string(args).map_err(|e| Error::BadArgs(e.to_string()))?;
        let names = [("key", &push.key), ("tenant", &push.tenant)];
        for (what, name) in
            names.into_iter().filter_map(|(what, name)| Some((what, name.as_deref()?)))
        {
            check_name(what, name)?;
        }
        check("weight", push.weight, &WEIGHTS)?;
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
        self.keys.push(push.key);
        self.tenants.push(push.tenant);
        self.weights.push(push.weight);
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
            uniques: self.uniques[only.clone()].to_vec(),
            keys: self.keys[only.clone()].to_vec(),
            tenants: self.tenants[only.clone()].to_vec(),
            weights: self.weights[only].to_vec(),
        }
    }

    /// Some have what few jobs have.
    fn are_special(&self) -> bool {
        self.uniques.iter().any(Option::is_some)
            || self.keys.iter().any(Option::is_some)
            || self.tenants.iter().any(Option::is_some)
            || self.weights.iter().any(Option::is_some)
    }

    /// So many that COPY is worth its round trips, and all for now.
    fn are_for_copy(&self) -> bool {
        self.ids.len() >= COPY_FROM
            && !self.are_special()
            && self.run_ats.iter().all(Option::is_none)
            && self.delays.iter().all(Option::is_none)
    }

    /// All of them were stored.
    fn pushed(&self) -> Vec<Pushed> {
        self.ids.iter().map(|&id| Pushed { id, placed: Placed::New }).collect()
    }
}

/// COPY makes ready for a thousand rows whatever comes: below, an INSERT is as quick.
const COPY_FROM: usize = 2000;

/// Stores all in one statement.
pub(crate) async fn push(
    executor: impl PgExecutor<'_>,
    rows: &PushRows,
) -> Result<Vec<Pushed>, Error> {
    match rows.ids.len() {
        0 => Ok(Vec::new()),
        _ if rows.are_special() => push_special(executor, rows).await,
        1 => push_one(executor, rows).await,
        _ => push_some(executor, rows).await,
    }
}

/// Stores all, with COPY where it can.
pub(crate) async fn push_bulk(
    db: &mut PgConnection,
    rows: &PushRows,
) -> Result<Vec<Pushed>, Error> {
    match rows.are_for_copy() && !have_rules(&mut *db, &rows.queues).await? {
        true => copy_all(db, rows).await,
        false => push(db, rows).await,
    }
}

/// Whether one of the queues says what pushes have to heed.
async fn have_rules(db: &mut PgConnection, queues: &[String]) -> sqlx::Result<bool> {
    let queues: Vec<_> = BTreeSet::from_iter(queues).into_iter().cloned().collect();
    sqlx::query_scalar!(
        r#"-- queue.have_rules
        SELECT EXISTS (
            SELECT FROM queue.queues WHERE name = ANY ($1) AND (fair OR max_backlog IS NOT NULL)
        ) AS "rules!""#,
        &queues
    )
    .fetch_one(db)
    .await
}

async fn push_one(executor: impl PgExecutor<'_>, rows: &PushRows) -> Result<Vec<Pushed>, Error> {
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
    Ok(rows.pushed())
}

async fn push_some(executor: impl PgExecutor<'_>, rows: &PushRows) -> Result<Vec<Pushed>, Error> {
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
    Ok(rows.pushed())
}

async fn copy_all(db: &mut PgConnection, rows: &PushRows) -> Result<Vec<Pushed>, Error> {
    let mut tx = db.begin().await?;
    let jobs = "-- queue.copy_jobs
        COPY queue.jobs (id, kind, queue, args, priority, max_attempts, owner, trace)
        FROM STDIN (FORMAT binary)";
    let copied = copy(&mut tx, jobs, rows.ids.len(), 8, |index, row| {
        row.uuid(rows.ids[index]);
        row.text(&rows.kinds[index]);
        row.text(&rows.queues[index]);
        row.jsonb(rows.args[index].0.get());
        row.smallint(rows.priorities[index]);
        row.smallint(rows.max_attempts[index]);
        row.optional(rows.owners[index], |row, owner| row.uuid(owner));
        row.optional(rows.traces[index].as_deref(), |row, trace| row.text(trace));
    });
    copied.await.map_err(Error::from_push)?;
    // By now the transaction has its number, before a row has its seq: see queue.ready.
    let ready = "-- queue.copy_ready
        COPY queue.ready (queue, priority, job, attempt, max_attempts)
        FROM STDIN (FORMAT binary)";
    let copied = copy(&mut tx, ready, rows.ids.len(), 5, |index, row| {
        row.text(&rows.queues[index]);
        row.smallint(rows.priorities[index]);
        row.uuid(rows.ids[index]);
        row.smallint(1);
        row.smallint(rows.max_attempts[index]);
    });
    copied.await?;
    let queues: Vec<_> = BTreeSet::from_iter(&rows.queues).into_iter().cloned().collect();
    sqlx::query!("-- queue.wake\nSELECT queue.wake(q) FROM unnest($1::text[]) q", &queues)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows.pushed())
}

/// For a batch in which some jobs have what few have: a key of some sort, a tenant, a weight.
async fn push_special(
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
        "sql/push_special.sql",
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
        &rows.keys as _,
        &rows.tenants as _,
        &rows.weights as _,
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
