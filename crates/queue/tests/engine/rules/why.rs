//! Why a job does not run.

use std::time::Duration;

use queue::inspect::{self, JobState, Why};
use queue::{Push, SetRules, set_limit, set_rules};
use sqlx::PgPool;
use uuid::Uuid;

use super::stage::{End, end, job, keyed, push, set, take};
use crate::support::{Script, Theatre, Wait, named};

async fn why(db: &PgPool, id: Uuid) -> Vec<Why> {
    inspect::why(db, id).await.unwrap().expect("there is such a job")
}

/// The reasons but for the one that there is no worker: these tests claim by hand.
async fn reasons(db: &PgPool, id: Uuid) -> Vec<String> {
    let all = why(db, id).await.into_iter().map(|why| why.reason);
    all.filter(|reason| reason != "no_worker").collect()
}

/// For whom there is no worker either, nothing else is in the way.
const NOTHING: [&str; 0] = [];

async fn one(db: &PgPool, id: Uuid, reason: &str) -> (String, Vec<Uuid>) {
    let found = why(db, id).await.into_iter().find(|why| why.reason == reason);
    let found = found.unwrap_or_else(|| panic!("{reason} is no reason"));
    (found.detail.unwrap(), found.jobs)
}

fn detail(why: &Why) -> &str {
    why.detail.as_deref().unwrap()
}

#[tokio::test]
async fn a_job_that_nothing_keeps_is_ready_and_one_that_is_not_there_has_no_reasons() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    assert_eq!(inspect::why(db, Uuid::now_v7()).await.unwrap(), None);
    let id = push(db, [job("j1")]).await[0];
    let reasons = why(db, id).await;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(detail(&reasons[0]), "no worker of its queue has ever been seen");
    let working = theatre.fleet.start(crate::support::work(1));
    theatre.until(id, JobState::Done).await;
    queue::pause(db, "theatre").await.unwrap();
    let id = push(db, [job("j2")]).await[0];
    assert_eq!(why(db, id).await.len(), 1, "a worker is there: only the pause is in its way");
    working.stop().await.unwrap();
    let (detail, _) = one(db, id, "no_worker").await;
    assert!(detail.starts_with("no worker of its queue has been seen since 20"), "{detail}");
}

#[tokio::test]
async fn a_pause_and_a_time_are_both_in_the_way() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let id = push(db, [job("j1").delay(Duration::from_secs(60))]).await[0];
    queue::pause(db, "theatre").await.unwrap();
    assert_eq!(reasons(db, id).await, ["paused", "scheduled"]);
    let all = why(db, id).await;
    assert!(detail(&all[0]).starts_with("its queue is paused since 20"), "{all:?}");
    assert_eq!(all[1].until, theatre.view(id).await.run_at);
    queue::resume(db, "theatre").await.unwrap();
    assert_eq!(reasons(db, id).await, ["scheduled"]);
}

#[tokio::test]
async fn who_holds_the_key_is_told_before_and_after_a_claim_has_looked() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let ids = push(db, [keyed("a1", "a"), keyed("a2", "a"), keyed("a3", "a")]).await;
    assert_eq!(reasons(db, ids[0]).await, NOTHING);
    let first = take(db, 1).await;
    assert_eq!(theatre.state(ids[1]).await, JobState::Ready);
    let (told, holders) = one(db, ids[1], "key").await;
    assert_eq!(
        (told.as_str(), holders),
        ("of the jobs with its key 1 run at a time at most", vec![ids[0]])
    );
    take(db, 10).await;
    assert_eq!(theatre.state(ids[2]).await, JobState::Waiting);
    let (told, holders) = one(db, ids[2], "key").await;
    assert!(told.ends_with("and 1 that wait are before it"), "{told}");
    assert_eq!(holders, [ids[0]]);
    // While it waits for its next attempt it holds its place.
    end(db, None, &first.jobs[0], End::Failed(Duration::from_secs(60))).await;
    assert_eq!(one(db, ids[1], "key").await.1, [ids[0]]);
    assert_eq!(reasons(db, ids[0]).await, ["scheduled"]);
    // Whoever has been promised the place is not kept by the key.
    queue::cancel(db, ids[0], "test").await.unwrap();
    assert_eq!(reasons(db, ids[1]).await, NOTHING);
    assert_eq!(one(db, ids[2], "key").await.1, [ids[1]]);
}

#[tokio::test]
async fn a_rate_of_its_key_says_until_when() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, serde_json::json!({ "key_per_second": 0.01, "key_burst": 1 })).await;
    let ids = push(db, [keyed("a1", "a"), keyed("a2", "a")]).await;
    let first = take(db, 10).await;
    end(db, None, &first.jobs[0], End::Done).await;
    assert!(take(db, 10).await.jobs.is_empty());
    assert_eq!(reasons(db, ids[1]).await, ["key_rate"]);
    let until = why(db, ids[1]).await[0].until;
    assert_eq!(until, theatre.view(ids[1]).await.run_at);
}

