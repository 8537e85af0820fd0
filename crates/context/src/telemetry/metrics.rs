//! Counters, gauges and histograms, rendered for Prometheus.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// From a claim of two milliseconds to a video of ten minutes.
const SECONDS_BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0,
    600.0,
];
/// From a job by itself to the largest chunk.
const JOBS_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(15);

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Makes this process record its metrics; called again, it returns the same ones.
    pub fn install() -> anyhow::Result<Metrics> {
        static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = &*installed {
            return Ok(metrics.clone());
        }
        let (recorder, metrics) = recorder()?;
        metrics::set_global_recorder(recorder).context("set up metrics")?;
        metrics.keep_up()?;
        *installed = Some(metrics.clone());
        Ok(metrics)
    }

    /// Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Histograms keep every sample until they are read, and perhaps nobody ever reads them.
    fn keep_up(&self) -> anyhow::Result<()> {
        let handle = self.0.clone();
        let upkeep = move || loop {
            thread::sleep(UPKEEP_INTERVAL);
            handle.run_upkeep();
        };
        thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(upkeep)?;
        Ok(())
    }
}

/// A recorder that is not installed yet, and the handle on what it records.
pub(super) fn recorder() -> anyhow::Result<(PrometheusRecorder, Metrics)> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_jobs".to_owned()), &JOBS_BUCKETS)
        })
        .context("set up the buckets of histograms")?
        .build_recorder();
    let metrics = Metrics(recorder.handle());
    Ok((recorder, metrics))
}
