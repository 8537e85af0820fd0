//! `beadle jobs dead` and `beadle jobs redrive`: what jobs died of, and trying them again.

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use queue::{Dead, DeadGroup, MAX_DEAD_GROUPS, RATES, Redrive, dead, redrive};
use serde_json::json;

use super::{BY, first_line, moment};
use crate::output::{Output, or_dash};
use crate::process;

/// Which dead jobs; together they narrow it down.
#[derive(clap::Args)]
pub struct Which {
    #[arg(long)]
    queue: Option<String>,
    #[arg(long)]
    kind: Option<String>,
    /// exhausted, permanent, poison or lost
    #[arg(long, value_parser = ["exhausted", "permanent", "poison", "lost"])]
    cause: Option<String>,
    /// As `jobs dead` shows it
    #[arg(long)]
    fingerprint: Option<String>,
    /// Died at this time or later, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Died before this time
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

#[derive(clap::Args)]
pub struct Again {
    #[command(flatten)]
    which: Which,
    /// Every dead job, when nothing else says which
    #[arg(long)]
    all: bool,
    /// At most so many, oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Let so many start in a second, instead of all at once
    #[arg(long, value_name = "N")]
    per_second: Option<f64>,
    /// Say what would be tried again, and leave it dead
    #[arg(long)]
    dry_run: bool,
}

pub async fn show(which: Which, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let groups = dead(&cx.pool, &which.dead()).await?;
    output.show(&groups, |groups| text(groups))
}

pub async fn again(again: Again, output: Output) -> anyhow::Result<()> {
    let Again { which, all, limit, per_second, dry_run } = again;
    ensure!(
        all != which.says_something(),
        "say which: by --queue, --kind, --cause, --fingerprint, --from or --until; or --all alone"
    );
    if let Some(rate) = per_second.filter(|rate| !RATES.contains(rate)) {
        bail!("--per-second is {} to {}, not {rate}", RATES.start(), RATES.end());
    }
    let order = Redrive { which: which.dead(), limit: limit.unwrap_or(u32::MAX), per_second };
    let cx = process::connect().await?;
    if dry_run {
        let groups = dead(&cx.pool, &order.which).await?;
        let jobs = groups.iter().map(|group| group.jobs).sum::<i64>().min(order.limit.into());
        // More than are shown count too, but only the redrive will know how many they are.
        let complete = groups.len() < MAX_DEAD_GROUPS;
        let would = json!({ "would_retry": jobs, "complete": complete, "groups": groups });
        return output.show(&would, |_| {
            let at_least = if complete { "" } else { "at least " };
            format!("{}\nwould try again {at_least}{jobs}", text(&groups))
        });
    }
    let done = redrive(&cx.pool, &order, BY).await?;
    output.show(&done, |done| match done.key_taken {
        0 => format!("{} are tried again", done.retried),
        left => format!(
            "{} are tried again; {left} stay dead, because another job holds their key",
            done.retried
        ),
    })
}

impl Which {
    fn says_something(&self) -> bool {
        let Self { queue, kind, cause, fingerprint, from, until } = self;
        let words = [queue, kind, cause, fingerprint];
        words.iter().any(|word| word.is_some()) || from.is_some() || until.is_some()
    }

    fn dead(self) -> Dead {
        let Self { queue, kind, cause, fingerprint, from, until } = self;
        Dead { queue, kind, cause, fingerprint, ended_from: from, ended_until: until }
    }
}

fn text(groups: &[DeadGroup]) -> String {
    let group = |group: &DeadGroup| {
        let DeadGroup { kind, cause, fingerprint, jobs, first_at, last_at, example, error } = group;
        let (first, last) = (moment(*first_at), moment(*last_at));
        let error = or_dash(error.as_deref().map(first_line));
        format!(
            "{jobs} of {kind}, {cause}, from {first} to {last}
    fingerprint  {fingerprint}
    such as      {example}: {error}"
        )
    };
    if groups.is_empty() {
        return "no dead job fits".into();
    }
    groups.iter().map(group).collect::<Vec<_>>().join("\n")
}
