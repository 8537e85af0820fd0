//! What an operator says of a queue: how many run, how fast, in whose turn, how many may wait.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::Error;

/// Jobs of a queue that run at a time.
pub const CONCURRENCIES: RangeInclusive<i32> = 1..=1_000_000;
/// Jobs with one key that run at a time.
pub const KEY_CONCURRENCIES: RangeInclusive<i16> = 1..=10_000;
/// Jobs that start in a second.
pub const START_RATES: RangeInclusive<f64> = 0.000_01..=1_000_000.0;
/// Jobs that start at once after a pause.
pub const BURSTS: RangeInclusive<i32> = 1..=1_000_000;
/// Jobs that could start, in a queue that is full.
pub const BACKLOGS: RangeInclusive<i32> = 1..=100_000_000;
/// By how much a full queue puts jobs off.
pub const FULL_DELAYS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// Jobs that a tenant starts at its turn.
pub const SHARES: RangeInclusive<i16> = 1..=1000;
/// Characters of a key or a tenant.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=255;

/// The rules of a queue as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Tenants take turns.
    pub fair: bool,
    /// Over all processes; none: as many as they can.
    pub concurrency: Option<i32>,
    /// With 1, jobs with one key run in order.
    pub key_concurrency: i16,
    pub per_second: Option<f64>,
    /// None: as many as in a tenth of a second, and one at least.
    pub burst: Option<i32>,
    pub key_per_second: Option<f64>,
    pub key_burst: Option<i32>,
    pub max_backlog: Option<i32>,
    /// A push to a full queue is put off so long; none: it is refused.
    pub full_delay_seconds: Option<f64>,
}

/// Which rules to change: `None` leaves a rule as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetRules {
    pub fair: Option<bool>,
    pub concurrency: Option<Option<i32>>,
    pub key_concurrency: Option<Option<i16>>,
    pub per_second: Option<Option<f64>>,
    pub burst: Option<Option<i32>>,
    pub key_per_second: Option<Option<f64>>,
    pub key_burst: Option<Option<i32>>,
    pub max_backlog: Option<Option<i32>>,
    pub full_delay: Option<Option<Duration>>,
}

/// What one key of a queue may do; where it says nothing, what all keys of the queue may.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub concurrency: Option<i16>,
    pub per_second: Option<f64>,
    pub burst: Option<i32>,
}

/// Changes rules of a queue. Workers heed them from their next claim on; what runs goes on.
pub async fn set_rules(
    executor: impl PgExecutor<'_>,
    queue: &str,
    rules: &SetRules,
) -> Result<(), Error> {
    let rules = rules.columns()?;
    sqlx::query!("-- queue.set_rules\nSELECT queue.set_rules($1, $2)", queue, Json(rules) as _)
        .fetch_one(executor)
        .await
        .map_err(Error::from_rule)?;
    Ok(())
}

/// Says what one key of a queue may do, instead of all that was said of it before. One that says nothing
/// takes it away.
pub async fn set_limit(
    executor: impl PgExecutor<'_>,
    queue: &str,
    key: &str,
    limit: &Limit,
) -> Result<(), Error> {
    let Limit { concurrency, per_second, burst } = *limit;
    check_name("key", key)?;
    check("concurrency", concurrency, &KEY_CONCURRENCIES)?;
    check("per_second", per_second, &START_RATES)?;
    check("burst", burst, &BURSTS)?;
    sqlx::query!(
        "-- queue.set_limit\nSELECT queue.set_limit($1, $2, $3, $4, $5)",
        queue,
        key,
        concurrency.map(i32::from),
        per_second,
        burst
    )
    .fetch_one(executor)
    .await
    .map_err(Error::from_rule)?;
    Ok(())
}

/// Says how many jobs a tenant of a fair queue starts at its turn; none: one, as everybody.
pub async fn set_share(
    executor: impl PgExecutor<'_>,
    queue: &str,
    tenant: &str,
    weight: Option<i16>,
) -> Result<(), Error> {
    check_name("tenant", tenant)?;
    check("weight", weight, &SHARES)?;
    sqlx::query!(
        "-- queue.set_share\nSELECT queue.set_share($1, $2, $3)",
        queue,
        tenant,
        weight.map(i32::from)
    )
    .fetch_one(executor)
    .await
    .map_err(Error::from_rule)?;
    Ok(())
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            fair: false,
            concurrency: None,
            key_concurrency: 1,
            per_second: None,
            burst: None,
            key_per_second: None,
            key_burst: None,
            max_backlog: None,
            full_delay_seconds: None,
        }
    }
}

impl SetRules {
    /// Takes every rule away.
    pub fn none() -> Self {
        Self {
            fair: Some(false),
            concurrency: Some(None),
            key_concurrency: Some(None),
            per_second: Some(None),
            burst: Some(None),
            key_per_second: Some(None),
            key_burst: Some(None),
            max_backlog: Some(None),
            full_delay: Some(None),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As `queue.set_rules` takes them: what is not there is left alone.
    fn columns(&self) -> Result<Map<String, Value>, Error> {
        let full_delay = self.full_delay.map(|rule| rule.map(|delay| delay.as_secs_f64()));
        let seconds = FULL_DELAYS.start().as_secs_f64()..=FULL_DELAYS.end().as_secs_f64();
        check("full_delay_seconds", full_delay.flatten(), &seconds)?;
        let full_delay = full_delay.map(|rule| rule.map(|seconds| format!("{seconds} seconds")));
        let columns = [
            ("fair", self.fair.map(Value::from)),
            ("concurrency", checked("concurrency", self.concurrency, &CONCURRENCIES)?),
            (
                "key_concurrency",
                checked("key_concurrency", self.key_concurrency, &KEY_CONCURRENCIES)?,
            ),
            ("per_second", checked("per_second", self.per_second, &START_RATES)?),
            ("burst", checked("burst", self.burst, &BURSTS)?),
            ("key_per_second", checked("key_per_second", self.key_per_second, &START_RATES)?),
            ("key_burst", checked("key_burst", self.key_burst, &BURSTS)?),
            ("max_backlog", checked("max_backlog", self.max_backlog, &BACKLOGS)?),
            ("full_delay", full_delay.map(|rule| json!(rule))),
        ];
        let said = columns.into_iter().filter_map(|(name, rule)| Some((name.to_owned(), rule?)));
        Ok(said.collect())
    }
}

impl From<Json<Rules>> for Rules {
    fn from(Json(rules): Json<Rules>) -> Self {
        rules
    }
}

fn checked<T: PartialOrd + Display + Serialize>(
    name: &str,
    rule: Option<Option<T>>,
    range: &RangeInclusive<T>,
) -> Result<Option<Value>, Error> {
    let Some(value) = rule else { return Ok(None) };
    check(name, value.as_ref(), &(range.start()..=range.end()))?;
    Ok(Some(json!(value)))
}

/// The table would refuse it as well, in the words of its constraints.
pub(crate) fn check<T: PartialOrd + Display>(
    name: &str,
    value: Option<T>,
    range: &RangeInclusive<T>,
) -> Result<(), Error> {
    match value {
        Some(value) if !range.contains(&value) => {
            let (low, high) = (range.start(), range.end());
            Err(Error::BadRule(format!("{name}: {value} is not within {low} to {high}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if NAME_CHARS.contains(&name.chars().count()) && !name.contains('\0') {
        return Ok(());
    }
    let (low, high) = (NAME_CHARS.start(), NAME_CHARS.end());
    Err(Error::BadRule(format!("a {what} has {low} to {high} characters")))
}
