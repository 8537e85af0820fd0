//! The bounds of each number and the shape of each text.

use std::{fmt::Display, ops::RangeInclusive};

use super::{CONCURRENCY, Settings};

const MAX_CONNECTIONS: RangeInclusive<u32> = 2..=1_000;
const CONNECT_TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=60;
const BODY_LIMIT_BYTES: RangeInclusive<usize> = 1_024..=67_108_864;
const REQUEST_TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=300;
const HTTP_WORKERS: RangeInclusive<usize> = 1..=64;
const HTTP_SHUTDOWN_SECONDS: RangeInclusive<u64> = 1..=300;
/// A lease is renewed several times before it ends; below two seconds, a pause would lose it.
const LEASE_SECONDS: RangeInclusive<u64> = 2..=3_600;
/// A job that is due waits for the next look.
const POLL_MILLISECONDS: RangeInclusive<u64> = 50..=5_000;
const WORK_SHUTDOWN_SECONDS: RangeInclusive<u64> = 1..=3_600;
const RETENTION_DAYS: RangeInclusive<u32> = 1..=3_650;
/// More would keep `up` waiting; `beadle seed` makes them.
const DEMO_USERS: RangeInclusive<u32> = 0..=10_000;
/// The majors that carry pgvector and that the suite runs on.
const POSTGRES_VERSIONS: [u16; 2] = [16, 18];

/// A setting that has the right type and a wrong value.
pub(super) struct Wrong {
    pub key: String,
    pub problem: String,
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let Settings { database, http, work, history, telemetry, storage, .. } = self;
        within("database.max_connections", database.max_connections, MAX_CONNECTIONS)?;
        within(
            "database.connect_timeout_seconds",
            database.connect_timeout_seconds,
            CONNECT_TIMEOUT_SECONDS,
        )?;
        within("http.body_limit_bytes", http.body_limit_bytes, BODY_LIMIT_BYTES)?;
        within(
            "http.request_timeout_seconds",
            http.request_timeout_seconds,
            REQUEST_TIMEOUT_SECONDS,
        )?;
        within("http.workers", http.workers, HTTP_WORKERS)?;
        within("http.shutdown_seconds", http.shutdown_seconds, HTTP_SHUTDOWN_SECONDS)?;
        within("work.lease_seconds", work.lease_seconds, LEASE_SECONDS)?;
        within("work.poll_milliseconds", work.poll_milliseconds, POLL_MILLISECONDS)?;
        within("work.shutdown_seconds", work.shutdown_seconds, WORK_SHUTDOWN_SECONDS)?;
        within("work.default_concurrency", work.default_concurrency, CONCURRENCY)?;
        for (name, queue) in &self.queues {
            within(&format!("queues.{name}.concurrency"), queue.concurrency, CONCURRENCY)?;
        }
        within("history.retention_days", history.retention_days, RETENTION_DAYS)?;
        // TLS is the collector's part: the exporter's own client would bring a second TLS stack.
        url("telemetry.otlp_endpoint", &telemetry.otlp_endpoint, &["http://"])?;
        filled("telemetry.service_name", &telemetry.service_name)?;
        url("storage.endpoint", &storage.endpoint, &["http://", "https://"])?;
        filled("storage.region", &storage.region)?;
        filled("mail.from", &self.mail.from)?;
        within("embedded.demo_users", self.embedded.demo_users, DEMO_USERS)?;
        known_version("embedded.postgres_version", self.embedded.postgres_version)
    }
}

fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<(), Wrong> {
    let (low, high) = (bounds.start(), bounds.end());
    ensure(key, bounds.contains(&value), || format!("{value} is not between {low} and {high}"))
}

fn url(key: &str, value: &str, schemes: &[&str]) -> Result<(), Wrong> {
    let fits = schemes.iter().any(|scheme| value.len() > scheme.len() && value.starts_with(scheme));
    ensure(key, value.is_empty() || fits, || {
        format!("`{value}` is not a URL that starts with {}", schemes.join(" or "))
    })
}

fn filled(key: &str, value: &str) -> Result<(), Wrong> {
    ensure(key, !value.trim().is_empty(), || "must not be empty".to_owned())
}

fn known_version(key: &str, value: u16) -> Result<(), Wrong> {
    ensure(key, POSTGRES_VERSIONS.contains(&value), || {
        format!("{value} is not one of {}", POSTGRES_VERSIONS.map(|v| v.to_string()).join(", "))
    })
}

fn ensure(key: &str, holds: bool, problem: impl FnOnce() -> String) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(Wrong { key: key.to_owned(), problem: problem() }) }
}
