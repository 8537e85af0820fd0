//! `beadle schedule`: pushes jobs when the clock says so. Any number of them may run.

use anyhow::Context as _;
use queue::schedule;

use crate::process;

pub async fn schedule() -> anyhow::Result<()> {
    let stop = process::hear_signals()?;
    let (cx, _telemetry) = process::start(process::settings()?).await?;
    let fleet = workers::fleet(&cx);
    schedule::declare(&cx.pool, &cx.clock, fleet.schedules()).await.context("declare schedules")?;
    tracing::info!(schedules = fleet.schedules().len(), "watching the clock");
    schedule::run(&cx.pool, &cx.clock, &fleet.kinds(), stop).await;
    Ok(())
}
