//! What the machines around this one ask.

use std::{net::TcpListener, time::Duration};

use api::Parts;
use context::{Context, telemetry::Metrics};
use insta::assert_snapshot;
use queue::{Fleet, Pool, WorkOptions};
use serde_json::{Value, json};

use crate::server::{TestServer, server, server_with, silent_database, told};

/// Longer than any check waits.
const LONG: Duration = Duration::from_secs(60);

async fn ask(server: &TestServer, path: &str) -> anyhow::Result<String> {
    told(server.bare("GET", path).send().await?).await
}

#[tokio::test]
async fn a_process_without_a_database_is_alive_but_not_ready() -> anyhow::Result<()> {
    let (_silent, pool) = silent_database(LONG)?;
    let server = server_with(|cx| cx.pool = pool).await?;
    assert_snapshot!(ask(&server, "/healthz").await?, @r#"
    200
    status: "alive"
    "#);
    assert_snapshot!(ask(&server, "/readyz").await?, @r#"
    503
    checks: {"database":{"ok":false,"problem":"no answer within 1 s"},"migrations":{"ok":false,"problem":"no answer within 1 s"}}
    ready: false
    "#);
    Ok(())
}

#[tokio::test]
async fn a_process_with_all_it_needs_is_ready() -> anyhow::Result<()> {
    let server = server().await?;
    assert_snapshot!(ask(&server, "/readyz").await?, @r#"
    200
    checks: {"database":{"ok":true},"migrations":{"ok":true}}
    ready: true
    "#);
    assert_eq!(server.bare("HEAD", "/readyz").send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn it_stays_ready_while_a_newer_release_takes_over() -> anyhow::Result<()> {
    let server = server().await?;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (20991231235959, 'from the future', true, '', 0)";
    sqlx::query(newer).execute(&server.pool).await?;
    assert!(ask(&server, "/readyz").await?.contains("ready: true"));
    Ok(())
}

#[tokio::test]
async fn a_pending_migration_makes_it_not_ready() -> anyhow::Result<()> {
    let server = server().await?;
    let forget =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::query(forget).execute(&server.pool).await?;
    assert_snapshot!(ask(&server, "/readyz").await?, @r#"
    503
    checks: {"database":{"ok":true},"migrations":{"ok":false,"problem":"1 migration is pending; run `beadle migrate`"}}
    ready: false
    "#);
    Ok(())
}

#[tokio::test]
async fn a_worker_loop_is_part_of_being_ready() -> anyhow::Result<()> {
    let cx = Context::for_test("2025-03-01T12:00:00Z").await;
    let fleet = Fleet::new(cx.pool.clone(), cx.clock.clone(), ());
    let pools = vec![Pool { queue: "demo".into(), concurrency: 1 }];
    let working = fleet.start(WorkOptions::new(pools));
    let heartbeat = Some(working.heartbeat());
    let parts = Parts { kinds: fleet.kinds(), heartbeat, metrics: Metrics::install()? };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = api::start(Context::clone(&cx), parts, listener)?;
    let handle = server.handle();
    tokio::spawn(server);
    let readiness: Value = reqwest::get(format!("http://{address}/readyz")).await?.json().await?;
    assert_eq!(readiness["checks"]["worker"], json!({"ok": true}));
    working.stop().await?;
    handle.stop(false).await;
    Ok(())
}

#[tokio::test]
async fn the_metrics_show_requests_and_queues() -> anyhow::Result<()> {
    let server = server().await?;
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    let id = server.pushed(body).await?;
    server.job(&id).await?;
    let page = ask(&server, "/metrics").await?;
    for sample in [
        r#"beadle_queue_ready{queue="demo"} 1"#,
        r#"beadle_queue_waiting{queue="demo"} 0"#,
        r#"beadle_queue_running{queue="demo"} 0"#,
        r#"beadle_http_requests_total{route="/v1/jobs",method="POST",status="202"} "#,
        r#"beadle_http_requests_total{route="/v1/jobs/{id}",method="GET",status="200"} "#,
        r#"beadle_http_request_seconds_bucket{route="/v1/jobs/{id}",method="GET",status="200",le="0.001"} "#,
    ] {
        assert!(page.contains(sample), "{sample} is missing in\n{page}");
    }
    assert!(!page.contains(&id), "an id is no label");
    Ok(())
}

#[tokio::test]
async fn an_unknown_address_or_method_makes_no_new_metric() -> anyhow::Result<()> {
    let server = server().await?;
    server.bare("BREW", "/pot/earl-grey").send().await?;
    let page = ask(&server, "/metrics").await?;
    let sample = r#"{route="unmatched",method="other",status="404"}"#;
    assert!(page.contains(sample), "{page}");
    assert!(!page.contains("earl-grey") && !page.contains("BREW"), "{page}");
    Ok(())
}

#[tokio::test]
async fn the_metrics_come_without_a_database_too() -> anyhow::Result<()> {
    let (_silent, pool) = silent_database(LONG)?;
    let server = server_with(|cx| cx.pool = pool).await?;
    ask(&server, "/healthz").await?;
    let page = ask(&server, "/metrics").await?;
    assert!(page.contains(r#"route="/healthz""#), "{page}");
    assert!(!page.contains("beadle_queue_ready"), "no number is better than an old one\n{page}");
    Ok(())
}