#[tokio::test]
async fn limits_of_the_queue_and_the_jobs_before_it_are_told_together() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let rules = SetRules {
        concurrency: Some(Some(1)),
        per_second: Some(Some(0.01)),
        ..SetRules::default()
    };
    set_rules(db, "theatre", &rules).await.unwrap();
    let ids = push(db, [job("j1"), job("j2"), job("j3")]).await;
    assert_eq!(reasons(db, ids[0]).await, NOTHING);
    assert_eq!(reasons(db, ids[2]).await, ["behind"]);
    let first = take(db, 10).await;
    assert_eq!(reasons(db, ids[2]).await, ["concurrency", "rate", "behind"]);
    assert_eq!(one(db, ids[2], "concurrency").await.0, "1 jobs of its queue run, and 1 may");
    assert_eq!(one(db, ids[2], "behind").await.0, "1 jobs are before it");
    end(db, None, &first.jobs[0], End::Done).await;
    assert_eq!(reasons(db, ids[1]).await, ["rate"]);
    let all = why(db, ids[1]).await;
    assert_eq!(
        detail(&all[0]),
        "0.01 jobs of its queue start in a second at most, by their weights"
    );
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(db).await.unwrap();
    let ahead = all[0].until.unwrap() - now;
    assert!((90..=100).contains(&ahead.num_seconds()), "{ahead}");
    set(db, serde_json::json!({ "per_second": null })).await;
    assert_eq!(reasons(db, ids[1]).await, NOTHING);
}

#[tokio::test]
async fn in_a_fair_queue_only_jobs_of_its_tenant_are_before_it() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, serde_json::json!({ "fair": true })).await;
    let of = |tenant: &str| job("j").tenant(tenant);
    let ids = push(db, [of("a"), of("a"), of("a"), of("b")]).await;
    assert_eq!(one(db, ids[2], "behind").await.0, "2 jobs of its tenant are before it");
    assert_eq!(reasons(db, ids[3]).await, NOTHING);
}

#[tokio::test]
async fn a_job_that_runs_or_has_ended_is_told_so() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let working = theatre.fleet.start(crate::support::work(1));
    let id = queue::push(db, Wait { heeds: true }).await.unwrap().id;
    theatre.until(id, JobState::Running).await;
    let behind = push(db, [job("j1")]).await[0];
    assert_eq!(reasons(db, behind).await, ["ready"], "a busy worker is a worker");
    let running = why(db, id).await;
    assert_eq!((running.len(), running[0].reason.as_str()), (1, "running"));
    assert!(detail(&running[0]).ends_with(", for attempt 1"), "{running:?}");
    queue::cancel(db, id, "test").await.unwrap();
    theatre.until(id, JobState::Cancelled).await;
    let bad = queue::push(db, Push::of(named("bad", Script::Discard))).await.unwrap().id;
    theatre.until(bad, JobState::Discarded).await;
    assert_eq!(why(db, id).await[0].reason, "cancelled");
    let ended = why(db, bad).await;
    assert_eq!((ended.len(), ended[0].reason.as_str()), (1, "discarded"));
    assert!(detail(&ended[0]).ends_with(": no audience"), "{ended:?}");
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_limit_of_the_key_is_the_one_that_is_told() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let two = queue::Limit { concurrency: Some(2), ..Default::default() };
    set_limit(db, "theatre", "a", &two).await.unwrap();
    let ids = push(db, [keyed("a1", "a"), keyed("a2", "a"), keyed("a3", "a")]).await;
    take(db, 10).await;
    let (told, mut holders) = one(db, ids[2], "key").await;
    holders.sort();
    assert!(told.starts_with("of the jobs with its key 2 run at a time at most"), "{told}");
    assert_eq!(holders, ids[..2]);
}

#[tokio::test]
async fn a_job_of_a_workflow_waits_for_those_it_needs() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let workflow = queue::Workflow::named("evening")
        .add("first", job("first"))
        .signal("applause")
        .add("last", job("last"))
        .after(["first", "applause"]);
    let pushed = queue::push_workflow(db, workflow).await.unwrap();
    let (said, jobs) = one(db, pushed.jobs["last"], "waits").await;
    assert_eq!(said, "it waits for 2 of its workflow: applause, first");
    assert!(jobs.contains(&pushed.jobs["first"]), "{jobs:?}");
    assert_eq!(reasons(db, pushed.jobs["last"]).await, ["waits"]);
}
