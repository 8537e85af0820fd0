use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::Context as _;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::DisplayErrorContext,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier},
};
use aws_smithy_http_client::{Builder, tls};
use embedded::{Error, Home, Storage, StorageOptions};

use crate::{Place, in_time};

/// The least that S3 takes as a part that is not the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

fn client(storage: &Storage, secret: &str) -> Client {
    let crypto = tls::rustls_provider::CryptoMode::Ring;
    let http = Builder::new().tls_provider(tls::Provider::Rustls(crypto)).build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new("us-east-1"))
        .endpoint_url(storage.endpoint())
        .credentials_provider(Credentials::new(storage.access_key(), secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

async fn start() -> anyhow::Result<(Home, Storage, Client)> {
    let home = Home::throwaway()?;
    let storage = Storage::start(&home, StorageOptions::default()).await?;
    let client = client(&storage, storage.secret_key());
    Ok((home, storage, client))
}

async fn put(client: &Client, key: &str, content: &str) -> Result<(), String> {
    let body = ByteStream::from(content.as_bytes().to_vec());
    let sent = client.put_object().bucket("beadle").key(key).body(body).send().await;
    sent.map(drop).map_err(|error| format!("{}", DisplayErrorContext(error)))
}

async fn get(client: &Client, key: &str) -> anyhow::Result<String> {
    let object = client.get_object().bucket("beadle").key(key).send().await?;
    Ok(String::from_utf8(object.body.collect().await?.to_vec())?)
}

async fn list(client: &Client, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = client
        .list_objects_v2()
        .bucket("beadle")
        .prefix(prefix)
        .max_keys(2)
        .into_paginator()
        .send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page?.contents.into_iter().flatten().filter_map(|object| object.key));
    }
    Ok(keys)
}

#[tokio::test]
async fn objects_are_put_read_listed_and_deleted() -> anyhow::Result<()> {
    let (_home, storage, client) = start().await?;
    assert_eq!(storage.bucket(), "beadle");
    for key in ["a/1.txt", "a/2.txt", "a/3.txt", "b é+ .txt"] {
        put(&client, key, key).await.map_err(anyhow::Error::msg)?;
    }
    assert_eq!(get(&client, "b é+ .txt").await?, "b é+ .txt");
    assert_eq!(list(&client, "a/").await?, ["a/1.txt", "a/2.txt", "a/3.txt"]);
    let head = client.head_object().bucket("beadle").key("a/1.txt").send().await?;
    assert_eq!(head.content_length(), Some(7));
    let copy = client.copy_object().bucket("beadle").key("c").copy_source("beadle/a/1.txt");
    copy.send().await?;
    assert_eq!(get(&client, "c").await?, "a/1.txt");

    client.delete_object().bucket("beadle").key("a/1.txt").send().await?;
    let object = |key: &str| ObjectIdentifier::builder().key(key).build();
    let objects = Delete::builder().objects(object("a/2.txt")?).objects(object("gone")?).build()?;
    client.delete_objects().bucket("beadle").delete(objects).send().await?;
    assert_eq!(list(&client, "").await?, ["a/3.txt", "b é+ .txt", "c"]);
    let missing = client.get_object().bucket("beadle").key("a/1.txt").send().await.unwrap_err();
    assert!(missing.into_service_error().is_no_such_key());
    storage.stop().await;
    Ok(())
}

#[tokio::test]
async fn attributes_and_ranges_are_kept() -> anyhow::Result<()> {
    let (_home, _storage, client) = start().await?;
    let body = ByteStream::from_static(b"0123456789");
    let put = client.put_object().bucket("beadle").key("k").body(body);
    put.content_type("video/mp4").metadata("owner", "ada").send().await?;
    let part = client.get_object().bucket("beadle").key("k").range("bytes=2-4").send().await?;
    assert_eq!(part.content_type(), Some("video/mp4"));
    assert_eq!(part.metadata().and_then(|all| all.get("owner")).map(String::as_str), Some("ada"));
    assert_eq!(part.content_range(), Some("bytes 2-4/10"));
    assert_eq!(part.body.collect().await?.to_vec(), b"234");
    Ok(())
}

