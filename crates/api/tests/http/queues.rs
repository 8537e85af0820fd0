//! Queues, their rules, and what they do to pushes.

use api::keys::Permission;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::server::{TestServer, new_key, server, told};

async fn send(
    server: &TestServer,
    method: &str,
    path: &str,
    body: Value,
) -> anyhow::Result<String> {
    let request = server.bare(method, path).bearer_auth(&server.key);
    let request = if body.is_null() { request } else { request.json(&body) };
    told(request.send().await?).await
}

async fn change(server: &TestServer, body: Value) -> anyhow::Result<String> {
    send(server, "PATCH", "/v1/queues/demo", body).await
}

async fn queue(server: &TestServer) -> anyhow::Result<Value> {
    let answer = server.get("/v1/queues/demo").send().await?;
    Ok(answer.error_for_status()?.json().await?)
}

fn greet() -> Value {
    json!({"kind": "demo.greet", "args": {"name": "Ada"}})
}

#[tokio::test]
async fn a_queue_shows_what_it_holds_and_its_rules() -> anyhow::Result<()> {
    let server = server().await?;
    server.pushed(greet()).await?;
    let shown = queue(&server).await?;
    assert_eq!(
        (&shown["name"], &shown["ready"], &shown["paused"]),
        (&json!("demo"), &json!(1), &json!(false))
    );
    assert_eq!(
        (&shown["limits"], &shown["shares"], &shown["keyed"]),
        (&json!([]), &json!([]), &json!(false))
    );
    assert_eq!(
        shown["rules"],
        json!({
            "fair": false, "concurrency": null, "key_concurrency": 1, "per_second": null, "burst": null,
            "key_per_second": null, "key_burst": null, "max_backlog": null, "full_delay_seconds": null,
        })
    );
    let all: Value = server.get("/v1/queues").send().await?.json().await?;
    assert_eq!((&all[0]["name"], &all[0]["rules"]), (&json!("demo"), &shown["rules"]));
    assert_snapshot!(told(server.get("/v1/queues/demmo").send().await?).await?, @r#"
    404
    detail: "no such queue"
    type: "urn:beadle:problem:not-found"
    "#);
    Ok(())
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_takes_away() -> anyhow::Result<()> {
    let server = server().await?;
    change(
        &server,
        json!({"rules": {"concurrency": 5, "per_second": 0.5, "burst": 3, "fair": true}}),
    )
    .await?;
    change(&server, json!({"paused": true, "rules": {"concurrency": 6, "burst": null}})).await?;
    let shown = queue(&server).await?;
    let rules = &shown["rules"];
    assert_eq!((&shown["paused"], &rules["fair"]), (&json!(true), &json!(true)));
    assert_eq!((&rules["concurrency"], &rules["burst"]), (&json!(6), &json!(null)));
    assert_eq!(rules["per_second"], 0.5);
    let merge = server.bare("PATCH", "/v1/queues/demo").bearer_auth(&server.key);
    let merge = merge.header("content-type", "application/merge-patch+json");
    let answer =
        merge.body(r#"{"rules": {"full_delay_seconds": 90, "max_backlog": 10}}"#).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    assert_eq!(answer, queue(&server).await?, "it answers the queue as it is now");
    assert_eq!(answer["rules"]["full_delay_seconds"], 90.0);
    change(&server, json!({"rules": null, "paused": null})).await?;
    let shown = queue(&server).await?;
    assert_eq!((&shown["paused"], &shown["rules"]["fair"]), (&json!(false), &json!(false)));
    assert_eq!(
        (&shown["rules"]["concurrency"], &shown["rules"]["max_backlog"]),
        (&json!(null), &json!(null))
    );
    assert!(change(&server, json!({})).await?.starts_with("200"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_change_is_refused_by_name_and_nothing_of_it_is_done() -> anyhow::Result<()> {
    let server = server().await?;
    let mut answers = Vec::new();
    for wrong in [
        json!({"pause": true}),
        json!({"paused": "yes"}),
        json!({"rules": {"speed": 3}}),
        json!({"rules": {"concurrency": 0}}),
        json!({"rules": {"concurrency": 1.5}}),
        json!({"rules": {"key_concurrency": 10001}}),
        json!({"rules": {"per_second": 1e9}}),
        json!({"rules": {"full_delay_seconds": -1}}),
        json!({"rules": {"full_delay_seconds": 0.5}}),
    ] {
        let mut body = wrong.clone();
        body["rules"]["fair"] = json!(true);
        let answer = change(&server, body).await?;
        let detail = answer.lines().find(|line| line.starts_with("detail")).unwrap_or("");
        answers.push(format!("{wrong}\n  {} {detail}", &answer[..3]));
    }
    assert_snapshot!(answers.join("\n"), @r#"
    {"pause":true}
      422 detail: "pause: unknown field `pause`, expected `paused` or `rules`"
    {"paused":"yes"}
      422 detail: "paused: invalid type: string \"yes\", expected a boolean"
    {"rules":{"speed":3}}
      422 detail: "rules.speed: unknown field `speed`, expected one of `fair`, `concurrency`, `key_concurrency`, `per_second`, `burst`, `key_per_second`, `key_burst`, `max_backlog`, `full_delay_seconds`"
    {"rules":{"concurrency":0}}
      422 detail: "concurrency: 0 is not within 1 to 1000000"
    {"rules":{"concurrency":1.5}}
      422 detail: "rules.concurrency: invalid type: floating point `1.5`, expected i32"
    {"rules":{"key_concurrency":10001}}
      422 detail: "key_concurrency: 10001 is not within 1 to 10000"
    {"rules":{"per_second":1000000000.0}}
      422 detail: "per_second: 1000000000 is not within 0.00001 to 1000000"
    {"rules":{"full_delay_seconds":-1}}
      422 detail: "full_delay_seconds: -1 is not within 1 to 86400"
    {"rules":{"full_delay_seconds":0.5}}
      422 detail: "full_delay_seconds: 0.5 is not within 1 to 86400"
    "#);
    assert_eq!(queue(&server).await?["rules"]["fair"], false);
    assert!(send(&server, "PATCH", "/v1/queues/demmo", json!({})).await?.starts_with("404"));
    Ok(())
}

#[tokio::test]
async fn limits_and_shares_are_put_and_deleted() -> anyhow::Result<()> {
    let server = server().await?;
    let key = "/v1/queues/demo/limits/courses%2Frust%20%25";
    assert_snapshot!(send(&server, "PUT", key, json!({"concurrency": 3, "per_second": 0.5})).await?, @r#"
    200
    burst: null
    concurrency: 3
    key: "courses/rust %"
    per_second: 0.5
    "#);
    send(&server, "PUT", key, json!({"burst": 9})).await?;
    let share = "/v1/queues/demo/shares/big";
    assert_snapshot!(send(&server, "PUT", share, json!({"weight": 5})).await?, @r#"
    200
    tenant: "big"
    weight: 5
    "#);
    let shown = queue(&server).await?;
    let limit =
        json!({"key": "courses/rust %", "concurrency": null, "per_second": null, "burst": 9});
    assert_eq!(shown["limits"], json!([limit]));
    assert_eq!(shown["shares"], json!([{"tenant": "big", "weight": 5}]));
    for (path, wrong) in
        [(key, json!({"concurrency": 0})), (share, json!({"weight": 0})), (share, json!({}))]
    {
        assert!(send(&server, "PUT", path, wrong).await?.starts_with("422"));
    }
    for path in [key, share, key] {
        assert_eq!(send(&server, "DELETE", path, json!(null)).await?, "204");
        assert!(
            send(&server, "DELETE", &path.replace("demo", "demmo"), json!(null))
                .await?
                .starts_with("404")
        );
    }
    let shown = queue(&server).await?;
    assert_eq!((&shown["limits"], &shown["shares"]), (&json!([]), &json!([])));
    Ok(())
}

#[tokio::test]
async fn whoever_may_look_may_not_change() -> anyhow::Result<()> {
    let server = server().await?;
    let viewer = new_key(&server, &[Permission::ViewJobs], None).await?;
    let manager = new_key(&server, &[Permission::ManageQueues], None).await?;
    for (method, path) in [
        ("PATCH", "/v1/queues/demo"),
        ("PUT", "/v1/queues/demo/limits/a"),
        ("DELETE", "/v1/queues/demo/limits/a"),
        ("PUT", "/v1/queues/demo/shares/a"),
        ("DELETE", "/v1/queues/demo/shares/a"),
    ] {
        let answer = server.bare(method, path).bearer_auth(&viewer).json(&json!({})).send().await?;
        assert_eq!(answer.status(), 403, "{method} {path}");
        assert!(told(answer).await?.contains("lacks the permission queues.manage"));
    }
    for path in ["/v1/queues", "/v1/queues/demo"] {
        assert_eq!(server.bare("GET", path).bearer_auth(&viewer).send().await?.status(), 200);
        assert_eq!(server.bare("GET", path).bearer_auth(&manager).send().await?.status(), 403);
    }
    let pause = server.bare("PATCH", "/v1/queues/demo").bearer_auth(&manager);
    assert_eq!(pause.json(&json!({"paused": true})).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_full_queue_answers_429_until_there_is_room() -> anyhow::Result<()> {
    let server = server().await?;
    change(&server, json!({"rules": {"max_backlog": 1}})).await?;
    server.pushed(greet()).await?;
    assert_snapshot!(server.push(greet()).await?, @r#"
    429
    retry-after: 5
    detail: "queue demo is full: 1 jobs are waiting in it at most"
    type: "urn:beadle:problem:full"
    "#);
    assert_eq!(server.stored_jobs().await?, 1);
    server.fleet.drain().await?;
    server.pushed(greet()).await?;
    Ok(())
}

#[tokio::test]
async fn key_tenant_and_weight_are_stored_and_a_job_says_why_it_does_not_run() -> anyhow::Result<()>
{
    let server = server().await?;
    let mut body = greet();
    for (name, value) in [("key", json!("a")), ("tenant", json!("t")), ("weight", json!(3))] {
        body[name] = value;
    }
    let first = server.pushed(body.clone()).await?;
    let second = server.pushed(body).await?;
    let stored = "SELECT DISTINCT key, tenant, weight FROM queue.jobs";
    let stored: (String, String, i16) = sqlx::query_as(stored).fetch_one(&server.pool).await?;
    assert_eq!(stored, ("a".into(), "t".into(), 3));
    change(&server, json!({"paused": true})).await?;
    let why: Value = server.get(&format!("/v1/jobs/{second}/why")).send().await?.json().await?;
    let reasons: Vec<_> = why.as_array().unwrap().iter().map(|why| &why["reason"]).collect();
    assert_eq!(reasons, ["paused", "behind", "no_worker"]);
    assert_eq!(
        why[1],
        json!({
            "reason": "behind", "detail": "1 jobs are before it", "jobs": [], "until": null,
        })
    );
    change(&server, json!({"paused": false})).await?;
    server.fleet.drain().await?;
    let why: Value = server.get(&format!("/v1/jobs/{first}/why")).send().await?.json().await?;
    assert_eq!(why[0]["reason"], "done");
    let unknown = server.get("/v1/jobs/0199c0de-0000-7000-8000-000000000000/why").send().await?;
    assert_eq!(unknown.status(), 404);
    Ok(())
}
