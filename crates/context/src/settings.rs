//! What an operator can set: `config/default.toml`, then the environment's file, then variables.

mod bounds;
mod layers;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap, env, ffi::OsString, io, net::SocketAddr, ops::RangeInclusive,
    path::PathBuf,
};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Everything that can be set, checked. `config/default.toml` explains each key.
///
/// The fields are public because `beadle up` fills in what it has started itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub database: Database,
    pub http: Http,
    pub work: Work,
    /// Queues that differ from `work.default_concurrency`. Whoever knows the workers checks the
    /// names.
    pub queues: BTreeMap<String, Queue>,
    pub history: History,
    pub telemetry: Telemetry,
    pub storage: Storage,
    pub mail: Mail,
    pub embedded: Embedded,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: Option<SecretString>,
    pub pooled: bool,
    pub direct_url: Option<SecretString>,
    pub max_connections: u32,
    pub connect_timeout_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub bind: SocketAddr,
    pub body_limit_bytes: usize,
    pub request_timeout_seconds: u64,
    pub workers: usize,
    pub shutdown_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    pub lease_seconds: u64,
    pub poll_milliseconds: u64,
    pub shutdown_seconds: u64,
    pub default_concurrency: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub concurrency: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    pub retention_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log: String,
    pub log_format: LogFormat,
    pub otlp_endpoint: String,
    pub service_name: String,
    /// Where processes without an API answer `/metrics` and `/healthz`, if anywhere.
    #[serde(deserialize_with = "address_or_none")]
    pub metrics_bind: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Auto,
    Pretty,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub access_key_id: String,
    pub secret_access_key: Option<SecretString>,
    pub path_style: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    pub transport: MailTransport,
    pub from: String,
    pub directory: String,
    pub smtp_url: Option<SecretString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTransport {
    File,
    Smtp,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    pub demo_users: u32,
    pub home: String,
    pub postgres_version: u16,
    pub postgres_port: u16,
    pub storage_port: u16,
}

/// An empty text is no address.
fn address_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| D::Error::custom(format!("`{text}` is not an address and a port"));
    text.parse().map(Some).map_err(wrong)
}

/// Why the settings were refused. Each message is one line that names the setting as it was
/// written, and none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("BEADLE_ENV is `{0}`; it must be `dev`, `prod` or the path of a .toml file")]
    UnknownEnvironment(String),
    #[error("cannot read the settings file {}, which BEADLE_ENV names: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{file} is not TOML: {problem}")]
    Syntax { file: String, problem: String },
    #[error("the value of variable {0} is not UTF-8")]
    NotUtf8(String),
    #[error("unknown setting {key}{}", hint.as_ref().map(|h| format!("; did you mean `{h}`?")).unwrap_or_default())]
    Unknown { key: String, hint: Option<String> },
    #[error(
        "{key} is a secret and must not stand in a settings file; set {variable}, or name a file that holds it in `{file_key}`"
    )]
    SecretInFile { key: String, variable: String, file_key: String },
    #[error("{first} and {second} are both set; keep one of them")]
    SecretTwice { first: String, second: String },
    #[error("cannot read {}, which {key} names: {source}", path.display())]
    SecretUnreadable { key: String, path: PathBuf, source: io::Error },
    #[error("{key} names {}, which is empty", path.display())]
    SecretEmpty { key: String, path: PathBuf },
    #[error("{key}: {problem}")]
    Invalid { key: String, problem: String },
}

impl Settings {
    /// Reads the settings of this process.
    pub fn load() -> Result<Settings, SettingsError> {
        Settings::load_from(env::vars_os())
    }

    /// Reads the settings that a process with these variables would have.
    pub fn load_from(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Settings, SettingsError> {
        let layers = layers::read(variables)?;
        let settings: Settings = layers.merge()?;
        settings.check().map_err(|wrong| SettingsError::Invalid {
            key: layers.spell(&wrong.key),
            problem: wrong.problem,
        })?;
        Ok(settings)
    }

    /// Jobs of `queue` that one process runs at a time.
    pub fn concurrency_of(&self, queue: &str) -> usize {
        self.queues.get(queue).map_or(self.work.default_concurrency, |queue| queue.concurrency)
    }
}

/// Bounds of a job pool's size, for callers that take one from elsewhere, such as a flag.
pub const CONCURRENCY: RangeInclusive<usize> = 1..=1024;
