//! Rules that are set, changed and taken away while a queue works.

use std::time::Duration;

use queue::inspect::{self, JobState, QueueView};
use queue::{Error, Limit, Pool, Rules, SetRules, WorkOptions, set_limit, set_rules, set_share};
use sqlx::PgPool;

use super::stage::{End, end, job, keyed, push, take};
use crate::support::{Theatre, Wait};

async fn view(db: &PgPool) -> QueueView {
    let queues = inspect::queues(db).await.unwrap();
    queues.into_iter().find(|queue| queue.name == "theatre").expect("the queue is shown")
}

/// Some of every rule.
fn all() -> SetRules {
    SetRules {
        fair: Some(true),
        concurrency: Some(Some(5)),
        key_concurrency: Some(Some(2)),
        per_second: Some(Some(0.5)),
        burst: Some(Some(7)),
        key_per_second: Some(Some(10.0)),
        key_burst: Some(Some(3)),
        max_backlog: Some(Some(100)),
        full_delay: Some(Some(Duration::from_millis(1500))),
    }
}

#[tokio::test]
async fn rules_are_set_left_alone_and_taken_away() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set_rules(db, "theatre", &all()).await.unwrap();
    let set = Rules {
        fair: true,
        concurrency: Some(5),
        key_concurrency: 2,
        per_second: Some(0.5),
        burst: Some(7),
        key_per_second: Some(10.0),
        key_burst: Some(3),
        max_backlog: Some(100),
        full_delay_seconds: Some(1.5),
    };
    assert_eq!(view(db).await.rules, set);
    set_rules(db, "theatre", &SetRules::default()).await.unwrap();
    assert_eq!(view(db).await.rules, set);
    let some = SetRules { burst: Some(None), concurrency: Some(Some(6)), ..SetRules::default() };
    set_rules(db, "theatre", &some).await.unwrap();
    assert_eq!(view(db).await.rules, Rules { burst: None, concurrency: Some(6), ..set });
    set_rules(db, "theatre", &SetRules::none()).await.unwrap();
    let shown = inspect::queues(db).await.unwrap();
    assert!(shown.is_empty(), "nothing is left to say of it: {shown:?}");
}

