//! Rules of queues, and why a job does not run, from the command line.

use serde_json::json;

use crate::commands::{database, refused, run};

const KIND: &str = "maintenance.drop_history";

#[tokio::test]
async fn rules_are_set_shown_in_few_words_and_taken_away() {
    let cx = database().await;
    let set = |more: &[&str]| run(&cx, &[&["queues", "set", "maintenance"], more].concat());
    let rules = ["--concurrency", "5", "--per-second", "10", "--fair", "on"];
    assert_eq!(set(&rules).out, "maintenance: 5 at once, 10/s, fair\n");
    let keys = ["--key-concurrency", "2", "--key-per-second", "0.5", "--key-burst", "3"];
    assert_eq!(
        set(&keys).out,
        "maintenance: 5 at once, 10/s, keys 2 at once and 0.5/s in bursts of 3, fair\n"
    );
    let table = run(&cx, &["queues"]).out;
    assert!(table.lines().next().unwrap().contains("READY  WAITING  SCHEDULED"), "{table}");
    assert!(table.contains("5 at once, 10/s, keys 2 at once"), "{table}");
    let full = set(&["--max-backlog", "100", "--full-delay", "5m", "--json"]).json();
    assert_eq!(full["queue"], "maintenance");
    assert_eq!(
        full["rules"],
        json!({
            "fair": true, "concurrency": 5, "key_concurrency": 2, "per_second": 10.0, "burst": null,
            "key_per_second": 0.5, "key_burst": 3, "max_backlog": 100, "full_delay_seconds": 300.0,
        })
    );
    assert_eq!(run(&cx, &["queues", "--json"]).json()[0]["rules"], full["rules"]);
    let none = [
        "--concurrency",
        "none",
        "--per-second",
        "none",
        "--key-concurrency",
        "none",
        "--key-per-second",
        "none",
        "--key-burst",
        "none",
        "--fair",
        "off",
    ];
    assert_eq!(set(&none).out, "maintenance: full at 100, then 300 s later\n");
    let none = ["--max-backlog", "none", "--full-delay", "none"];
    assert_eq!(set(&none).out, "maintenance has no rules\n");
}

