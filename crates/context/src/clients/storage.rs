//! Objects in one bucket of any S3 service.

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectError, head_bucket::HeadBucketError},
    primitives::ByteStream,
};
use aws_smithy_http_client::{
    Builder as HttpClient,
    tls::{Provider, rustls_provider::CryptoMode},
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::settings;

/// Largest object that is read into memory.
pub const MAX_IN_MEMORY_BYTES: usize = 64 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);
const ATTEMPTS: u32 = 3;
/// A check is somebody waiting at a terminal.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts, gets and deletes objects. Without a bucket in the settings, every call says so.
#[derive(Clone)]
pub struct Storage(Option<Bucket>);

#[derive(Clone)]
struct Bucket {
    client: Client,
    name: String,
    /// For messages.
    place: String,
}

impl Storage {
    pub fn new(settings: &settings::Storage) -> anyhow::Result<Storage> {
        if settings.bucket.is_empty() {
            ensure!(settings.endpoint.is_empty(), "`storage.endpoint` needs `storage.bucket`");
            return Ok(Storage(None));
        }
        ensure!(!settings.access_key_id.is_empty(), "`storage.access_key_id` is not set");
        let client = Client::from_conf(config(settings)?);
        let place = match settings.endpoint.as_str() {
            "" => format!("Amazon's region {}", settings.region),
            endpoint => endpoint.to_owned(),
        };
        Ok(Storage(Some(Bucket { client, name: settings.bucket.clone(), place })))
    }

    /// Stores `body` under `key`, in the place of what was there.
    pub async fn put(
        &self,
        key: &str,
        content_type: &str,
        body: impl Into<ByteStream>,
    ) -> anyhow::Result<()> {
        let bucket = self.bucket()?;
        let request = bucket.client.put_object().bucket(&bucket.name).key(key);
        let request = request.content_type(content_type).body(body.into());
        request.send().await.map_err(readable).with_context(|| format!("put object {key}"))?;
        Ok(())
    }

    /// Reads the object under `key`, if there is one.
    pub async fn get(&self, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let bucket = self.bucket()?;
        let request = bucket.client.get_object().bucket(&bucket.name).key(key);
        let mut object = match request.send().await {
            Ok(object) => object,
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), GetObjectError::NoSuchKey(_)) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(readable(error)).with_context(|| format!("get object {key}"));
            }
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = object.body.next().await {
            bytes.extend_from_slice(&chunk.with_context(|| format!("read object {key}"))?);
            ensure!(
                bytes.len() <= MAX_IN_MEMORY_BYTES,
                "object {key} has more than {MAX_IN_MEMORY_BYTES} bytes"
            );
        }
        Ok(Some(bytes))
    }

    /// Deletes the object under `key`; there need not be one.
    pub async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let bucket = self.bucket()?;
        let request = bucket.client.delete_object().bucket(&bucket.name).key(key);
        request.send().await.map_err(readable).with_context(|| format!("delete object {key}"))?;
        Ok(())
    }

    /// Finds the bucket and sends a tiny object there and back.
    pub async fn check(&self) -> anyhow::Result<()> {
        let bucket = self.bucket()?;
        let check = async {
            bucket.find().await?;
            self.send_there_and_back().await
        };
        tokio::time::timeout(CHECK_TIMEOUT, check).await.map_err(|_| {
            anyhow!("{} did not answer within {} s", bucket.place, CHECK_TIMEOUT.as_secs())
        })?
    }

    async fn send_there_and_back(&self) -> anyhow::Result<()> {
        let key = format!(".beadle-check/{}", Uuid::new_v4());
        let body = key.clone().into_bytes();
        self.put(&key, "text/plain", body.clone()).await?;
        let read = self.get(&key).await;
        self.delete(&key).await?;
        ensure!(read? == Some(body), "object {key} came back changed");
        Ok(())
    }

    fn bucket(&self) -> anyhow::Result<&Bucket> {
        self.0.as_ref().context(
            "object storage is not configured: set `storage.bucket`, `storage.access_key_id` and \
             `storage.secret_access_key`, and `storage.endpoint` unless it is Amazon's",
        )
    }
}

impl Bucket {
    async fn find(&self) -> anyhow::Result<()> {
        let Bucket { name, place, .. } = self;
        let Err(error) = self.client.head_bucket().bucket(name).send().await else {
            return Ok(());
        };
        // A HEAD has no body, so the status is all that a refusal says.
        let status = error.raw_response().map(|response| response.status().as_u16());
        match (&error, status) {
            (SdkError::ServiceError(error), _)
                if matches!(error.err(), HeadBucketError::NotFound(_)) =>
            {
                bail!("{place} has no bucket `{name}`; create it, or correct `storage.bucket`")
            }
            (_, Some(401 | 403)) => bail!(
                "{place} refuses the access key for bucket `{name}`; \
                 correct `storage.access_key_id` and `storage.secret_access_key`"
            ),
            _ => Err(readable(error)).with_context(|| format!("look for bucket {name} at {place}")),
        }
    }
}

fn config(settings: &settings::Storage) -> anyhow::Result<Config> {
    let secret =
        settings.secret_access_key.as_ref().context("`storage.secret_access_key` is not set")?;
    let credentials = Credentials::new(
        settings.access_key_id.clone(),
        secret.expose_secret(),
        None,
        None,
        "settings",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let http = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(settings.path_style)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        // Amazon's newer checksums ride in trailers that many other services refuse.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .http_client(http);
    if !settings.endpoint.is_empty() {
        config = config.endpoint_url(&settings.endpoint);
    }
    Ok(config.build())
}

/// What the service said, or why it could not be asked; the SDK's own text says neither.
fn readable<E>(error: SdkError<E>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code().zip(error.message()) {
        Some((code, message)) => anyhow!("{code}: {message}"),
        None => match error.raw_response().map(|response| response.status()) {
            Some(status) => anyhow!("the service answered {}", status.as_u16()),
            None => anyhow::Error::new(error),
        },
    }
}