#[tokio::test]
async fn a_large_object_replaces_a_small_one_in_parts() -> anyhow::Result<()> {
    let (_home, _storage, client) = start().await?;
    put(&client, "k", "small").await.map_err(anyhow::Error::msg)?;
    let upload = client.create_multipart_upload().bucket("beadle").key("k").send().await?;
    let id = upload.upload_id().context("an upload id")?;
    let parts = [vec![b'a'; PART_BYTES], vec![b'b'; 7]];
    let mut done = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(parts.clone()) {
        let sent = client.upload_part().bucket("beadle").key("k").upload_id(id);
        let sent = sent.part_number(number).body(part.into()).send().await?;
        let e_tag = sent.e_tag().context("an ETag")?;
        done = done.parts(CompletedPart::builder().part_number(number).e_tag(e_tag).build());
    }
    let complete = client.complete_multipart_upload().bucket("beadle").key("k").upload_id(id);
    complete.multipart_upload(done.build()).send().await?;
    // The client compares the checksum, if the store names one.
    assert_eq!(get(&client, "k").await?.into_bytes(), parts.concat());
    assert_eq!(list(&client, "").await?, ["k"]);
    Ok(())
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() -> anyhow::Result<()> {
    let (home, _storage, client) = start().await?;
    let upload = client.create_multipart_upload().bucket("beadle").key("k").send().await?;
    let id = upload.upload_id().context("an upload id")?;
    let part = client.upload_part().bucket("beadle").key("k").upload_id(id).part_number(1);
    part.body(ByteStream::from_static(b"x")).send().await?;
    client.abort_multipart_upload().bucket("beadle").key("k").upload_id(id).send().await?;
    let left: Vec<_> = fs::read_dir(home.storage_dir())?
        .map(|it| it.map(|it| it.file_name()))
        .collect::<Result<_, _>>()?;
    assert_eq!(left, ["beadle"]);
    Ok(())
}

#[tokio::test]
async fn a_signed_address_opens_one_object_to_anybody() -> anyhow::Result<()> {
    let (_home, _storage, client) = start().await?;
    put(&client, "k", "open").await.map_err(anyhow::Error::msg)?;
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let signed = client.get_object().bucket("beadle").key("k").presigned(expiry).await?;
    let browser = reqwest::Client::builder().timeout(crate::LIMIT).build()?;
    let answer = browser.get(signed.uri()).send().await?.error_for_status()?;
    assert_eq!(answer.text().await?, "open");
    let (plain, _) = signed.uri().split_once('?').context("a query")?;
    assert_eq!(browser.get(plain).send().await?.status(), 403);
    let other = signed.uri().replace("/beadle/k?", "/beadle/other?");
    assert_eq!(browser.get(other).send().await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn a_wrong_secret_is_refused() -> anyhow::Result<()> {
    let (_home, storage, _client) = start().await?;
    let stranger = client(&storage, "guess");
    let error = put(&stranger, "k", "x").await.unwrap_err();
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    assert!(!format!("{storage:?}").contains(storage.secret_key()));
    Ok(())
}

#[tokio::test]
async fn no_key_leads_out_of_the_bucket() -> anyhow::Result<()> {
    let (home, _storage, client) = start().await?;
    fs::write(home.path().join("treasure"), "gold")?;
    fs::create_dir(home.storage_dir().join("other"))?;
    fs::write(home.storage_dir().join("other/treasure"), "gold")?;
    for key in ["../other/x", "../../x", "a/../../other/x", "..", "%2e%2e/x", "/etc/x"] {
        let result = put(&client, key, "x").await;
        let outside = [
            home.path().join("x"),
            home.storage_dir().join("x"),
            home.storage_dir().join("other/x"),
        ];
        assert!(outside.iter().all(|path| !path.exists()), "{key} escaped: {result:?}");
    }
    for key in ["../other/treasure", "../../treasure"] {
        let error = get(&client, key).await.unwrap_err();
        assert!(!format!("{error:?}").contains("gold"));
        let source = format!("beadle/{}", key.replace("..", "%2e%2e"));
        let copy = client.copy_object().bucket("beadle").key("stolen").copy_source(source);
        copy.send().await.unwrap_err();
        let object = ObjectIdentifier::builder().key(key).build()?;
        let objects = Delete::builder().objects(object).build()?;
        client.delete_objects().bucket("beadle").delete(objects).send().await.unwrap_err();
    }
    assert_eq!(fs::read_to_string(home.path().join("treasure"))?, "gold");
    assert_eq!(fs::read_to_string(home.storage_dir().join("other/treasure"))?, "gold");
    Ok(())
}

#[tokio::test]
async fn keys_that_files_cannot_hold_get_a_clear_answer() -> anyhow::Result<()> {
    let (_home, _storage, client) = start().await?;
    put(&client, "a", "file").await.map_err(anyhow::Error::msg)?;
    put(&client, "d/file", "file").await.map_err(anyhow::Error::msg)?;
    for key in ["a/b", "d"] {
        let error = put(&client, key, "x").await.unwrap_err();
        assert!(error.contains("InvalidArgument") && error.contains("prefix"), "{error}");
    }
    let error = put(&client, &"k".repeat(130), "x").await.unwrap_err();
    assert!(error.contains("KeyTooLong"), "{error}");
    let head = client.head_object().bucket("beadle").key("d").send().await.unwrap_err();
    assert!(head.into_service_error().is_not_found(), "a prefix is no object");
    assert_eq!(get(&client, "a").await?, "file");

    let longest = "k".repeat(129);
    put(&client, &longest, "x").await.map_err(anyhow::Error::msg)?;
    client.create_multipart_upload().bucket("beadle").key(&longest).send().await?;
    Ok(())
}

#[tokio::test]
async fn objects_and_credentials_survive_a_restart() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    let storage = Storage::start(&home, StorageOptions::default()).await?;
    let secret = storage.secret_key().to_owned();
    put(&client(&storage, &secret), "k", "kept").await.map_err(anyhow::Error::msg)?;
    in_time(storage.stop()).await?;
    drop(home);
    let mode = fs::metadata(place.join("keys/storage"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let storage = Storage::start(&place.open()?, StorageOptions::default()).await?;
    assert_eq!(get(&client(&storage, &secret), "k").await?, "kept");
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_named() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let home = Home::throwaway()?;
    let error = Storage::start(&home, StorageOptions { port: Some(port) }).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse(found) if found == port), "{error}");
    Ok(())
}
