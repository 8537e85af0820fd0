//! `beadle queues`: how much each queue holds, and whether it may start anything.

use anyhow::ensure;
use context::Context;
use queue::inspect::{self, QueueView};
use serde_json::json;

use crate::output::{Output, or_dash, table};
use crate::process;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start no job of a queue until it is resumed; those that run go on
    Pause { queue: String },
    /// Let jobs of a paused queue start again
    Resume { queue: String },
}

pub async fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    match args.command {
        None => show(&cx, output).await,
        Some(Command::Pause { queue }) => set_paused(&cx, queue, true, output).await,
        Some(Command::Resume { queue }) => set_paused(&cx, queue, false, output).await,
    }
}

async fn show(cx: &Context, output: Output) -> anyhow::Result<()> {
    output.show(&queues(cx).await?, |queues| {
        let head = ["QUEUE", "STATE", "READY", "SCHEDULED", "RUNNING", "DEAD", "OLDEST READY"];
        let rows: Vec<_> = queues.iter().map(row).collect();
        table(head, &rows)
    })
}

async fn set_paused(
    cx: &Context,
    queue: String,
    paused: bool,
    output: Output,
) -> anyhow::Result<()> {
    // A slip of the pen would pause a queue that nobody has, and say that all is well.
    let known: Vec<_> = queues(cx).await?.into_iter().map(|queue| queue.name).collect();
    ensure!(known.contains(&queue), "no queue is named {queue:?}; there are {}", known.join(", "));
    let text = if paused {
        queue::pause(&cx.pool, &queue).await?;
        format!("{queue} is paused")
    } else {
        queue::resume(&cx.pool, &queue).await?;
        format!("{queue} works again")
    };
    output.show(&json!({ "queue": queue, "paused": paused }), |_| text)
}

/// Those that hold something, and those that this release works.
async fn queues(cx: &Context) -> anyhow::Result<Vec<QueueView>> {
    let mut queues = inspect::queues(&cx.pool).await?;
    for name in workers::fleet(cx).kinds().queues() {
        if !queues.iter().any(|queue| queue.name == name) {
            queues.push(QueueView::empty(name));
        }
    }
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(queues)
}

fn row(queue: &QueueView) -> [String; 7] {
    [
        queue.name.clone(),
        if queue.paused { "paused" } else { "on" }.into(),
        queue.ready.to_string(),
        queue.scheduled.to_string(),
        queue.running.to_string(),
        queue.dead.to_string(),
        or_dash(queue.oldest_ready_seconds.map(|seconds| format!("{seconds:.0} s"))),
    ]
}