#[tokio::test]
async fn limits_and_shares_are_set_replaced_and_taken_away() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let limit = Limit { concurrency: Some(3), per_second: Some(0.1), burst: None };
    set_limit(db, "theatre", "b", &limit).await.unwrap();
    set_limit(db, "theatre", "a", &Limit { burst: Some(9), ..Limit::default() }).await.unwrap();
    set_limit(db, "theatre", "b", &Limit { concurrency: Some(4), ..Limit::default() })
        .await
        .unwrap();
    let shown = inspect::limits(db, "theatre").await.unwrap();
    let shown: Vec<_> = shown.iter().map(|view| (view.key.as_str(), &view.limit)).collect();
    let expected = [
        ("a", &Limit { burst: Some(9), ..Limit::default() }),
        ("b", &Limit { concurrency: Some(4), ..Limit::default() }),
    ];
    assert_eq!(shown, expected);
    for key in ["a", "b", "never"] {
        set_limit(db, "theatre", key, &Limit::default()).await.unwrap();
    }
    assert!(inspect::limits(db, "theatre").await.unwrap().is_empty());

    set_share(db, "theatre", "big", Some(3)).await.unwrap();
    set_share(db, "theatre", "big", Some(5)).await.unwrap();
    let shown = inspect::shares(db, "theatre").await.unwrap();
    assert_eq!((shown[0].tenant.as_str(), shown[0].weight), ("big", 5));
    assert_eq!(view(db).await.ready, 0, "a queue of which something was said is shown");
    set_share(db, "theatre", "big", None).await.unwrap();
    assert!(inspect::shares(db, "theatre").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_value_that_cannot_be_is_refused_by_name_and_changes_nothing() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let none = SetRules::default;
    let day = Duration::from_secs(24 * 3600);
    for (rules, reason) in [
        (
            SetRules { concurrency: Some(Some(0)), ..none() },
            "concurrency: 0 is not within 1 to 1000000",
        ),
        (SetRules { key_concurrency: Some(Some(-1)), ..none() }, "key_concurrency: -1 is not"),
        (SetRules { per_second: Some(Some(f64::NAN)), ..none() }, "per_second: NaN is not"),
        (SetRules { key_per_second: Some(Some(1e9)), ..none() }, "key_per_second: 1000000000 is"),
        (SetRules { burst: Some(Some(0)), ..none() }, "burst: 0 is not"),
        (SetRules { key_burst: Some(Some(0)), ..none() }, "key_burst: 0 is not"),
        (SetRules { max_backlog: Some(Some(0)), ..none() }, "max_backlog: 0 is not"),
        (SetRules { full_delay: Some(Some(day * 2)), ..none() }, "full_delay_seconds: 172800 is"),
    ] {
        let mixed = SetRules { fair: Some(true), ..rules };
        let refused = set_rules(db, "theatre", &mixed).await.unwrap_err();
        assert!(matches!(refused, Error::BadRule(_)), "{refused:?}");
        assert!(refused.to_string().starts_with(reason), "{refused}");
    }
    let limit = Limit { burst: Some(1), ..Limit::default() };
    for refused in [
        set_rules(db, "The Theatre", &all()).await,
        set_limit(db, "The Theatre", "a", &limit).await,
        set_share(db, "The Theatre", "a", Some(1)).await,
        queue::pause(db, "The Theatre").await,
        set_limit(db, "theatre", "", &limit).await,
        set_limit(db, "theatre", &"a".repeat(256), &limit).await,
        set_limit(db, "theatre", "a\0", &limit).await,
        set_share(db, "theatre", "", Some(1)).await,
        set_share(db, "theatre", "a", Some(1001)).await,
        set_limit(db, "theatre", "a", &Limit { concurrency: Some(0), ..limit.clone() }).await,
        set_limit(db, "theatre", "a", &Limit { per_second: Some(0.0), ..limit.clone() }).await,
        set_limit(db, "theatre", "a", &Limit { burst: Some(-1), ..limit.clone() }).await,
    ] {
        assert!(matches!(refused, Err(Error::BadRule(_))), "{refused:?}");
    }
    assert!(inspect::queues(db).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_pushed_before_a_queue_became_fair_takes_turns_too() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let of = |name: &str, tenant: &str| keyed(name, name).tenant(tenant);
    push(db, [of("a1", "a"), of("a2", "a"), of("a3", "a"), of("b1", "b")]).await;
    push(db, [keyed("w1", "w").tenant("w"), keyed("w2", "w").tenant("w")]).await;
    push(db, [of("late", "late").delay(Duration::from_secs(60))]).await;
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1", "a2", "a3", "b1", "w1"]);
    for claimed in first.jobs.iter().filter(|claimed| claimed.name != "w1") {
        end(db, None, claimed, End::Released).await;
    }
    set_rules(db, "theatre", &SetRules { fair: Some(true), ..SetRules::default() }).await.unwrap();
    let due = "UPDATE queue.scheduled SET run_at = '2020-01-01'";
    sqlx::query(due).execute(db).await.unwrap();
    end(db, None, &first.jobs[4], End::Done).await;
    let unlined = "SELECT count(*) FROM (
        SELECT tenant FROM queue.ready UNION ALL SELECT tenant FROM queue.waiting
        UNION ALL SELECT tenant FROM queue.scheduled
    ) t WHERE tenant = ''";
    let unlined: i64 = sqlx::query_scalar(unlined).fetch_one(db).await.unwrap();
    assert_eq!(unlined, 0, "whatever its list, each has its tenant");
    let names = take(db, 10).await;
    assert_eq!(&names.names()[..3], ["a1", "b1", "w2"]);
}

#[tokio::test]
async fn what_was_being_pushed_while_a_queue_became_fair_is_found_and_looking_stops_nobody() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let mut tx = db.begin().await.unwrap();
    queue::push(&mut *tx, job("late").tenant("a")).await.unwrap();
    set_rules(db, "theatre", &SetRules { fair: Some(true), ..SetRules::default() }).await.unwrap();
    tx.commit().await.unwrap();
    assert!(take(db, 10).await.jobs.is_empty(), "it has no turn yet");
    let look = async || {
        let look = "SELECT queue.line_up('theatre') FROM set_config('lock_timeout', '1s', true)";
        sqlx::query_scalar::<_, i64>(look).fetch_one(db).await.unwrap()
    };
    assert_eq!(look().await, 1);
    // As a claim has it.
    let mut claim = db.begin().await.unwrap();
    let turn = "SELECT pg_advisory_xact_lock(1111834949, hashtext('theatre'))";
    sqlx::query(turn).execute(&mut *claim).await.unwrap();
    assert_eq!(look().await, 0);
    claim.rollback().await.unwrap();
    assert_eq!(take(db, 10).await.names(), ["late"]);
}

