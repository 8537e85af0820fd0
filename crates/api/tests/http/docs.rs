//! The documentation: complete, up to date, and from this host alone.

use std::{env, fs, path::Path};

use serde_json::Value;

use crate::server::{TestServer, server};

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = api::openapi().to_pretty_json().unwrap() + "\n";
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == checked_in,
        "the API has changed: run `UPDATE_OPENAPI=1 cargo test -p api --test http docs`, \
         and read the difference in crates/api/openapi.json"
    );
}

#[tokio::test]
async fn the_document_is_served() -> anyhow::Result<()> {
    let server = server().await?;
    let answer = server.bare("GET", "/openapi.json").send().await?;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let document: Value = answer.json().await?;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document, serde_json::to_value(api::openapi())?);
    Ok(())
}

#[tokio::test]
async fn every_documented_address_answers_its_method() -> anyhow::Result<()> {
    let server = server().await?;
    let document = serde_json::to_value(api::openapi())?;
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 11);
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let status = server.bare(&method.to_uppercase(), path).send().await?.status();
            let expected = if operation["security"].is_array() { 401 } else { 200 };
            assert_eq!(status, expected, "{method} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_way_to_the_page_is_short() -> anyhow::Result<()> {
    let server = server().await?;
    for path in ["/", "/docs"] {
        let answer = server.bare("GET", path).send().await?;
        assert_eq!(answer.status(), 307);
        assert_eq!(answer.headers()["location"], "/docs/");
    }
    Ok(())
}

#[tokio::test]
async fn the_page_needs_no_other_host_and_no_inline_script() -> anyhow::Result<()> {
    let server = server().await?;
    let answer = server.bare("GET", "/docs/").send().await?;
    let policy = answer.headers()["content-security-policy"].to_str()?.to_owned();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("script"), "{policy}");
    assert_eq!(answer.headers()["content-type"], "text/html");
    let page = file(&server, "").await?;
    assert!(!page.contains("<script>") && !page.contains("://"), "{page}");

    let parts = page.split(['"', '\'']).filter(|part| part.starts_with("./"));
    let files: Vec<_> = parts.map(|part| part.trim_start_matches("./")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for name in files {
        assert!(!file(&server, name).await?.is_empty(), "{name}");
    }
    let initializer = file(&server, "swagger-initializer.js").await?;
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    assert!(!initializer.contains("://"), "{initializer}");
    assert_eq!(server.bare("GET", "/docs/nothing.js").send().await?.status(), 404);
    Ok(())
}

async fn file(server: &TestServer, name: &str) -> anyhow::Result<String> {
    let answer = server.bare("GET", &format!("/docs/{name}")).send().await?;
    assert_eq!(answer.status(), 200, "{name}");
    Ok(String::from_utf8_lossy(&answer.bytes().await?).into_owned())
}
