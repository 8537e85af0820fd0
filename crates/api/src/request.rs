//! What happens around every request: its trace, its limits, its log line, its numbers, its headers.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use actix_web::{
    Error, HttpResponse,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use anyhow::anyhow;
use context::Context;
use futures_util::FutureExt;
use queue::Trace;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, field::Empty};

use crate::error::{ApiError, dress};

/// Wraps everything else. No request leaves without an answer, a log line and an `x-request-id`.
pub async fn follow(
    cx: Data<Context>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let seen = Seen::of(&request);
    let trace = adopted(request.headers()).unwrap_or_else(Trace::new);
    // A span of a lower level vanishes with `log = "warn"`, and its trace id with it.
    let span = tracing::error_span!(
        "http.request",
        method = seen.method,
        route = seen.route,
        trace_id = trace.id(),
        key = Empty,
        status = Empty,
    );
    trace.adopt(&span);
    let id = trace.id();
    let limit = Duration::from_secs(cx.settings.http.request_timeout_seconds);
    let answer = async move {
        let (request, response) = match guarded(limit, request, next).await {
            Ok(answered) => {
                let (request, response) = answered.into_parts();
                (Some(request), response)
            }
            Err(error) => (None, HttpResponse::from_error(error)),
        };
        seen.report(&response);
        let mut response = dress(response);
        put_headers(response.headers_mut(), &id);
        match request {
            Some(request) => Ok(ServiceResponse::new(request, response)),
            None => Err(InternalError::from_response("answered", response).into()),
        }
    };
    trace.scope(answer.instrument(span)).await
}

/// The caller's trace, if it sent a valid one.
fn adopted(headers: &HeaderMap) -> Option<Trace> {
    Trace::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// Ends what takes too long, and turns a panic into an answer.
async fn guarded(
    limit: Duration,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let handled = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    match timeout(limit, handled).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => {
            Err(ApiError::Internal(anyhow!("a handler panicked: {}", message(&*panic))).into())
        }
        Err(_) => Err(ApiError::TooSlow(limit.as_secs()).into()),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// What is told of a request, and nothing more: queries, headers and bodies may hold secrets.
struct Seen {
    method: &'static str,
    route: String,
    path: String,
    started: Instant,
}

impl Seen {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            method: bounded(request.method()),
            route: request.match_pattern().unwrap_or_else(|| "unmatched".to_owned()),
            path: request.path().chars().take(LOGGED_PATH_CHARS).collect(),
            started: Instant::now(),
        }
    }

    fn report(&self, response: &HttpResponse) {
        let took = self.started.elapsed();
        let status = response.status();
        let labels = [
            ("route", self.route.clone()),
            ("method", self.method.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        metrics::counter!("beadle_http_requests_total", &labels).increment(1);
        metrics::histogram!("beadle_http_request_seconds", &labels).record(took.as_secs_f64());

        Span::current().record("status", status.as_u16());
        let (path, microseconds) = (&self.path, took.as_micros() as u64);
        match cause(response) {
            Some(error) => tracing::error!(path, microseconds, error, "request failed"),
            None if PROBES.contains(&self.path.as_str()) => {
                tracing::debug!(path, microseconds, "request");
            }
            None => tracing::info!(path, microseconds, "request"),
        }
    }
}

/// What to log of an error that is ours. What a caller did wrong is in the answer alone.
fn cause(response: &HttpResponse) -> Option<String> {
    let error = response.error()?;
    match error.as_error::<ApiError>() {
        Some(error) => error.cause(),
        None => response.status().is_server_error().then(|| error.to_string()),
    }
}

/// Asked every few seconds by machines; of interest only when something is wrong.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
const LOGGED_PATH_CHARS: usize = 200;

/// A label has few values, and a method is whatever the caller writes.
fn bounded(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Sets what every answer has. A stricter or looser policy of the handler stays.
fn put_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests;
