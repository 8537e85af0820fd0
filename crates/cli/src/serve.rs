//! `beadle serve`: the API alone.

use anyhow::{Context as _, bail};

use crate::process;

pub async fn serve() -> anyhow::Result<()> {
    let stop = process::hear_signals()?;
    let settings = process::settings()?;
    let listener = process::listen(&settings)?;
    let address = listener.local_addr()?;
    let (cx, telemetry) = process::start(settings).await?;
    let kinds = workers::fleet(&cx).kinds();
    let parts = api::Parts { kinds, heartbeat: None, metrics: telemetry.metrics() };
    let server = api::start(cx, parts, listener).context("start the API")?;
    let handle = server.handle();
    let mut server = tokio::spawn(server);
    tracing::info!(%address, "the API answers");
    tokio::select! {
        () = stop.cancelled() => {}
        server = &mut server => bail!("the API ended by itself: {server:?}"),
    }
    handle.stop(true).await;
    server.await?.context("the API ended")
}
