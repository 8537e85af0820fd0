//! Pushing and following jobs.

use insta::assert_snapshot;
use queue::Trace;
use serde_json::{Value, json};

use crate::server::{server, server_with, settings, told};

#[tokio::test]
async fn a_pushed_job_can_be_followed_to_its_end() -> anyhow::Result<()> {
    let server = server().await?;
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    let answer = server.post("/v1/jobs").json(&body).send().await?;
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str()?.to_owned();
    let id = answer.json::<Value>().await?["id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/v1/jobs/{id}"));

    let job = server.job(&id).await?;
    assert_eq!(job["id"], id);
    assert_eq!(job["kind"], "demo.greet");
    assert_eq!(job["queue"], "demo");
    assert_eq!(job["state"], "ready");
    assert_eq!(job["args"], json!({"name": "Ada"}));
    assert_eq!(job["priority"], 0);
    assert_eq!(job["attempt"], 1);
    assert_eq!(job["max_attempts"], 3);
    assert_eq!(job["runs"], json!([]));

    assert_eq!(server.fleet.drain().await?.of("done"), 1);
    let job = server.job(&id).await?;
    assert_eq!(job["state"], "done");
    assert_eq!(job["runs"][0]["outcome"], "done");
    assert_eq!(job["runs"][0]["attempt"], 1);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_given_up_says_why() -> anyhow::Result<()> {
    let server = server().await?;
    let id = server.pushed(json!({"kind": "demo.greet", "args": {"name": ""}})).await?;
    server.fleet.drain().await?;
    let job = server.job(&id).await?;
    assert_eq!(job["state"], "discarded");
    assert_eq!(job["runs"][0]["error"], "nobody to greet");
    Ok(())
}

#[tokio::test]
async fn options_are_stored_with_the_job() -> anyhow::Result<()> {
    let server = server().await?;
    let id = server
        .pushed(json!({
            "kind": "demo.greet", "args": {"name": "Ada"},
            "priority": -100, "max_attempts": 100, "run_at": "2035-03-01T12:00:00Z",
            "key": "customer 7", "tenant": "acme", "weight": 3,
        }))
        .await?;
    let job = server.job(&id).await?;
    assert_eq!(job["state"], "scheduled");
    assert_eq!(job["run_at"], "2035-03-01T12:00:00Z");
    assert_eq!(job["priority"], -100);
    assert_eq!(job["max_attempts"], 100);
    assert_eq!(job["key"], "customer 7");
    assert_eq!(job["tenant"], "acme");
    assert_eq!(job["weight"], 3);
    Ok(())
}

