//! `beadle queues set`, `limit`, `share` and `show`: the rules by which jobs of a queue start.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use context::Context;
use queue::inspect::{self, LimitView, QueueView, ShareView};
use queue::{Limit, SetRules, set_limit, set_rules, set_share};
use serde::Serialize;
use serde_json::json;

use super::must_exist;
use crate::output::Output;

#[derive(clap::Args)]
pub struct Set {
    queue: String,
    /// So many of its jobs run at a time, in all processes together
    #[arg(long, value_name = "N|none")]
    concurrency: Option<Said<i32>>,
    /// So many of its jobs with one key run at a time; with 1, in order
    #[arg(long, value_name = "N|none")]
    key_concurrency: Option<Said<i16>>,
    /// So many of its jobs start in a second, in the long run
    #[arg(long, value_name = "X|none")]
    per_second: Option<Said<f64>>,
    /// So many may start at once after a pause, where there is a rate
    #[arg(long, value_name = "N|none")]
    burst: Option<Said<i32>>,
    /// So many of its jobs with one key start in a second
    #[arg(long, value_name = "X|none")]
    key_per_second: Option<Said<f64>>,
    /// So many with one key may start at once after a pause
    #[arg(long, value_name = "N|none")]
    key_burst: Option<Said<i32>>,
    /// With so many jobs that could start it is full, and refuses more that are not for later
    #[arg(long, value_name = "N|none")]
    max_backlog: Option<Said<i32>>,
    /// When it is full, put jobs off by so long instead: 30s, 5m, 2h
    #[arg(long, value_name = "TIME|none")]
    full_delay: Option<Said<Span>>,
    /// Whether tenants take turns
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    fair: Option<bool>,
}

#[derive(clap::Args)]
pub struct LimitOf {
    queue: String,
    key: String,
    /// So many of its jobs run at a time
    #[arg(long, value_name = "N")]
    concurrency: Option<i16>,
    /// So many of its jobs start in a second
    #[arg(long, value_name = "X")]
    per_second: Option<f64>,
    /// So many may start at once after a pause
    #[arg(long, value_name = "N")]
    burst: Option<i32>,
    /// Nothing of its own: it may do what all keys of the queue may
    #[arg(long, conflicts_with_all = ["concurrency", "per_second", "burst"])]
    none: bool,
}

#[derive(clap::Args)]
pub struct Share {
    queue: String,
    tenant: String,
    /// A number of jobs, or `default`: one, as everybody
    weight: String,
}

pub async fn set(cx: &Context, set: Set, output: Output) -> anyhow::Result<()> {
    let queue = must_exist(cx, &set.queue).await?.name;
    let rules = SetRules {
        fair: set.fair,
        concurrency: said(set.concurrency),
        key_concurrency: said(set.key_concurrency),
        per_second: said(set.per_second),
        burst: said(set.burst),
        key_per_second: said(set.key_per_second),
        key_burst: said(set.key_burst),
        max_backlog: said(set.max_backlog),
        full_delay: said(set.full_delay).map(|delay| delay.map(|Span(delay)| delay)),
    };
    ensure!(!rules.is_empty(), "say which rule to change; `beadle queues set --help` lists them");
    set_rules(&cx.pool, &queue, &rules).await?;
    let view = must_exist(cx, &queue).await?;
    output.show(&json!({ "queue": queue, "rules": view.rules }), |_| match in_few_words(&view) {
        Some(rules) => format!("{queue}: {rules}"),
        None => format!("{queue} has no rules"),
    })
}

pub async fn limit(cx: &Context, of: LimitOf, output: Output) -> anyhow::Result<()> {
    let LimitOf { queue, key, concurrency, per_second, burst, none } = of;
    let limit = Limit { concurrency, per_second, burst };
    ensure!(
        none || limit != Limit::default(),
        "say what the key may do: by --concurrency, --per-second or --burst; or --none"
    );
    must_exist(cx, &queue).await?;
    set_limit(&cx.pool, &queue, &key, &limit).await?;
    let view = LimitView { key, limit };
    output.show(&json!({ "queue": queue, "limit": view }), |_| match none {
        true => format!("{} may do in {queue} what all keys may", view.key),
        false => format!("{queue}: {}", line(&view)),
    })
}

