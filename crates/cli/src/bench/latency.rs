//! `beadle bench latency`: how long a job waits for its handler while the queue is idle.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::database::Server;
use super::pace::{self, Wake};
use super::worker::Workers;
use super::{HANDLERS, RATE, SECONDS, check, figures, patiently, rounded};

#[derive(clap::Args)]
pub struct Args {
    /// Jobs pushed in a second
    #[arg(long, value_name = "N", default_value_t = 50)]
    rate: u32,
    /// How long to push
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// Jobs that the worker runs at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    handlers: usize,
    /// Tell the worker nothing, as behind a pooler in transaction mode, so that it has to look
    #[arg(long)]
    no_notify: bool,
}

impl Args {
    pub fn check(&self) -> anyhow::Result<()> {
        check("--rate", self.rate, RATE)?;
        check("--seconds", self.seconds, SECONDS)?;
        check("--handlers", self.handlers, HANDLERS)
    }
}

pub async fn measure(args: &Args, server: &Server) -> anyhow::Result<Map<String, Value>> {
    let database = server.database().await?;
    database.settle().await?;
    let mut connection = database.connect().await?;
    let wake = if args.no_notify { Wake::Nobody } else { Wake::Notify };
    let mut workers = Workers::ready(&database, 1, args.handlers, wake).await?;
    workers.begin().await?;

    // Connections, plans and caches are warm before it counts.
    let warm = pace::push(&mut connection, args.rate, WARM_UP, wake).await?;
    patiently("the warm-up", workers.until_started(warm)).await?;
    let before = workers.starts();
    let long = Duration::from_secs(args.seconds);
    let jobs = pace::push(&mut connection, args.rate, long, wake).await?;
    patiently("the last job's start", workers.until_started(warm + jobs)).await?;
    let starts = workers.stop().await?.since(&before);

    let quantile = |quantile| {
        let ms = starts.quantile_ms(quantile).context("nothing was started")?;
        anyhow::Ok(rounded(ms))
    };
    Ok(figures([
        ("jobs", jobs.into()),
        ("notify", (!args.no_notify).into()),
        ("p50_ms", quantile(0.5)?),
        ("p99_ms", quantile(0.99)?),
        ("max_ms", quantile(1.0)?),
    ]))
}

const WARM_UP: Duration = Duration::from_secs(1);