#[tokio::test]
async fn a_time_that_has_passed_means_at_once() -> anyhow::Result<()> {
    let server = server().await?;
    for run_at in ["2025-03-01T11:59:59Z", "0001-01-01T00:00:00Z"] {
        let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}, "run_at": run_at});
        let id = server.pushed(body).await?;
        assert_eq!(server.job(&id).await?["state"], "ready", "{run_at}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_kind_is_refused_with_the_known_ones() -> anyhow::Result<()> {
    let server = server().await?;
    assert_snapshot!(server.push(json!({"kind": "demo.great", "args": {}})).await?, @r#"
    422
    detail: "unknown kind \"demo.great\"; known kinds: demo.greet"
    type: "urn:beadle:problem:unknown-kind"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn arguments_that_do_not_decode_are_refused_by_field() -> anyhow::Result<()> {
    let server = server().await?;
    assert_snapshot!(server.push(json!({"kind": "demo.greet", "args": {}})).await?, @r#"
    422
    detail: "arguments of demo.greet: missing field `name`"
    type: "urn:beadle:problem:invalid"
    "#);
    let more = json!({"name": "Ada", "loud": true});
    assert_snapshot!(server.push(json!({"kind": "demo.greet", "args": more})).await?, @r#"
    422
    detail: "arguments of demo.greet: loud: unknown field `loud`, expected `name`"
    type: "urn:beadle:problem:invalid"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn arguments_that_the_database_cannot_hold_are_refused() -> anyhow::Result<()> {
    let server = server().await?;
    let nul = json!({"kind": "demo.greet", "args": {"name": "A\0da"}});
    assert_snapshot!(server.push(nul).await?, @r#"
    422
    detail: "arguments cannot be stored: unsupported Unicode escape sequence"
    type: "urn:beadle:problem:invalid"
    "#);
    let long = json!({"kind": "demo.greet", "args": {"name": "A".repeat(300_000)}});
    assert_snapshot!(server.push(long).await?, @r#"
    413
    detail: "arguments have 300011 bytes, at most 262144 are stored"
    type: "urn:beadle:problem:too-large"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_field_is_refused_by_name() -> anyhow::Result<()> {
    let server = server().await?;
    let mut answers = Vec::new();
    for wrong in [
        json!({"kind": "demo.greet"}),
        json!({"kind": 7, "args": {}}),
        json!({"prio": 1}),
        json!({"priority": "high"}),
        json!({"priority": 101}),
        json!({"priority": -101}),
        json!({"priority": 70_000}),
        json!({"max_attempts": 0}),
        json!({"max_attempts": 101}),
        json!({"key": ""}),
        json!({"tenant": "t".repeat(256)}),
        json!({"weight": 0}),
        json!({"weight": 1001}),
        json!({"run_at": "tomorrow"}),
        json!({"run_at": "2035-04-01T00:00:00Z"}),
        json!({"run_at": "+262142-01-01T00:00:00Z"}),
        json!(["demo.greet", {"name": "Ada"}, 0, null, null]),
        json!(null),
    ] {
        let mut body = wrong.clone();
        if let Value::Object(fields) = &mut body
            && !fields.contains_key("kind")
        {
            fields.insert("kind".into(), "demo.greet".into());
            fields.insert("args".into(), json!({"name": "Ada"}));
        }
        let answer = server.push(body).await?;
        let detail = answer.lines().find(|line| line.starts_with("detail")).unwrap_or("");
        answers.push(format!("{wrong}\n  {} {detail}", &answer[..3]));
    }
    assert_snapshot!(answers.join("\n"), @r#"
    {"kind":"demo.greet"}
      422 detail: "missing field `args`"
    {"args":{},"kind":7}
      422 detail: "kind: invalid type: integer `7`, expected a string"
    {"prio":1}
      422 detail: "prio: unknown field `prio`, expected one of `kind`, `args`, `priority`, `run_at`, `max_attempts`, `key`, `tenant`, `weight`"
    {"priority":"high"}
      422 detail: "priority: invalid type: string \"high\", expected i16"
    {"priority":101}
      422 detail: "priority: 101 is not within -100 to 100"
    {"priority":-101}
      422 detail: "priority: -101 is not within -100 to 100"
    {"priority":70000}
      422 detail: "priority: invalid value: integer `70000`, expected i16"
    {"max_attempts":0}
      422 detail: "max_attempts: 0 is not within 1 to 100"
    {"max_attempts":101}
      422 detail: "max_attempts: 101 is not within 1 to 100"
    {"key":""}
      422 detail: "key: it has 1 to 255 characters"
    {"tenant":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}
      422 detail: "tenant: it has 1 to 255 characters"
    {"weight":0}
      422 detail: "weight: 0 is not within 1 to 1000"
    {"weight":1001}
      422 detail: "weight: 1001 is not within 1 to 1000"
    {"run_at":"tomorrow"}
      422 detail: "run_at: input contains invalid characters"
    {"run_at":"2035-04-01T00:00:00Z"}
      422 detail: "run_at: at most ten years ahead, until 2035-03-02T12:00:00Z"
    {"run_at":"+262142-01-01T00:00:00Z"}
      422 detail: "run_at: at most ten years ahead, until 2035-03-02T12:00:00Z"
    ["demo.greet",{"name":"Ada"},0,null,null]
      422 detail: "the body must be a JSON object"
    null
      422 detail: "the body must be a JSON object"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() -> anyhow::Result<()> {
    let server = server().await?;
    let mut answers = Vec::new();
    let deep = format!("{{\"kind\": \"demo.greet\", \"args\": {}", "[".repeat(100_000));
    for body in ["", "{\"kind\": ", "kind=demo.greet", "{\"kind\": \"\\ud800\"}", &deep] {
        let request = server.post("/v1/jobs").header("content-type", "application/json");
        answers.push(told(request.body(body.to_owned()).send().await?).await?);
    }
    assert_snapshot!(answers.join("\n\n"), @r#"
    400
    detail: "the body is not JSON: EOF while parsing a value at line 1 column 0"
    type: "urn:beadle:problem:bad-request"

    400
    detail: "the body is not JSON: EOF while parsing a value at line 1 column 9"
    type: "urn:beadle:problem:bad-request"

    400
    detail: "the body is not JSON: expected value at line 1 column 1"
    type: "urn:beadle:problem:bad-request"

    400
    detail: "the body is not JSON: unexpected end of hex escape at line 1 column 17"
    type: "urn:beadle:problem:bad-request"

    400
    detail: "the body is not JSON: recursion limit exceeded at line 1 column 158"
    type: "urn:beadle:problem:bad-request"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() -> anyhow::Result<()> {
    let server = server().await?;
    let body = r#"{"kind": "demo.greet", "args": {"name": "Ada"}}"#;
    let form = server.post("/v1/jobs").header("content-type", "text/plain").body(body);
    assert_snapshot!(told(form.send().await?).await?, @r#"
    415
    detail: "send JSON, with the header `Content-Type: application/json`"
    type: "urn:beadle:problem:not-json"
    "#);
    let none = server.post("/v1/jobs").body(body);
    assert!(told(none.send().await?).await?.starts_with("415"));
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.body_limit_bytes = 1000).await?;
    let body = json!({"kind": "demo.greet", "args": {"name": "A".repeat(2000)}});
    assert_snapshot!(server.push(body.clone()).await?, @r#"
    413
    detail: "the body has 2040 bytes and may have 1000"
    type: "urn:beadle:problem:too-large"
    "#);
    assert_eq!(server.stored_jobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_job_that_does_not_exist_is_not_found() -> anyhow::Result<()> {
    let server = server().await?;
    let unknown = server.get("/v1/jobs/0199c0de-0000-7000-8000-000000000000").send().await?;
    assert_snapshot!(told(unknown).await?, @r#"
    404
    detail: "no such job"
    type: "urn:beadle:problem:not-found"
    "#);
    let malformed = server.get("/v1/jobs/42").send().await?;
    assert_snapshot!(told(malformed).await?, @r#"
    400
    detail: "the address is malformed: UUID parsing failed: invalid length: found 2"
    type: "urn:beadle:problem:bad-request"
    "#);
    Ok(())
}

#[tokio::test]
async fn the_kinds_are_listed() -> anyhow::Result<()> {
    let server = server().await?;
    let kinds: Value = server.get("/v1/kinds").send().await?.json().await?;
    assert_eq!(
        kinds,
        json!([
            {"name": "demo.greet", "queue": "demo", "max_attempts": 3, "timeout_seconds": 60}
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_job_carries_the_trace_of_its_request() -> anyhow::Result<()> {
    let server = server().await?;
    let trace = Trace::new();
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    let request = server.post("/v1/jobs").header("traceparent", trace.traceparent());
    let answer = request.json(&body).send().await?;
    assert_eq!(answer.headers()["x-request-id"].to_str()?, trace.id());
    let id = answer.json::<Value>().await?["id"].as_str().unwrap().to_owned();
    assert_eq!(server.job(&id).await?["trace_id"], trace.id());
    Ok(())
}

#[tokio::test]
async fn a_malformed_trace_is_replaced() -> anyhow::Result<()> {
    let server = server().await?;
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    let request = server.post("/v1/jobs").header("traceparent", "00-zz-zz-01");
    let answer = request.json(&body).send().await?;
    let request_id = answer.headers()["x-request-id"].to_str()?.to_owned();
    assert_eq!(request_id.len(), 32);
    let id = answer.json::<Value>().await?["id"].as_str().unwrap().to_owned();
    assert_eq!(server.job(&id).await?["trace_id"], request_id);
    Ok(())
}
