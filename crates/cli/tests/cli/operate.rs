//! Dead jobs and paused queues, from the command line.

use context::testing::TestContext;
use serde_json::{Value, json};

use crate::commands::{database, run};

/// Jobs that no handler can read, dead in the order of their ids.
async fn dead_jobs(cx: &TestContext, count: usize) -> Vec<Value> {
    let count = count.to_string();
    let push = ["jobs", "push", "maintenance.drop_history", "--count", &count, "--json"];
    let ids = run(cx, &push).json()["ids"].as_array().unwrap().clone();
    sqlx::query("UPDATE queue.jobs SET args = '[1]'").execute(&cx.pool).await.unwrap();
    workers::fleet(cx).drain().await.unwrap();
    sqlx::query("UPDATE queue.jobs SET args = '{}'").execute(&cx.pool).await.unwrap();
    ids
}

#[tokio::test]
async fn dead_jobs_are_shown_together_and_tried_again() {
    let cx = database().await;
    assert_eq!(run(&cx, &["jobs", "dead"]).out, "no dead job fits\n");
    let ids = dead_jobs(&cx, 3).await;
    let groups = run(&cx, &["jobs", "dead", "--cause", "poison", "--json"]).json();
    let group = &groups[0];
    assert_eq!((&group["jobs"], &group["example"]), (&json!(3), &ids[2]));
    assert_eq!(
        (&group["kind"], &group["cause"]),
        (&json!("maintenance.drop_history"), &json!("poison"))
    );
    let fingerprint = group["fingerprint"].as_str().unwrap();
    assert!(group["error"].as_str().unwrap().starts_with("arguments do not decode"));
    let shown = run(&cx, &["jobs", "dead"]).out;
    for part in ["3 of maintenance.drop_history, poison, from 2025-03-01", fingerprint] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    for misfit in [
        ["--queue", "media"],
        ["--kind", "media.sing"],
        ["--cause", "lost"],
        ["--fingerprint", "#"],
        ["--from", "2025-03-02T00:00:00Z"],
        ["--until", "2025-03-01T00:00:00Z"],
    ] {
        let groups = run(&cx, &[&["jobs", "dead", "--json"], &misfit[..]].concat()).json();
        assert_eq!(groups, json!([]), "{misfit:?}");
        let none = run(&cx, &[&["jobs", "redrive", "--json"], &misfit[..]].concat()).json();
        assert_eq!(none, json!({ "retried": 0, "key_taken": 0 }), "{misfit:?}");
    }

    let two = ["jobs", "redrive", "--fingerprint", fingerprint, "--limit", "2"];
    let dry = run(&cx, &[&two[..], &["--dry-run", "--json"]].concat()).json();
    assert_eq!((&dry["would_retry"], &dry["groups"]), (&json!(2), &groups));
    let dry = run(&cx, &["jobs", "redrive", "--all", "--dry-run"]).out;
    assert!(dry.ends_with("\nwould try again 3\n"), "{dry}");
    assert_eq!(run(&cx, &["queues", "--json"]).json()[0]["dead"], 3, "a dry run leaves all dead");
    assert_eq!(run(&cx, &two).out, "2 are tried again\n");
    let slowly = ["jobs", "redrive", "--all", "--per-second", "0.5", "--json"];
    assert_eq!(run(&cx, &slowly).json(), json!({ "retried": 1, "key_taken": 0 }));
    assert_eq!(workers::fleet(&cx).drain().await.unwrap().of("done"), 3);
    let shown = run(&cx, &["jobs", "show", ids[0].as_str().unwrap()]).out;
    assert!(shown.contains("retried") && shown.contains("on cli"), "{shown}");
}

#[tokio::test]
async fn jobs_that_stay_dead_because_of_their_key_are_told() {
    let cx = database().await;
    dead_jobs(&cx, 2).await;
    sqlx::query("UPDATE queue.jobs SET unique_key = 'one'").execute(&cx.pool).await.unwrap();
    assert_eq!(
        run(&cx, &["jobs", "redrive", "--all"]).out,
        "1 are tried again; 1 stay dead, because another job holds their key\n"
    );
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_and_the_list_tells() {
    let cx = database().await;
    assert!(run(&cx, &["jobs", "push", "maintenance.drop_history"]).ok);
    let paused = || run(&cx, &["queues", "--json"]).json()[0]["paused"].clone();
    assert_eq!(paused(), false);
    let pause = run(&cx, &["queues", "pause", "maintenance"]).out;
    assert_eq!(pause, "maintenance is paused\n");
    assert_eq!(paused(), true);
    assert!(run(&cx, &["queues"]).out.contains("maintenance  paused  1"));
    assert_eq!(workers::fleet(&cx).drain().await.unwrap().of("done"), 0);
    let resume = run(&cx, &["queues", "resume", "maintenance", "--json"]).json();
    assert_eq!(resume, json!({ "queue": "maintenance", "paused": false }));
    assert_eq!(paused(), false);
    assert_eq!(workers::fleet(&cx).drain().await.unwrap().of("done"), 1);
}

#[tokio::test]
async fn a_queue_is_kept_for_its_own_time_until_that_is_undone() {
    let cx = database().await;
    let kept = || run(&cx, &["queues", "--json"]).json()[0]["keep_days"].clone();
    assert_eq!(kept(), json!(null));
    let keep = run(&cx, &["queues", "keep", "maintenance", "7"]).out;
    assert_eq!((keep.as_str(), kept()), ("ended jobs of maintenance stay for 7 days\n", json!(7)));
    assert!(run(&cx, &["queues", "keep", "maintenance", "default"]).ok);
    assert_eq!(kept(), json!(null));
}
