//! The rules of a queue as the API shows and takes them.

use std::time::Duration;

use queue::{FULL_DELAYS, SetRules};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;

/// By which rules the jobs of a queue start.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rules {
    /// Tenants take turns.
    fair: bool,
    /// Jobs that run at a time, in all processes together.
    #[schema(required)]
    concurrency: Option<i32>,
    /// Jobs with one key that run at a time; with 1, in order.
    key_concurrency: i16,
    /// Jobs that start in a second, in the long run and by their weights.
    #[schema(required)]
    per_second: Option<f64>,
    /// Jobs that start at once after a pause; null: a tenth of a second's, and one at least.
    #[schema(required)]
    burst: Option<i32>,
    /// As per_second, for the jobs of each key.
    #[schema(required)]
    key_per_second: Option<f64>,
    #[schema(required)]
    key_burst: Option<i32>,
    /// With so many jobs that could start, a push that is not for later is refused or put off.
    #[schema(required)]
    max_backlog: Option<i32>,
    /// By how much a full queue puts jobs off; null: it refuses them.
    #[schema(required)]
    full_delay_seconds: Option<f64>,
}

/// What to change of a queue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[schema(value_type = Option<bool>)]
    #[serde(default, deserialize_with = "said")]
    paused: Option<Option<bool>>,
    /// Null takes all of them away.
    #[schema(value_type = Option<ChangeRules>)]
    #[serde(default, deserialize_with = "said")]
    rules: Option<Option<ChangeRules>>,
}

/// What to change of the rules of a queue. As in `Rules`; null takes a rule away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRules {
    #[schema(value_type = Option<bool>)]
    #[serde(default, deserialize_with = "said")]
    fair: Option<Option<bool>>,
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1000000)]
    #[serde(default, deserialize_with = "said")]
    concurrency: Option<Option<i32>>,
    #[schema(value_type = Option<i16>, minimum = 1, maximum = 10000)]
    #[serde(default, deserialize_with = "said")]
    key_concurrency: Option<Option<i16>>,
    #[schema(value_type = Option<f64>, minimum = 0.00001, maximum = 1000000)]
    #[serde(default, deserialize_with = "said")]
    per_second: Option<Option<f64>>,
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1000000)]
    #[serde(default, deserialize_with = "said")]
    burst: Option<Option<i32>>,
    #[schema(value_type = Option<f64>, minimum = 0.00001, maximum = 1000000)]
    #[serde(default, deserialize_with = "said")]
    key_per_second: Option<Option<f64>>,
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1000000)]
    #[serde(default, deserialize_with = "said")]
    key_burst: Option<Option<i32>>,
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100000000)]
    #[serde(default, deserialize_with = "said")]
    max_backlog: Option<Option<i32>>,
    #[schema(value_type = Option<f64>, minimum = 1, maximum = 86400)]
    #[serde(default, deserialize_with = "said")]
    full_delay_seconds: Option<Option<f64>>,
}

impl Change {
    /// Whether to pause it, and what to change of its rules.
    pub fn orders(self) -> Result<(Option<bool>, SetRules), ApiError> {
        let rules = match self.rules {
            None => SetRules::default(),
            Some(None) => SetRules::none(),
            Some(Some(rules)) => rules.orders()?,
        };
        Ok((self.paused.map(Option::unwrap_or_default), rules))
    }
}

impl ChangeRules {
    fn orders(self) -> Result<SetRules, ApiError> {
        let full_delay = match self.full_delay_seconds {
            Some(Some(seconds)) => Some(Some(delay(seconds)?)),
            other => other.map(|_| None),
        };
        Ok(SetRules {
            fair: self.fair.map(Option::unwrap_or_default),
            concurrency: self.concurrency,
            key_concurrency: self.key_concurrency,
            per_second: self.per_second,
            burst: self.burst,
            key_per_second: self.key_per_second,
            key_burst: self.key_burst,
            max_backlog: self.max_backlog,
            full_delay,
        })
    }
}

/// A number that is no time at all is refused here, and one that is too long by the queue.
fn delay(seconds: f64) -> Result<Duration, ApiError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let (low, high) = (FULL_DELAYS.start().as_secs(), FULL_DELAYS.end().as_secs());
        ApiError::Invalid(format!("full_delay_seconds: {seconds} is not within {low} to {high}"))
    })
}

/// Tells null from what is absent.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl From<queue::Rules> for Rules {
    fn from(rules: queue::Rules) -> Self {
        Self {
            fair: rules.fair,
            concurrency: rules.concurrency,
            key_concurrency: rules.key_concurrency,
            per_second: rules.per_second,
            burst: rules.burst,
            key_per_second: rules.key_per_second,
            key_burst: rules.key_burst,
            max_backlog: rules.max_backlog,
            full_delay_seconds: rules.full_delay_seconds,
        }
    }
}
