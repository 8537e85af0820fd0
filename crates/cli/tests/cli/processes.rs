use std::net::TcpListener;
use std::time::{Duration, Instant};

use context::Context;
use serde_json::json;

use crate::support::{LIMIT, Staying, answer, beadle_on, until};

#[tokio::test]
async fn two_workers_and_a_scheduler_share_one_database() {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let workers = [
        Staying::start(beadle_on(&cx, &["work"])),
        Staying::start(beadle_on(&cx, &["work", "--queue", "maintenance", "--concurrency", "2"])),
    ];
    workers.iter().for_each(|worker| drop(worker.says("working")));
    let scheduler = Staying::start(beadle_on(&cx, &["schedule"]));
    scheduler.says("watching the clock");

    let push = ["jobs", "push", "maintenance.drop_history", "--count", "200"];
    assert!(answer(beadle_on(&cx, &push)).ok);
    let due = "UPDATE queue.schedules SET next_at = now() - interval '1 minute'";
    sqlx::query(due).execute(&cx.pool).await.unwrap();
    let done = || {
        let list = ["jobs", "list", "--state", "done", "--limit", "1000", "--json"];
        answer(beadle_on(&cx, &list)).json().as_array().unwrap().len()
    };
    until("all pushed jobs and one of the schedule are done", || done() == 201);
    let hands: i64 = sqlx::query_scalar("SELECT count(DISTINCT worker) FROM queue.runs")
        .fetch_one(&cx.pool)
        .await
        .unwrap();
    assert_eq!(hands, 2, "both worked");
    let runs: i64 =
        sqlx::query_scalar("SELECT count(*) FROM queue.runs").fetch_one(&cx.pool).await.unwrap();
    assert_eq!(runs, 201, "each job ran once");
    for process in workers.into_iter().chain([scheduler]) {
        process.stop();
    }
}

#[tokio::test]
async fn the_api_pushes_and_another_process_works() {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let address = free_address();
    let mut serve = beadle_on(&cx, &["serve"]);
    serve.env("BEADLE__HTTP__BIND", &address);
    let serve = Staying::start(serve);
    serve.says("the API answers");
    let create = [
        "keys",
        "create",
        "shop",
        "--permission",
        "jobs.enqueue",
        "--permission",
        "jobs.view",
        "--json",
    ];
    let key = answer(beadle_on(&cx, &create)).json()["key"].as_str().unwrap().to_owned();
    let client = reqwest::Client::builder().build().unwrap();
    let push = client
        .post(format!("http://{address}/v1/jobs"))
        .bearer_auth(&key)
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .json(&json!({ "kind": "maintenance.drop_history", "args": {} }));
    let pushed: serde_json::Value = push.send().await.unwrap().json().await.unwrap();
    let worker = Staying::start(beadle_on(&cx, &["work"]));
    // One thread to follow: the request's trace id stands in the log of the run.
    assert!(worker.says("dropped job history").contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    let show = ["jobs", "show", pushed["id"].as_str().unwrap(), "--json"];
    until("the job is done", || answer(beadle_on(&cx, &show)).json()["state"] == "done");

    assert!(answer(beadle_on(&cx, &["keys", "revoke", &key])).ok);
    let refused = client.get(format!("http://{address}/v1/kinds")).bearer_auth(&key);
    assert_eq!(refused.send().await.unwrap().status(), 401);
    serve.stop();
    worker.stop();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = beadle_on(&cx, &["serve"]);
    serve.env("BEADLE__HTTP__BIND", &address);
    let answer = answer(serve);
    assert!(!answer.ok);
    assert!(answer.err.contains(&format!("cannot listen on {address}")), "{}", answer.err);
}

#[tokio::test]
async fn processes_without_an_api_tell_how_they_do_where_they_are_asked_to() {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let get = async |address: &str, path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert!(answer(beadle_on(&cx, &["jobs", "push", "maintenance.drop_history"])).ok);
    for (command, ready) in [("work", "working"), ("schedule", "watching the clock")] {
        let address = free_address();
        let mut process = beadle_on(&cx, &[command]);
        process.env("BEADLE__TELEMETRY__METRICS_BIND", &address);
        let process = Staying::start(process);
        process.says(ready);
        process.says("the metrics are at hand");
        assert_eq!(get(&address, "/healthz").await, (200, r#"{"status":"alive"}"#.into()));
        assert_eq!(get(&address, "/v1/kinds").await.0, 404, "it is no API");
        if command == "work" {
            let limit = Instant::now() + LIMIT;
            let done = r#"beadle_runs_total{kind="maintenance.drop_history",outcome="done"} 1"#;
            while !get(&address, "/metrics").await.1.contains(done) {
                assert!(Instant::now() < limit, "the run is not counted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        } else {
            assert_eq!(get(&address, "/metrics").await.0, 200);
        }
        process.stop();

        let taken = TcpListener::bind(&address).unwrap();
        let mut second = beadle_on(&cx, &[command]);
        second.env("BEADLE__TELEMETRY__METRICS_BIND", &address);
        let refused = answer(second);
        let mend = format!(
            "cannot listen on {address}; choose another address with BEADLE__TELEMETRY__METRICS_BIND"
        );
        assert!(!refused.ok && refused.err.contains(&mend), "{}", refused.err);
        drop(taken);
    }
}

/// Free at this moment; nobody else in the tests asks for a port by number.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
