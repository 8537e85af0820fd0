//! A server for one test, and readable answers.

use std::{net::TcpListener, ops::Deref, sync::Arc, time::Duration};

use actix_web::dev::ServerHandle;
use anyhow::Context as _;
use api::{
    Parts,
    keys::{self, NewKey, Permission},
};
use chrono::{DateTime, Utc};
use context::{Context, Settings, telemetry::Metrics, testing::TestContext};
use queue::{Fleet, Job, Outcome, Run};
use reqwest::{Client, RequestBuilder, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;

/// The only kind of these tests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greet {
    pub name: String,
}

impl Job for Greet {
    const KIND: &'static str = "demo.greet";
    const RETRY: queue::Retry = queue::Retry::new(3, queue::Backoff::DEFAULT);
}

async fn greet(job: Greet, _cx: (), _run: Run) -> anyhow::Result<Outcome> {
    if job.name.is_empty() {
        return Ok(Outcome::Discard("nobody to greet".into()));
    }
    Ok(Outcome::Done)
}

pub struct TestServer {
    pub fleet: Fleet<()>,
    /// May do everything.
    pub key: String,
    pub address: String,
    pub handle: ServerHandle,
    pub serving: JoinHandle<std::io::Result<()>>,
    client: Client,
    // Last, so that the database outlives whoever uses it.
    cx: TestContext,
}

impl Deref for TestServer {
    type Target = TestContext;

    fn deref(&self) -> &TestContext {
        &self.cx
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // The order is given here and now; only its end would have to be awaited.
        drop(self.handle.stop(false));
    }
}

/// A server at noon of a fixed day.
pub async fn server() -> anyhow::Result<TestServer> {
    server_with(|_| {}).await
}

/// A server whose context is changed first.
pub async fn server_with(change: impl FnOnce(&mut Context)) -> anyhow::Result<TestServer> {
    let cx = Context::for_test("2025-03-01T12:00:00Z").await;
    let mut changed = Context::clone(&cx);
    settings(&mut changed).http.workers = 1;
    change(&mut changed);
    let fleet = Fleet::new(cx.pool.clone(), cx.clock.clone(), ()).worker(greet);
    let metrics = Metrics::install()?;
    let parts = Parts { kinds: fleet.kinds(), heartbeat: None, metrics };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let server = api::start(changed, parts, listener)?;
    let (handle, serving) = (server.handle(), tokio::spawn(server));
    let key = new_key(&cx, &Permission::ALL, None).await?;
    let client = Client::builder()
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    Ok(TestServer { fleet, key, address, handle, serving, client, cx })
}

/// A database that takes connections and never says a word, for as long as the listener lives.
pub fn silent_database(patience: Duration) -> anyhow::Result<(TcpListener, PgPool)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("postgres://somebody:password@{}/anything", listener.local_addr()?);
    Ok((listener, PgPoolOptions::new().acquire_timeout(patience).connect_lazy(&url)?))
}

pub fn settings(cx: &mut Context) -> &mut Settings {
    Arc::make_mut(&mut cx.settings)
}

pub async fn new_key(
    cx: &Context,
    permissions: &[Permission],
    expires_at: Option<DateTime<Utc>>,
) -> anyhow::Result<String> {
    let new = NewKey { name: "test".into(), permissions: permissions.to_vec(), expires_at };
    let (_, plaintext) = keys::create(&cx.pool, &new).await?;
    Ok(plaintext.reveal())
}

impl TestServer {
    /// A request without a key.
    pub fn bare(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.address))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.bare("GET", path).bearer_auth(&self.key)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.bare("POST", path).bearer_auth(&self.key)
    }

    /// The answer to a push of `body`, as [`told`].
    pub async fn push(&self, body: Value) -> anyhow::Result<String> {
        told(self.post("/v1/jobs").json(&body).send().await?).await
    }

    /// Pushes and returns the id.
    pub async fn pushed(&self, body: Value) -> anyhow::Result<String> {
        let answer = self.post("/v1/jobs").json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["id"].as_str().context("an id")?.to_owned())
    }

    pub async fn job(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.get(&format!("/v1/jobs/{id}")).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub async fn stored_jobs(&self) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM queue.jobs").fetch_one(&self.pool);
        Ok(count.await?)
    }
}

/// Status, telling headers and body of an answer. What differs each time is replaced.
pub async fn told(answer: Response) -> anyhow::Result<String> {
    let mut told = answer.status().as_u16().to_string();
    for name in [header::LOCATION, header::ALLOW, header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        if let Some(value) = answer.headers().get(&name) {
            told.push_str(&format!("\n{name}: {}", value.to_str()?));
        }
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
    let request_id = answer.headers().get("x-request-id").context("x-request-id")?;
    let request_id = request_id.to_str()?.to_owned();
    let body = answer.text().await?;
    if let Ok(Value::Object(mut object)) = serde_json::from_str(&body) {
        if kind.as_deref() == Some(b"application/problem+json") {
            assert_eq!(object["id"], Value::from(request_id), "a problem quotes its request");
            for told_otherwise in ["id", "status", "title"] {
                object.remove(told_otherwise);
            }
        }
        for (key, value) in object {
            told.push_str(&format!("\n{key}: {value}"));
        }
    } else if !body.is_empty() {
        told.push_str(&format!("\n{body}"));
    }
    Ok(told)
}
