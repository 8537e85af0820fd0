use embedded::{Home, Storage as Server, StorageOptions};
use tempfile::TempDir;

use super::*;
use crate::Settings;

/// The settings for a running server of a temporary directory.
async fn server() -> (TempDir, Server, settings::Storage) {
    let directory = TempDir::new().unwrap();
    let home = Home::open(Some(directory.path().join("home"))).unwrap();
    let server = Server::start(&home, StorageOptions::default()).await.unwrap();
    let settings = settings::Storage {
        endpoint: server.endpoint().to_owned(),
        bucket: server.bucket().to_owned(),
        access_key_id: server.access_key().to_owned(),
        secret_access_key: Some(server.secret_key().into()),
        ..unset()
    };
    (directory, server, settings)
}

fn unset() -> settings::Storage {
    Settings::load_from([]).unwrap().storage
}

fn storage(settings: &settings::Storage) -> Storage {
    Storage::new(settings).unwrap()
}

async fn refusal(settings: &settings::Storage) -> String {
    let message = format!("{:#}", storage(settings).check().await.unwrap_err());
    let secret = settings.secret_access_key.as_ref().map(|secret| secret.expose_secret());
    assert!(!secret.is_some_and(|secret| message.contains(secret)), "{message}");
    message
}

#[tokio::test]
async fn an_object_goes_there_and_back_and_away() {
    let (_directory, _server, settings) = server().await;
    let storage = storage(&settings);
    storage.check().await.unwrap();
    assert_eq!(storage.get("a/b.txt").await.unwrap(), None);
    storage.put("a/b.txt", "text/plain", b"one".to_vec()).await.unwrap();
    storage.put("a/b.txt", "text/plain", b"two".to_vec()).await.unwrap();
    assert_eq!(storage.get("a/b.txt").await.unwrap().as_deref(), Some(&b"two"[..]));
    storage.delete("a/b.txt").await.unwrap();
    storage.delete("a/b.txt").await.unwrap();
    assert_eq!(storage.get("a/b.txt").await.unwrap(), None);
}

#[tokio::test]
async fn an_object_too_large_for_memory_is_refused() {
    let (_directory, _server, settings) = server().await;
    let storage = storage(&settings);
    storage.put("large", "text/plain", vec![0; MAX_IN_MEMORY_BYTES + 1]).await.unwrap();
    let error = storage.get("large").await.unwrap_err();
    assert_eq!(error.to_string(), "object large has more than 67108864 bytes");
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let (_directory, _server, mut settings) = server().await;
    settings.bucket = "elsewhere".to_owned();
    assert_eq!(
        refusal(&settings).await,
        format!(
            "{} has no bucket `elsewhere`; create it, or correct `storage.bucket`",
            settings.endpoint
        )
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let (_directory, _server, mut settings) = server().await;
    settings.secret_access_key = Some("hunter2".into());
    assert_eq!(
        refusal(&settings).await,
        format!(
            "{} refuses the access key for bucket `beadle`; \
             correct `storage.access_key_id` and `storage.secret_access_key`",
            settings.endpoint
        )
    );
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let (_directory, server, settings) = server().await;
    server.stop().await;
    let message = refusal(&settings).await;
    let expected = format!("look for bucket beadle at {}: ", settings.endpoint);
    assert!(message.starts_with(&expected), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn storage_that_is_not_configured_says_so_when_it_is_used() {
    let error = storage(&unset()).put("key", "text/plain", vec![]).await.unwrap_err().to_string();
    assert!(error.starts_with("object storage is not configured: set `storage.bucket`"), "{error}");
}

#[test]
fn half_a_configuration_is_refused_at_once() {
    let refusal = |settings| format!("{:#}", Storage::new(&settings).err().unwrap());
    let endpoint = "http://localhost:9000".to_owned();
    let bucket = "errands".to_owned();
    let half = settings::Storage { endpoint, ..unset() };
    assert_eq!(refusal(half), "`storage.endpoint` needs `storage.bucket`");
    let half = settings::Storage { bucket: bucket.clone(), ..unset() };
    assert_eq!(refusal(half), "`storage.access_key_id` is not set");
    let half = settings::Storage { bucket, access_key_id: "id".to_owned(), ..unset() };
    assert_eq!(refusal(half), "`storage.secret_access_key` is not set");
}
