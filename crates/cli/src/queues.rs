//! `beadle queues`: how much each queue holds, whether it may start anything, by which rules, how long it is kept.

mod rules;

use std::ops::RangeInclusive;

use anyhow::{Context as _, bail};
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
    /// Keep the ended jobs of a queue for so many days
    Keep {
        queue: String,
        /// A number of days, or `default`: as long as `history.retention_days` says
        days: String,
    },
    /// Show one queue, its rules, and what was said of its keys and tenants
    Show { queue: String },
    /// Change rules of a queue; workers heed them from their next claim on
    Set(rules::Set),
    /// Say what one key of a queue may do, instead of what all its keys may
    Limit(rules::LimitOf),
    /// Say how many jobs a tenant of a fair queue starts at its turn
    Share(rules::Share),
}

pub async fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    match args.command {
        None => show(&cx, output).await,
        Some(Command::Pause { queue }) => set_paused(&cx, queue, true, output).await,
        Some(Command::Resume { queue }) => set_paused(&cx, queue, false, output).await,
        Some(Command::Keep { queue, days }) => keep(&cx, queue, &days, output).await,
        Some(Command::Show { queue }) => rules::show(&cx, queue, output).await,
        Some(Command::Set(set)) => rules::set(&cx, set, output).await,
        Some(Command::Limit(limit)) => rules::limit(&cx, limit, output).await,
        Some(Command::Share(share)) => rules::share(&cx, share, output).await,
    }
}

async fn show(cx: &Context, output: Output) -> anyhow::Result<()> {
    output.show(&queues(cx).await?, |queues| {
        let head = [
            "QUEUE",
            "STATE",
            "READY",
            "WAITING",
            "SCHEDULED",
            "RUNNING",
            "DEAD",
            "OLDEST READY",
            "KEPT",
            "RULES",
        ];
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
    must_exist(cx, &queue).await?;
    let text = if paused {
        queue::pause(&cx.pool, &queue).await?;
        format!("{queue} is paused")
    } else {
        queue::resume(&cx.pool, &queue).await?;
        format!("{queue} works again")
    };
    output.show(&json!({ "queue": queue, "paused": paused }), |_| text)
}

async fn keep(cx: &Context, queue: String, days: &str, output: Output) -> anyhow::Result<()> {
    const DAYS: RangeInclusive<i16> = 1..=3650;
    let days = match days {
        "default" => None,
        days => {
            let days = days.parse().ok().filter(|days| DAYS.contains(days));
            Some(days.context("days are a number from 1 to 3650, or `default`")?)
        }
    };
    must_exist(cx, &queue).await?;
    queue::keep(&cx.pool, &queue, days).await?;
    let text = match days {
        Some(days) => format!("ended jobs of {queue} stay for {days} days"),
        None => format!("ended jobs of {queue} stay as long as history.retention_days says"),
    };
    output.show(&json!({ "queue": queue, "keep_days": days }), |_| text)
}

/// A slip of the pen would tell a queue that nobody has, and say that all is well.
async fn must_exist(cx: &Context, queue: &str) -> anyhow::Result<QueueView> {
    let mut known = queues(cx).await?;
    let Some(index) = known.iter().position(|known| known.name == queue) else {
        let known: Vec<_> = known.into_iter().map(|queue| queue.name).collect();
        bail!("no queue is named {queue:?}; there are {}", known.join(", "));
    };
    Ok(known.swap_remove(index))
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

fn row(queue: &QueueView) -> [String; 10] {
    [
        queue.name.clone(),
        if queue.paused { "paused" } else { "on" }.into(),
        queue.ready.to_string(),
        queue.waiting.to_string(),
        queue.scheduled.to_string(),
        queue.running.to_string(),
        queue.dead.to_string(),
        or_dash(queue.oldest_ready_seconds.map(|seconds| format!("{seconds:.0} s"))),
        or_dash(queue.keep_days.map(|days| format!("{days} d"))),
        or_dash(rules::in_few_words(queue)),
    ]
}