#[tokio::test]
async fn a_rate_of_keys_that_is_raised_lets_go_of_what_the_old_one_put_off() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let slow = Limit { per_second: Some(0.000_1), burst: Some(1), concurrency: None };
    set_limit(db, "theatre", "a", &slow).await.unwrap();
    let ids = push(db, [keyed("a1", "a"), keyed("a2", "a"), keyed("a3", "a")]).await;
    let first = take(db, 10).await;
    end(db, None, &first.jobs[0], End::Done).await;
    assert!(take(db, 10).await.jobs.is_empty());
    assert_eq!(theatre.state(ids[1]).await, JobState::Scheduled);
    set_limit(db, "theatre", "a", &Limit::default()).await.unwrap();
    let run_at = theatre.view(ids[1]).await.run_at.unwrap();
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(db).await.unwrap();
    assert!(run_at <= now, "{run_at} is not past {now}");
}

fn worker(concurrency: usize) -> WorkOptions {
    WorkOptions {
        pooled: queue::testing::is_pooled(),
        poll: Duration::from_millis(50),
        ..WorkOptions::new(vec![Pool { queue: "theatre".into(), concurrency }])
    }
}

async fn until_running(db: &PgPool, count: i64) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while view(db).await.running != count {
        assert!(tokio::time::Instant::now() < limit, "{:?}", view(db).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_working_process_heeds_changes_at_once() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let one = SetRules { concurrency: Some(Some(1)), ..SetRules::default() };
    set_rules(db, "theatre", &one).await.unwrap();
    let working = theatre.fleet.start(worker(8));
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(queue::push(db, Wait { heeds: true }).await.unwrap().id);
    }
    until_running(db, 1).await;
    assert_eq!(view(db).await.ready, 5);
    let three = SetRules { concurrency: Some(Some(3)), ..SetRules::default() };
    set_rules(db, "theatre", &three).await.unwrap();
    until_running(db, 3).await;
    assert_eq!(view(db).await.ready, 3);

    queue::pause(db, "theatre").await.unwrap();
    for id in &ids[..3] {
        queue::cancel(db, *id, "test").await.unwrap();
        theatre.until(*id, JobState::Cancelled).await;
    }
    // Paused: places are free, and nobody takes them.
    let last = push(db, [job("last")]).await[0];
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((view(db).await.ready, view(db).await.running), (4, 0));
    queue::resume(db, "theatre").await.unwrap();
    until_running(db, 3).await;
    // Without any rule there is room for all.
    set_rules(db, "theatre", &SetRules::none()).await.unwrap();
    theatre.until(last, JobState::Done).await;
    for id in &ids[3..] {
        queue::cancel(db, *id, "test").await.unwrap();
    }
    working.stop().await.unwrap();
}

#[tokio::test]
async fn rules_change_under_the_hands_of_workers_and_every_job_runs_once() {
    const JOBS: usize = 3000;
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let name = |n: usize| format!("j{n}");
    let some = |n: usize| match n % 3 {
        0 => keyed(&name(n), &name(n % 50)).tenant(name(n % 7)),
        _ => job(&name(n)),
    };
    push(db, (0..JOBS).map(some)).await;
    let workers = [theatre.fleet.start(worker(8)), theatre.fleet.start(worker(8))];
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut round = 0;
    while theatre.stage.order().len() < JOBS {
        assert!(tokio::time::Instant::now() < limit, "{:?}", view(db).await);
        round += 1;
        let rules = SetRules {
            fair: Some(round % 2 == 1),
            concurrency: Some((round % 3 == 0).then_some(5)),
            key_concurrency: Some((round % 4 < 2).then_some(3)),
            ..SetRules::default()
        };
        set_rules(db, "theatre", &rules).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for working in workers {
        working.stop().await.unwrap();
    }
    let mut order = theatre.stage.order();
    order.sort();
    order.dedup();
    assert_eq!((order.len(), theatre.stage.order().len()), (JOBS, JOBS));
}
