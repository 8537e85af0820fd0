//! Logs, traces and metrics: what a process says about itself.

mod export;
mod fields;
mod metrics;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::{LookupSpan, Registry},
    util::SubscriberInitExt,
};

pub use metrics::Metrics;

use crate::settings::{self, LogFormat};

/// How long a process that ends waits for its last traces to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps telemetry going. Dropping it hands over the last traces.
#[must_use = "dropping it ends the export of traces"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Metrics,
}

/// Sets up logs, traces and metrics for the whole process; possible once.
pub fn init(settings: &settings::Telemetry) -> anyhow::Result<Telemetry> {
    let terminal = io::stderr().is_terminal();
    let traces = export::provider(settings).context("set up the export of traces")?;
    subscriber(settings, traces.as_ref(), terminal, io::stderr)?
        .try_init()
        .context("set up logs, which a process does once")?;
    // Trace ids travel in W3C headers and job rows, whether or not traces are exported.
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Telemetry { traces, metrics: Metrics::install()? })
}

impl Telemetry {
    /// A handle on the metrics, for whoever answers `/metrics`.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.metrics.render()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

/// The layers that every span and event goes through.
fn subscriber<W>(
    settings: &settings::Telemetry,
    traces: Option<&SdkTracerProvider>,
    terminal: bool,
    writer: W,
) -> anyhow::Result<impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(&settings.log)?;
    let traces = traces
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("beadle")));
    let logs: Box<dyn Layer<_> + Send + Sync> = match (settings.log_format, terminal) {
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => {
            Box::new(fmt::layer().with_ansi(terminal).with_writer(writer))
        }
        // All spans, because the trace id stands in the outermost.
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Box::new(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true)
                .fmt_fields(fields::JsonObject)
                .with_writer(writer),
        ),
    };
    Ok(Registry::default().with(traces).with(logs).with(filter))
}

fn filter<S: Subscriber>(directives: &str) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>> {
    let words: Vec<&str> = directives.split(',').map(str::trim).collect();
    for word in words.iter().filter(|word| !word.contains(['=', '['])) {
        // A lone word that is no level would count as a target, and silence everything else.
        ensure!(
            !word.is_empty() && word.parse::<LevelFilter>().is_ok(),
            "`telemetry.log`: `{word}` is not a level; write `target=level`, \
             or one of error, warn, info, debug, trace, off"
        );
    }
    let (directives, context) = (words.join(","), || format!("`telemetry.log` is `{directives}`"));
    // One that knows fields of spans looks at every span each time that it is entered.
    if directives.contains('[') {
        return Ok(Box::new(EnvFilter::try_new(&directives).with_context(context)?));
    }
    Ok(Box::new(directives.parse::<Targets>().with_context(context)?))
}
