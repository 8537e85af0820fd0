//! `beadle schedule`: pushes jobs when the clock says so. Any number of them may run.

use anyhow::Context as _;
use queue::schedule;

use crate::process;

pub async fn schedule() -> anyhow::Result<()> {
    let stop = process::hear_signals()?;
    let settings = process::settings()?;
    let listener = process::listen_for_metrics(&settings)?;
    let (cx, telemetry) = process::start(settings).await?;
    let fleet = workers::fleet(&cx);
    schedule::declare(&cx.pool, &cx.clock, fleet.schedules()).await.context("declare schedules")?;
    tracing::info!(schedules = fleet.schedules().len(), "watching the clock");
    let kinds = fleet.kinds();
    tokio::select! {
        // It returns when `stop` is cancelled.
        () = schedule::run(&cx.pool, &cx.clock, &kinds, stop) => Ok(()),
        broken = process::observe(&telemetry, listener) => Err(broken),
    }
}
