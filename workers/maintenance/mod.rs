//! Keeps the database in shape: what grows without end is dropped when its time is over.

use std::time::Duration;

use anyhow::Context as _;
use context::Context;
use queue::{Job, Outcome, Retry, Run, history};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Drops job history past its retention. Running it twice is harmless: the second finds nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropHistory {}

impl Job for DropHistory {
    const KIND: &'static str = "maintenance.drop_history";
    const RETRY: Retry = Retry::DATABASE;
    const TIMEOUT: Duration = Duration::from_secs(600);
    // A day that is locked is free a little later; the next tick comes tomorrow anyway.
}

pub async fn drop_history(_: DropHistory, cx: Context, _run: Run) -> anyhow::Result<Outcome> {
    let days = u64::from(cx.settings.history.retention_days);
    let retention = Duration::from_secs(days * 24 * 3600);
    let dropped =
        history::drop_older(&cx.pool, &cx.clock, retention).await.context("drop job history")?;
    tracing::info!(
        days_of_runs = dropped.days_of_runs,
        days_of_jobs = dropped.days_of_jobs,
        rows = dropped.rows,
        "dropped job history"
    );
    Ok(Outcome::Done)
}
