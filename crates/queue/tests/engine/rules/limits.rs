//! How many run, how many start, how many wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use queue::inspect::JobState;
use queue::{Error, SetRules, Workflow};
use serde_json::json;

use super::stage::{End, end, job, keyed, push, set, take, take_at};
use crate::support::Theatre;

#[tokio::test]
async fn no_more_jobs_of_a_queue_run_than_it_may_whoever_claims() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, (0..9).map(|n| job(&format!("j{n}")))).await;
    set(db, json!({ "concurrency": 3 })).await;
    let first = take(db, 2).await;
    assert_eq!(first.jobs.len(), 2);
    assert_eq!(take(db, 9).await.jobs.len(), 1);
    assert!(take(db, 9).await.jobs.is_empty());
    end(db, None, &first.jobs[0], End::Done).await;
    assert_eq!(take(db, 9).await.jobs.len(), 1);
    set(db, json!({ "concurrency": 5 })).await;
    assert_eq!(take(db, 9).await.jobs.len(), 2);
    set(db, json!({ "concurrency": null })).await;
    assert_eq!(take(db, 9).await.turn, "unruled");
}

#[tokio::test]
async fn what_ran_before_there_was_a_limit_counts() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let hang = crate::support::Wait { heeds: true };
    let id = queue::push(db, hang).await.unwrap().id;
    let working = theatre.fleet.start(crate::support::work(2));
    theatre.until(id, JobState::Running).await;
    set(db, json!({ "concurrency": 1 })).await;
    let other = push(db, [job("other")]).await[0];
    assert!(take(db, 9).await.jobs.is_empty());
    queue::cancel(db, id, "test").await.unwrap();
    theatre.until(other, JobState::Done).await;
    working.stop().await.unwrap();
}

/// Claims go on without the rule until its transaction commits, and that may be long after it began.
#[tokio::test]
async fn what_was_claimed_while_a_limit_was_being_set_counts() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let hang = crate::support::Wait { heeds: true };
    let id = queue::push(db, hang).await.unwrap().id;
    let working = theatre.fleet.start(crate::support::work(1));
    theatre.until(id, JobState::Running).await;
    let mut tx = db.begin().await.unwrap();
    let limit = SetRules { concurrency: Some(Some(1)), ..SetRules::default() };
    queue::set_rules(&mut *tx, "theatre", &limit).await.unwrap();
    // As if that had been an hour ago.
    let late = "UPDATE queue.leases SET leased_at = now() + interval '1 hour'";
    sqlx::query(late).execute(db).await.unwrap();
    tx.commit().await.unwrap();
    let other = push(db, [job("other")]).await[0];
    assert!(take(db, 9).await.jobs.is_empty());
    queue::cancel(db, id, "test").await.unwrap();
    theatre.until(other, JobState::Done).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_rate_lets_jobs_start_as_time_goes() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "per_second": 2, "burst": 3 })).await;
    push(db, (0..20).map(|n| job(&format!("j{n}")))).await;
    let at = |seconds: &str| format!("2025-03-01T00:00:{seconds}Z");
    let first = take_at(db, Some(&at("00")), 10).await;
    assert_eq!(first.jobs.len(), 3);
    let next = take_at(db, Some(&at("00.2")), 10).await;
    assert!(next.jobs.is_empty());
    let wait = next.wait_seconds.unwrap();
    assert!((0.25..0.35).contains(&wait), "{wait}");
    assert_eq!(take_at(db, Some(&at("00.5")), 10).await.jobs.len(), 1);
    assert_eq!(take_at(db, Some(&at("01.5")), 10).await.jobs.len(), 2);
    // However long nobody came, no more than the burst.
    assert_eq!(take_at(db, Some(&at("50")), 10).await.jobs.len(), 3);
}

#[tokio::test]
async fn a_job_takes_as_much_of_a_rate_as_it_weighs() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "per_second": 1, "burst": 10 })).await;
    push(
        db,
        [
            job("light"),
            job("heavy").weight(8),
            job("next").weight(2),
            job("whale").weight(50),
            job("last"),
        ],
    )
    .await;
    let at = |seconds: u32| format!("2025-03-01T00:{:02}:{:02}Z", seconds / 60, seconds % 60);
    assert_eq!(take_at(db, Some(&at(0)), 10).await.names(), ["light", "heavy"]);
    assert_eq!(take_at(db, Some(&at(1)), 10).await.names(), ["next"]);
    assert!(take_at(db, Some(&at(10)), 10).await.jobs.is_empty());
    // Heavier than the bucket: it starts from a full one, and what it takes is made up for.
    assert_eq!(take_at(db, Some(&at(12)), 10).await.names(), ["whale"]);
    assert!(take_at(db, Some(&at(52)), 10).await.jobs.is_empty());
    assert_eq!(take_at(db, Some(&at(53)), 10).await.names(), ["last"]);
}

