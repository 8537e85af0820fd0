//! Jobs on their way in.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Error;
use crate::push::{Held, Hold, MAX_ARGS_BYTES, Placed, Push, Pushed, Unique};

/// A column each.
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
