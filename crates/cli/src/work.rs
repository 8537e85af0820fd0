//! `beadle work`: runs jobs.

use anyhow::{Context as _, bail, ensure};
use context::settings::CONCURRENCY;

use crate::process;

#[derive(clap::Args)]
pub struct Args {
    /// Work only on this queue; may be given several times
    #[arg(long = "queue", value_name = "NAME")]
    queues: Vec<String>,
    /// Jobs of each queue that run at a time, instead of what the settings say
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

pub async fn work(args: Args) -> anyhow::Result<()> {
    if let Some(concurrency) = args.concurrency {
        let (least, most) = (CONCURRENCY.start(), CONCURRENCY.end());
        ensure!(CONCURRENCY.contains(&concurrency), "--concurrency is {least} to {most}");
    }
    let stop = process::hear_signals()?;
    let settings = process::settings()?;
    let listener = process::listen_for_metrics(&settings)?;
    let (cx, telemetry) = process::start(settings).await?;
    let fleet = workers::fleet(&cx);
    let options = workers::options(&cx.settings, &fleet.kinds(), &args.queues, args.concurrency)?;
    let queues: Vec<_> = options.pools.iter().map(|pool| pool.queue.as_str()).collect();
    tracing::info!(queues = queues.join(","), "working");
    let mut working = fleet.start(options);
    let observe = process::observe(&telemetry, listener);
    let mut observe = std::pin::pin!(observe);
    tokio::select! {
        () = stop.cancelled() => {}
        broken = working.broken() => bail!(broken),
        broken = &mut observe => return Err(broken),
    }
    let mut stopping = std::pin::pin!(working.stop());
    // How it ends can be watched too; and if not, it ends all the same.
    let stopped = tokio::select! {
        stopped = &mut stopping => stopped,
        broken = observe => {
            tracing::error!(%broken, "the rest of the shutdown cannot be watched");
            stopping.await
        }
    };
    stopped.context("stop working")
}