#[tokio::test]
async fn a_key_has_a_rate_of_its_own_and_holds_up_nobody_else() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "key_per_second": 0.1, "key_burst": 1 })).await;
    push(db, [keyed("a1", "a"), keyed("a2", "a"), keyed("b1", "b"), keyed("a3", "a")]).await;
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1", "b1"]);
    end(db, None, &first.jobs[0], End::Done).await;
    // The place is free and the bucket empty: a2 has the place, and waits for its time.
    assert!(take(db, 10).await.jobs.is_empty());
    let ahead =
        "SELECT extract(epoch FROM run_at - now())::float8 FROM queue.scheduled WHERE holds";
    let ahead: f64 = sqlx::query_scalar(ahead).fetch_one(db).await.unwrap();
    assert!((8.0..10.1).contains(&ahead), "{ahead}");
    push(db, [keyed("c1", "c")]).await;
    assert_eq!(take(db, 10).await.names(), ["c1"]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_so() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "max_backlog": 3 })).await;
    push(db, [job("j1"), job("j2")]).await;
    let refused = queue::push_many(db, [job("j3"), job("j4")]).await.unwrap_err();
    assert!(matches!(&refused, Error::Full(_)), "{refused:?}");
    assert!(refused.to_string().contains("theatre is full"), "{refused}");
    push(db, [job("j3")]).await;
    let one = queue::push(db, job("j4")).await;
    assert!(matches!(one, Err(Error::Full(_))), "{one:?}");
    let special = queue::push(db, keyed("j4", "a")).await;
    assert!(matches!(special, Err(Error::Full(_))), "{special:?}");
    let pusher = queue::Pusher::new(db.clone());
    let (left, right) = tokio::join!(pusher.push(job("j4")), pusher.push(job("j5")));
    assert!(
        matches!((&left, &right), (Err(Error::Full(_)), Err(Error::Full(_)))),
        "{left:?} {right:?}"
    );
    let bulk =
        queue::push_bulk(&mut db.acquire().await.unwrap(), (0..3000).map(|_| job("bulk"))).await;
    assert!(matches!(bulk, Err(Error::Full(_))), "{bulk:?}");
    theatre.fleet.drain().await.unwrap();
    push(db, [job("j4")]).await;
}

#[tokio::test]
async fn a_full_queue_may_put_off_instead() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "max_backlog": 1, "full_delay": "60 seconds" })).await;
    let ids = push(db, [job("j1")]).await;
    let more = push(db, [job("j2")]).await;
    assert_eq!(theatre.state(ids[0]).await, JobState::Ready);
    assert_eq!(theatre.state(more[0]).await, JobState::Scheduled);
}

#[tokio::test]
async fn a_full_queue_takes_what_is_for_later_and_nothing_else() {
    const MINUTE: Duration = Duration::from_secs(60);
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "max_backlog": 1 })).await;
    push(db, [job("first")]).await;
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT now()").fetch_one(db).await.unwrap();
    let later = || job("later").delay(MINUTE);
    push(db, [later()]).await;
    push(db, [later(), job("later").run_at(now + MINUTE)]).await;
    push(db, [keyed("later", "a").delay(MINUTE)]).await;
    let workflow = |root| Workflow::named("w").add("root", root).add("b", job("b")).after(["root"]);
    queue::push_workflow(db, workflow(later())).await.unwrap();

    let over = || job("over").run_at(now - MINUTE);
    for refused in [
        queue::push_many(db, [over()]).await.map(drop),
        queue::push_many(db, [job("over").delay(Duration::ZERO)]).await.map(drop),
        queue::push_many(db, [later(), over()]).await.map(drop),
        queue::push_many(db, [keyed("over", "a").run_at(now - MINUTE)]).await.map(drop),
        queue::push_workflow(db, workflow(over())).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    }
    // A time that has passed is no way around.
    set(db, json!({ "full_delay": "60 seconds" })).await;
    let put_off = push(db, [over()]).await.into_iter().chain(push(db, [over(), later()]).await);
    let put_off = put_off.chain(push(db, [keyed("over", "a").run_at(now - MINUTE)]).await);
    let root = queue::push_workflow(db, workflow(over())).await.unwrap().jobs["root"];
    for id in put_off.chain([root]) {
        assert_eq!(theatre.state(id).await, JobState::Scheduled);
    }
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    for rules in [
        json!({ "speed": 3 }),
        json!({ "concurrency": 0 }),
        json!({ "per_second": -1 }),
        json!({ "concurrency": "many" }),
        json!({ "full_delay": "soon" }),
        json!(["fair"]),
        json!(null),
    ] {
        let set =
            sqlx::query("SELECT queue.set_rules('theatre', $1)").bind(&rules).execute(db).await;
        assert!(set.is_err(), "{rules}");
    }
}
