//! `beadle bench`: measures the engine beside the raw statements of its own shape.

mod chaos;
mod database;
mod drain;
mod fair;
mod histogram;
mod job;
mod latency;
mod pace;
mod pinned;
mod push;
mod raw;
mod rules;
mod soak;
mod usage;
mod worker;

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

use self::database::Server;
use crate::output::Output;
use crate::process;

#[derive(clap::Args)]
pub struct Args {
    /// Measure this often, and print the median and all samples
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    runs: usize,
    #[command(subcommand)]
    measurement: Measurement,
}

/// Each prints JSON, and a summary for people on stderr.
#[derive(clap::Subcommand)]
enum Measurement {
    /// How fast jobs are put in: in bulk, from single connections, from many tasks
    Push(push::Args),
    /// How fast worker processes empty a full queue
    Drain(drain::Args),
    /// How long a small tenant waits behind a large one, and what weights bring
    Fair(fair::Args),
    /// How long a job waits for its handler while the queue is idle
    Latency(latency::Args),
    /// What an old snapshot, held by somebody else, costs
    Pinned(pinned::Args),
    /// How queue, latency and tables behave under a steady rate
    Soak(soak::Args),
    /// Whether anything is lost or done twice while processes die and connections break
    Chaos(chaos::Args),
    /// A worker process of a measurement
    #[command(hide = true)]
    Worker(worker::Args),
    /// A worker process under faults
    #[command(hide = true)]
    ChaosWorker(chaos::crew::Args),
}

const RUNS: RangeInclusive<usize> = 1..=100;
const JOBS: RangeInclusive<usize> = 1..=10_000_000;
const HANDLERS: RangeInclusive<usize> = 1..=10_000;
const PROCESSES: RangeInclusive<usize> = 1..=64;
const SECONDS: RangeInclusive<u64> = 2..=7 * 24 * 3600;
const RATE: RangeInclusive<u32> = 1..=100_000;
/// Nothing that is waited for here takes as long, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn run(args: Args, output: Output) -> anyhow::Result<()> {
    match args.measurement {
        Measurement::Worker(args) => return worker::work(args).await,
        Measurement::ChaosWorker(args) => return chaos::crew::work(args).await,
        _ => {}
    }
    check("--runs", args.runs, RUNS)?;
    args.measurement.check()?;
    let stop = process::hear_signals()?;
    let server = Server::start().await?;
    let measured = tokio::select! {
        measured = repeat(&server, &args) => measured,
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped before the end")),
    };
    let stopped = server.stop().await;
    let measured = measured?;
    stopped?;
    eprintln!("{}", summary(&measured).trim_end());
    output.json(&measured)?;
    chaos::verdict(&measured)
}

async fn repeat(server: &Server, args: &Args) -> anyhow::Result<Value> {
    let mut samples = Vec::new();
    for _ in 0..args.runs {
        let measured = args.measurement.measure(server).await;
        // Also after a failure, so that nothing stays on somebody else's server.
        server.drop_databases().await?;
        samples.push(Value::Object(measured?));
    }
    let mut measured = median(&samples);
    if samples.len() > 1 {
        measured["samples"] = Value::Array(samples);
    }
    Ok(measured)
}

impl Measurement {
    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Push(args) => args.check(),
            Self::Drain(args) => args.check(),
            Self::Fair(args) => args.check(),
            Self::Latency(args) => args.check(),
            Self::Pinned(args) => args.check(),
            Self::Soak(args) => args.check(),
            Self::Chaos(args) => args.check(),
            Self::Worker(_) | Self::ChaosWorker(_) => Ok(()),
        }
    }

    async fn measure(&self, server: &Server) -> anyhow::Result<Map<String, Value>> {
        match self {
            Self::Push(args) => push::measure(args, server).await,
            Self::Drain(args) => drain::measure(args, server).await,
            Self::Fair(args) => fair::measure(args, server).await,
            Self::Latency(args) => latency::measure(args, server).await,
            Self::Pinned(args) => pinned::measure(args, server).await,
            Self::Soak(args) => soak::measure(args, server).await,
            Self::Chaos(args) => chaos::measure(args, server).await,
            Self::Worker(_) | Self::ChaosWorker(_) => bail!("a worker measures nothing by itself"),
        }
    }
}

fn check<T>(name: &str, value: T, allowed: RangeInclusive<T>) -> anyhow::Result<()>
where
    T: PartialOrd + std::fmt::Display,
{
    ensure!(allowed.contains(&value), "{name} is {} to {}", allowed.start(), allowed.end());
    Ok(())
}

/// The same keys with the median of each number; what is no number is as in the first sample.
fn median(samples: &[Value]) -> Value {
    match samples.first() {
        Some(Value::Object(first)) => {
            let of = |key: &String| {
                let values: Vec<_> = samples.iter().map(|sample| sample[key].clone()).collect();
                (key.clone(), median(&values))
            };
            Value::Object(first.keys().map(of).collect())
        }
        Some(Value::Number(_)) if samples.len() > 1 => {
            let mut numbers: Vec<_> = samples.iter().filter_map(Value::as_f64).collect();
            numbers.sort_by(f64::total_cmp);
            let middle = numbers.len() / 2;
            let even = numbers.len().is_multiple_of(2);
            let low = if even { numbers[middle - 1] } else { numbers[middle] };
            rounded((low + numbers[middle]) / 2.0)
        }
        Some(other) => other.clone(),
        None => Value::Null,
    }
}

/// Four digits are more than any of these figures is worth.
fn rounded(value: f64) -> Value {
    if !value.is_finite() || value == 0.0 {
        return Value::from(value);
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits.max(0));
    Value::from((value * scale).round() / scale)
}

/// A line for each figure; series and samples stay in the JSON.
fn summary(measured: &Value) -> String {
    let Some(figures) = measured.as_object() else { return String::new() };
    let mut text = String::new();
    for (key, value) in figures {
        match value {
            Value::Object(_) => {
                for line in summary(value).lines() {
                    text += &format!("{key}.{line}\n");
                }
            }
            Value::Array(_) => {}
            value => text += &format!("{key:<24} {value}\n"),
        }
    }
    text
}

/// The figures of one sample.
fn figures<const N: usize>(figures: [(&str, Value); N]) -> Map<String, Value> {
    figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Waits for something that happens soon, unless something is broken.
async fn patiently<T>(
    what: &str,
    future: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("{what} takes too long"))?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_median_is_taken_of_each_number_at_any_depth() {
        let sample = |a: f64, b: f64| json!({ "a": a, "in": { "b": b }, "name": "x" });
        let three = median(&[sample(3.0, 1.0), sample(1.0, 9.0), sample(2.0, 5.0)]);
        assert_eq!(three, json!({ "a": 2.0, "in": { "b": 5.0 }, "name": "x" }));
        assert_eq!(median(&[json!(1.0), json!(2.0)]), json!(1.5));
    }

    #[test]
    fn figures_keep_four_digits_and_large_ones_their_unit() {
        for (value, kept) in
            [(0.123456, 0.1235), (12.3456, 12.35), (123456.7, 123457.0), (0.0, 0.0)]
        {
            assert_eq!(rounded(value), json!(kept));
        }
    }
}
