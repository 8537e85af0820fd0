//! What goes wrong outside a handler, and what must not leak.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{TestServer, server, server_with, settings, silent_database, told};

#[tokio::test]
async fn an_unknown_address_is_not_found() -> anyhow::Result<()> {
    let server = server().await?;
    assert_snapshot!(told(server.get("/v1/job").send().await?).await?, @r#"
    404
    detail: "no such address; /docs/ shows what there is"
    type: "urn:beadle:problem:not-found"
    "#);
    assert!(told(server.get("/v1/jobs/").send().await?).await?.starts_with("404"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() -> anyhow::Result<()> {
    let server = server().await?;
    assert_snapshot!(told(server.bare("GET", "/v1/jobs").send().await?).await?, @r#"
    405
    allow: POST
    detail: "this address answers POST"
    type: "urn:beadle:problem:method-not-allowed"
    "#);
    assert_snapshot!(told(server.bare("DELETE", "/readyz").send().await?).await?, @r#"
    405
    allow: GET, HEAD
    detail: "this address answers GET, HEAD"
    type: "urn:beadle:problem:method-not-allowed"
    "#);
    assert!(told(server.bare("BREW", "/metrics").send().await?).await?.starts_with("405"));
    Ok(())
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() -> anyhow::Result<()> {
    let server = server().await?;
    for path in ["/healthz", "/nowhere", "/v1/kinds", "/openapi.json", "/"] {
        let answer = server.bare("GET", path).send().await?;
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(headers["content-security-policy"], policy, "{path}");
        assert_eq!(headers["x-request-id"].len(), 32, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unreachable_database_is_a_passing_trouble() -> anyhow::Result<()> {
    let (_silent, pool) = silent_database(Duration::from_millis(200))?;
    let server = server_with(|cx| cx.pool = pool).await?;
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    assert_snapshot!(server.push(body).await?, @r#"
    503
    retry-after: 5
    detail: "the database does not answer; try again in a few seconds"
    type: "urn:beadle:problem:unavailable"
    "#);
    Ok(())
}

#[tokio::test]
async fn an_internal_error_keeps_its_cause_to_itself() -> anyhow::Result<()> {
    let server = server().await?;
    sqlx::raw_sql("ALTER TABLE identity.api_keys RENAME TO secrets").execute(&server.pool).await?;
    assert_snapshot!(told(server.get("/v1/kinds").send().await?).await?, @r#"
    500
    detail: "this is our fault; it is logged under this id"
    type: "urn:beadle:problem:internal"
    "#);
    Ok(())
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.request_timeout_seconds = 1).await?;
    let mut lock = server.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE identity.api_keys").execute(&mut *lock).await?;
    assert_snapshot!(told(server.get("/v1/kinds").send().await?).await?, @r#"
    503
    retry-after: 5
    detail: "no answer within 1 s. It may have been done all the same: look before you try again"
    type: "urn:beadle:problem:too-slow"
    "#);
    Ok(())
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.request_timeout_seconds = 1).await?;
    let answer = exchange(&server, "Content-Length: 100\r\n", "{\"kind\": ").await?;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("urn:beadle:problem:too-slow"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.body_limit_bytes = 1000).await?;
    let chunk = format!("7d0\r\n{}\r\n", "[".repeat(2000));
    let answer = exchange(&server, "Transfer-Encoding: chunked\r\n", &chunk).await?;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("the body may have 1000 bytes"), "{answer}");
    Ok(())
}

/// Sends a push as it is written here, and reads the answer to the end of its body.
async fn exchange(server: &TestServer, header: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(server.address.trim_start_matches("http://")).await?;
    let key = &server.key;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {key}\r\n{header}\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = stream.read_buf(&mut answer);
        anyhow::ensure!(tokio::time::timeout(Duration::from_secs(20), read).await?? > 0, "cut off");
    }
    Ok(String::from_utf8(answer)?)
}

#[tokio::test]
async fn a_stop_lets_requests_end() -> anyhow::Result<()> {
    let mut server = server().await?;
    let mut lock = server.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE identity.api_keys").execute(&mut *lock).await?;
    let request = tokio::spawn(server.get("/v1/kinds").send());
    someone_waits_for_the_lock(&server).await?;

    let stopping = tokio::spawn(server.handle.stop(true));
    nobody_listens(&server).await?;
    assert!(!request.is_finished());
    lock.rollback().await?;
    assert_eq!(request.await??.status(), 200);
    tokio::time::timeout(Duration::from_secs(20), stopping).await??;
    (&mut server.serving).await??;
    Ok(())
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.shutdown_seconds = 1).await?;
    let mut lock = server.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE identity.api_keys").execute(&mut *lock).await?;
    let request = tokio::spawn(server.get("/v1/kinds").send());
    someone_waits_for_the_lock(&server).await?;
    // Well before the request's own end, which comes after 30 s.
    tokio::time::timeout(Duration::from_secs(15), server.handle.stop(true)).await?;
    assert!(request.await?.is_err());
    Ok(())
}

async fn someone_waits_for_the_lock(server: &TestServer) -> anyhow::Result<()> {
    let waiting = "SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE NOT granted AND relation = 'identity.api_keys'::regclass
            -- Clones of one template number their tables alike.
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )";
    for _ in 0..500 {
        if sqlx::query_scalar(waiting).fetch_one(&server.pool).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("no request waits")
}

async fn nobody_listens(server: &TestServer) -> anyhow::Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(server.address.trim_start_matches("http://")).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the server still takes connections")
}
