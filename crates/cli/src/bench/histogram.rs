//! Durations in buckets that grow by two per cent, so that millions fit into a few kilobytes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const GROWTH: f64 = 1.02;

/// How many durations fell into which bucket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        *self.0.entry(bucket(duration)).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// What was added after `earlier`, which is this histogram at another time.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |bucket| earlier.0.get(bucket).copied().unwrap_or(0);
        let counts = self.0.iter().map(|(bucket, count)| (*bucket, count - before(bucket)));
        Histogram(counts.filter(|(_, count)| *count > 0).collect())
    }

    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// In milliseconds, at most two per cent above the true value; none when nothing was added.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= wanted).then(|| GROWTH.powi(i32::from(*bucket)) / 1000.0)
        })
    }
}

/// The first whose upper edge, a power of the growth in microseconds, is not below the duration.
fn bucket(duration: Duration) -> u16 {
    let micros = duration.as_secs_f64() * 1e6;
    if micros <= 1.0 { 0 } else { (micros.ln() / GROWTH.ln()).ceil() as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_per_cent() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile_ms(0.5), None);
        (1..=1000).for_each(|millis| all.add(Duration::from_millis(millis)));
        for (quantile, true_ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = all.quantile_ms(quantile).unwrap();
            assert!((true_ms * 0.999..=true_ms * 1.021).contains(&found), "{true_ms}: {found}");
        }
    }

    #[test]
    fn a_later_histogram_knows_what_has_come_since() {
        let mut earlier = Histogram::default();
        earlier.add(Duration::from_millis(1));
        let mut later = earlier.clone();
        later.add(Duration::from_millis(1));
        later.add(Duration::from_secs(1));
        let between = later.since(&earlier);
        assert_eq!(between.count(), 2);
        assert!(between.quantile_ms(1.0).unwrap() >= 1000.0);
    }
}
