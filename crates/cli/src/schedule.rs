//! `beadle schedule`: pushes jobs when the clock says so. Any number of them may run.

use anyhow::Context as _;
use queue::schedule;
use tokio_util::sync::CancellationToken;

use crate::process;

pub async fn schedule() -> anyhow::Result<()> {
    let (cx, _telemetry) = process::start(process::settings()?).await?;
    let fleet = workers::fleet(&cx);
    schedule::declare(&cx.pool, &cx.clock, fleet.schedules()).await.context("declare schedules")?;
    tracing::info!(schedules = fleet.schedules().len(), "watching the clock");
    let (kinds, stop) = (fleet.kinds(), CancellationToken::new());
    tokio::select! {
        () = schedule::run(&cx.pool, &cx.clock, &kinds, stop) => Ok(()),
        stopped = process::asked_to_stop() => stopped,
    }
}