pub async fn share(cx: &Context, share: Share, output: Output) -> anyhow::Result<()> {
    let Share { queue, tenant, weight } = share;
    let weight = match weight.as_str() {
        "default" => None,
        weight => {
            let weight = weight.parse().ok().filter(|weight| queue::SHARES.contains(weight));
            Some(weight.context("a weight is a number from 1 to 1000, or `default`")?)
        }
    };
    must_exist(cx, &queue).await?;
    set_share(&cx.pool, &queue, &tenant, weight).await?;
    let jobs = weight.unwrap_or(1);
    output.show(&json!({ "queue": queue, "tenant": tenant, "weight": weight }), |_| {
        format!("{tenant} starts {jobs} of {queue} at its turn")
    })
}

/// A queue with what was said of its keys and tenants.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    queue: QueueView,
    limits: Vec<LimitView>,
    shares: Vec<ShareView>,
}

pub async fn show(cx: &Context, queue: String, output: Output) -> anyhow::Result<()> {
    let shown = Shown {
        queue: must_exist(cx, &queue).await?,
        limits: inspect::limits(&cx.pool, &queue).await?,
        shares: inspect::shares(&cx.pool, &queue).await?,
    };
    output.show(&shown, describe)
}

fn describe(shown: &Shown) -> String {
    let QueueView { name, paused, ready, waiting, scheduled, running, dead, .. } = &shown.queue;
    let mut lines = vec![
        format!("{name}, {}", if *paused { "paused" } else { "on" }),
        format!(
            "holds     {ready} ready, {waiting} waiting, {scheduled} scheduled, {running} running, {dead} dead"
        ),
        format!("rules     {}", in_few_words(&shown.queue).unwrap_or_else(|| "none".into())),
    ];
    lines.extend(shown.limits.iter().map(|limit| format!("limit     {}", line(limit))));
    let share = |share: &ShareView| format!("share     {}: {} a turn", share.tenant, share.weight);
    lines.extend(shown.shares.iter().map(share));
    lines.join("\n")
}

/// Such as `5 at once, 10/s, keys, fair`.
pub fn in_few_words(queue: &QueueView) -> Option<String> {
    let rules = &queue.rules;
    let rate = |per_second: Option<f64>, burst: Option<i32>| {
        let burst = burst.map(|burst| format!(" in bursts of {burst}")).unwrap_or_default();
        per_second.map(|per_second| format!("{per_second}/s{burst}"))
    };
    let keys = queue.keyed || rules.key_concurrency != 1 || rules.key_per_second.is_some();
    let of_keys = [
        (rules.key_concurrency != 1).then(|| format!("{} at once", rules.key_concurrency)),
        rate(rules.key_per_second, rules.key_burst),
    ];
    let of_keys = of_keys.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let full = rules.max_backlog.map(|jobs| match rules.full_delay_seconds {
        Some(seconds) => format!("full at {jobs}, then {seconds} s later"),
        None => format!("full at {jobs}"),
    });
    let words = [
        rules.concurrency.map(|jobs| format!("{jobs} at once")),
        rate(rules.per_second, rules.burst),
        keys.then(|| if of_keys.is_empty() { "keys".into() } else { format!("keys {of_keys}") }),
        rules.fair.then(|| "fair".into()),
        full,
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn line(LimitView { key, limit }: &LimitView) -> String {
    let words = [
        limit.concurrency.map(|jobs| format!("{jobs} at once")),
        limit.per_second.map(|per_second| format!("{per_second}/s")),
        limit.burst.map(|burst| format!("bursts of {burst}")),
    ];
    format!("{key}: {}", words.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// A value, or `none`: the rule is taken away.
#[derive(Clone)]
struct Said<T>(Option<T>);

fn said<T>(rule: Option<Said<T>>) -> Option<Option<T>> {
    rule.map(|Said(rule)| rule)
}

impl<T: FromStr<Err: Display>> FromStr for Said<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => match text.parse() {
                Ok(value) => Ok(Self(Some(value))),
                Err(error) => Err(format!("{error}; or `none`")),
            },
        }
    }
}

/// A length of time, as people write it.
#[derive(Clone)]
struct Span(Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "a time is a number with s, m, h or d, such as 30s";
        let unit = text.chars().last().ok_or(WRONG)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return Err(WRONG),
        };
        let count: u32 = text[..text.len() - 1].parse().map_err(|_| WRONG)?;
        Ok(Self(Duration::from_secs(u64::from(count) * seconds)))
    }
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off"),
    }
}