#[tokio::test]
async fn limits_and_shares_are_set_shown_and_taken_away() {
    let cx = database().await;
    let limit =
        |more: &[&str]| run(&cx, &[&["queues", "limit", "maintenance", "big"], more].concat());
    let share = |weight| run(&cx, &["queues", "share", "maintenance", "ada", weight]).out;
    let said = limit(&["--concurrency", "3", "--per-second", "0.5", "--burst", "2"]);
    assert_eq!(said.out, "maintenance: big: 3 at once, 0.5/s, bursts of 2\n");
    assert_eq!(share("5"), "ada starts 5 of maintenance at its turn\n");
    let shown = run(&cx, &["queues", "show", "maintenance"]).out;
    for part in
        ["maintenance, on\n", "rules     none\n", "big: 3 at once", "share     ada: 5 a turn"]
    {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let shown = run(&cx, &["queues", "show", "maintenance", "--json"]).json();
    let big = json!({ "key": "big", "concurrency": 3, "per_second": 0.5, "burst": 2 });
    assert_eq!((&shown["limits"], &shown["name"]), (&json!([big]), &json!("maintenance")));
    assert_eq!(shown["shares"], json!([{ "tenant": "ada", "weight": 5 }]));
    assert_eq!(limit(&["--none"]).out, "big may do in maintenance what all keys may\n");
    assert_eq!(share("default"), "ada starts 1 of maintenance at its turn\n");
    let shown = run(&cx, &["queues", "show", "maintenance", "--json"]).json();
    assert_eq!((&shown["limits"], &shown["shares"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_job_is_shown_with_its_key_tenant_and_weight() {
    let cx = database().await;
    let options = ["--key", "customer 7", "--tenant", "acme", "--weight", "3", "--json"];
    let id = |pushed: serde_json::Value| pushed["ids"][0].as_str().unwrap().to_owned();
    let special = id(run(&cx, &[&["jobs", "push", KIND], &options[..]].concat()).json());
    let shown = run(&cx, &["jobs", "show", &special]).out;
    for line in ["key       customer 7\n", "tenant    acme\n", "weight    3\n"] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let plain = id(run(&cx, &["jobs", "push", KIND, "--json"]).json());
    let shown = run(&cx, &["jobs", "show", &plain, "--json"]).json();
    assert_eq!(
        (&shown["key"], &shown["tenant"], &shown["weight"]),
        (&json!(null), &json!(null), &json!(1))
    );
}

#[tokio::test]
async fn what_cannot_be_a_rule_is_refused_with_a_reason() {
    let cx = database().await;
    let unknown = "no queue is named \"mantenance\"; there are maintenance";
    for (args, reason) in [
        (&["set", "mantenance", "--burst", "2"][..], unknown),
        (&["limit", "mantenance", "a", "--none"][..], unknown),
        (&["share", "mantenance", "a", "2"][..], unknown),
        (&["show", "mantenance"][..], unknown),
        (&["set", "maintenance"][..], "say which rule to change"),
        (
            &["set", "maintenance", "--concurrency", "0"][..],
            "concurrency: 0 is not within 1 to 1000000",
        ),
        (
            &["set", "maintenance", "--concurrency", "many"][..],
            "invalid digit found in string; or `none`",
        ),
        (
            &["set", "maintenance", "--per-second", "0"][..],
            "per_second: 0 is not within 0.00001 to 1000000",
        ),
        (
            &["set", "maintenance", "--full-delay", "5"][..],
            "a number with s, m, h or d, such as 30s",
        ),
        (
            &["set", "maintenance", "--full-delay", "2d"][..],
            "full_delay_seconds: 172800 is not within 1 to 86400",
        ),
        (&["set", "maintenance", "--fair", "maybe"][..], "it is on or off"),
        (&["limit", "maintenance", "a"][..], "say what the key may do"),
        (&["limit", "maintenance", "a", "--none", "--burst", "1"][..], "cannot be used with"),
        (&["limit", "maintenance", "", "--burst", "1"][..], "a key has 1 to 255 characters"),
        (&["share", "maintenance", "ada", "0"][..], "a weight is a number from 1 to 1000"),
    ] {
        let error = refused(&cx, &[&["queues"], args].concat());
        assert!(error.contains(reason), "{args:?} said {error:?}");
    }
    assert_eq!(
        run(&cx, &["queues", "set", "maintenance", "--fair", "off"]).out,
        "maintenance has no rules\n"
    );
}

#[tokio::test]
async fn a_job_says_why_it_does_not_run() {
    let cx = database().await;
    let push =
        ["jobs", "push", KIND, "--key", "a", "--tenant", "t", "--weight", "2", "--count", "2"];
    let ids = run(&cx, &[&push[..], &["--json"]].concat()).json()["ids"].clone();
    let id = ids[1].as_str().unwrap();
    assert!(run(&cx, &["queues"]).out.contains("keys"));
    assert!(run(&cx, &["queues", "pause", "maintenance"]).ok);
    let why = run(&cx, &["jobs", "why", id]).out;
    let lines: Vec<_> = why.lines().collect();
    assert!(lines[0].starts_with("paused       its queue is paused since 20"), "{why}");
    assert_eq!(lines[1], "behind       1 jobs are before it");
    assert_eq!(lines[2], "no_worker    no worker of its queue has ever been seen");
    let why = run(&cx, &["jobs", "why", id, "--json"]).json();
    assert_eq!((&why[1]["reason"], &why[1]["jobs"]), (&json!("behind"), &json!([])));
    assert!(run(&cx, &["queues", "resume", "maintenance"]).ok);
    assert_eq!(workers::fleet(&cx).drain().await.unwrap().of("done"), 2);
    assert!(run(&cx, &["jobs", "why", id]).out.starts_with("done         it ended at 2025-03-01"));
    let nobody = "01a1fd81-99fe-70a3-b74c-2fc73885a3e0";
    assert!(refused(&cx, &["jobs", "why", nobody]).contains("no job has the id"));
}
