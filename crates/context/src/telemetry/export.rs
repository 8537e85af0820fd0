//! Hands finished spans to an OpenTelemetry collector, and keeps quiet when there is none.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

use crate::settings;

/// For one request. The exporter has a thread of its own, so nobody else waits.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The provider for the endpoint of the settings, if there is one.
pub(super) fn provider(
    settings: &settings::Telemetry,
) -> anyhow::Result<Option<SdkTracerProvider>> {
    if settings.otlp_endpoint.is_empty() {
        return Ok(None);
    }
    let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_endpoint(&endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    // In batches from a bounded queue: when the collector is away, spans are dropped, not piled up.
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Reported::new(exporter, endpoint))
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

/// An exporter whose failures are logged when they begin and when they end, not at every batch.
#[derive(Debug)]
pub(super) struct Reported<E> {
    exporter: E,
    endpoint: String,
    failing: AtomicBool,
}

impl<E> Reported<E> {
    pub fn new(exporter: E, endpoint: String) -> Self {
        Reported { exporter, endpoint, failing: AtomicBool::new(false) }
    }

    fn report(&self, result: &OTelSdkResult) {
        let endpoint = &self.endpoint;
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) => {
                metrics::counter!("beadle_trace_export_failures_total").increment(1);
                if !was_failing {
                    tracing::warn!(
                        endpoint,
                        %error,
                        "traces cannot be exported; is the collector running, \
                         and is `telemetry.otlp_endpoint` right?"
                    );
                }
            }
            Ok(()) if was_failing => tracing::info!(endpoint, "traces are exported again"),
            Ok(()) => {}
        }
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.report(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
