//! Of the jobs with one key only so many run at a time.

use std::time::Duration;

use queue::inspect::JobState;
use serde_json::json;

use super::stage::{End, end, job, keyed, push, set, take, waiting};
use crate::support::{Script, Theatre, named};

#[tokio::test]
async fn jobs_of_one_key_start_in_order_one_at_a_time_and_others_go_on() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let jobs =
        [keyed("a1", "a"), keyed("a2", "a"), keyed("b1", "b"), keyed("a3", "a"), job("free")];
    push(db, jobs).await;
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1", "b1", "free"]);
    assert!(first.exhausted);
    assert_eq!(waiting(db).await, 2);
    assert!(take(db, 10).await.jobs.is_empty());
    end(db, None, &first.jobs[1], End::Done).await;
    assert!(take(db, 10).await.jobs.is_empty(), "b has nobody left");
    end(db, None, &first.jobs[0], End::Done).await;
    let second = take(db, 10).await;
    assert_eq!(second.names(), ["a2"]);
    end(db, None, &second.jobs[0], End::Done).await;
    let third = take(db, 10).await;
    assert_eq!(third.names(), ["a3"]);
    end(db, None, &third.jobs[0], End::Done).await;
    assert!(take(db, 10).await.jobs.is_empty());
}

#[tokio::test]
async fn a_limit_above_one_lets_in_so_many_and_gives_each_free_place_once() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "key_concurrency": 2 })).await;
    push(db, (1..=5).map(|n| keyed(&format!("a{n}"), "a"))).await;
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1", "a2"]);
    end(db, None, &first.jobs[1], End::Done).await;
    let second = take(db, 10).await;
    assert_eq!(second.names(), ["a3"]);
    // A job that waits for its next attempt makes room, where order is not asked for.
    end(db, None, &first.jobs[0], End::Failed(Duration::from_secs(60))).await;
    assert_eq!(take(db, 10).await.names(), ["a4"]);
    assert!(take(db, 10).await.jobs.is_empty());
}

#[tokio::test]
async fn where_order_is_strict_others_wait_for_the_next_attempt() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let ids = push(db, [keyed("a1", "a"), keyed("a2", "a")]).await;
    let first = take(db, 10).await;
    end(db, None, &first.jobs[0], End::Failed(Duration::from_secs(60))).await;
    assert!(take(db, 10).await.jobs.is_empty());
    assert_eq!(theatre.state(ids[0]).await, JobState::Scheduled);
    assert_eq!(theatre.state(ids[1]).await, JobState::Waiting);
    // Pushed while it waits: behind the one that does already.
    push(db, [keyed("a3", "a")]).await;
    sqlx::query("UPDATE queue.scheduled SET run_at = '2025-01-01'").execute(db).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["a1", "a2", "a3"]);
}

#[tokio::test]
async fn a_released_job_keeps_its_place() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, [keyed("a1", "a"), keyed("a2", "a"), job("other")]).await;
    let first = take(db, 1).await;
    assert_eq!(first.names(), ["a1"]);
    end(db, None, &first.jobs[0], End::Released).await;
    assert_eq!(take(db, 10).await.names(), ["a1", "other"]);
}

#[tokio::test]
async fn a_dead_workers_place_is_its_jobs_again() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, [keyed("a1", "a"), keyed("a2", "a")]).await;
    take(db, 10).await;
    let expire = "UPDATE queue.leases SET expires_at = '2020-01-01'";
    sqlx::query(expire).execute(db).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["a1", "a2"]);
}

#[tokio::test]
async fn what_is_cancelled_gives_its_place_to_the_next() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let ids =
        push(db, [keyed("a1", "a"), keyed("a2", "a"), keyed("a3", "a"), keyed("a4", "a")]).await;
    let first = take(db, 10).await;
    // One that waits, then one that waits for its next attempt.
    assert_eq!(queue::cancel(db, ids[2], "test").await.unwrap(), queue::Cancelled::Now);
    assert_eq!(theatre.state(ids[2]).await, JobState::Cancelled);
    end(db, None, &first.jobs[0], End::Failed(Duration::from_secs(60))).await;
    assert_eq!(queue::cancel(db, ids[0], "test").await.unwrap(), queue::Cancelled::Now);
    // Now a2 is about to start.
    assert_eq!(queue::cancel(db, ids[1], "test").await.unwrap(), queue::Cancelled::Now);
    assert_eq!(take(db, 10).await.names(), ["a4"]);
}

#[tokio::test]
async fn a_limit_can_be_changed_while_jobs_wait() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, (1..=6).map(|n| keyed(&format!("a{n}"), "a"))).await;
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1"]);
    set(db, json!({ "key_concurrency": 3 })).await;
    let second = take(db, 10).await;
    assert_eq!(second.names(), ["a2", "a3"]);
    set(db, json!({ "key_concurrency": 1 })).await;
    end(db, None, &first.jobs[0], End::Done).await;
    assert!(take(db, 10).await.jobs.is_empty(), "two run still");
    end(db, None, &second.jobs[0], End::Done).await;
    end(db, None, &second.jobs[1], End::Done).await;
    assert_eq!(take(db, 10).await.names(), ["a4"]);
    // One key may be told apart from all others.
    sqlx::query("SELECT queue.set_limit('theatre', 'a', concurrency => 5)")
        .execute(db)
        .await
        .unwrap();
    assert_eq!(take(db, 10).await.names(), ["a5", "a6"]);
}

#[tokio::test]
async fn priorities_hold_among_the_jobs_of_a_key() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, [keyed("first", "a")]).await;
    let first = take(db, 10).await;
    push(
        db,
        [keyed("late", "a").priority(5), keyed("normal", "a"), keyed("urgent", "a").priority(-5)],
    )
    .await;
    assert!(take(db, 10).await.jobs.is_empty());
    end(db, None, &first.jobs[0], End::Done).await;
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["urgent", "normal", "late"]);
}

#[tokio::test]
async fn a_key_with_many_jobs_does_not_hide_those_behind_it() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let many = (0..5000).map(|n| keyed(&format!("a{n}"), "a"));
    push(db, many.chain([keyed("b", "b")])).await;
    assert_eq!(take(db, 2).await.names(), ["a0", "b"]);
}

/// The end of a job and the claim that lets another wait for it must not miss each other.
#[tokio::test]
async fn an_end_under_way_is_not_missed() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, [keyed("a1", "a")]).await;
    let first = take(db, 10).await;
    push(db, [keyed("a2", "a")]).await;
    // What an end does, in a transaction that stays open for a while.
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome) VALUES ($1, $2, now(), now(), 1, 'done')")
        .bind(first.jobs[0].job).bind(first.jobs[0].token).execute(&mut *tx).await.unwrap();
    sqlx::query("SELECT queue.pass_on('{theatre}', '{a}')").execute(&mut *tx).await.unwrap();
    let claim = tokio::spawn({
        let db = db.clone();
        async move { take(&db, 10).await.names().join(",") }
    });
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(db).await.unwrap() {
        assert!(!claim.is_finished(), "the claim should wait for the end");
        tokio::task::yield_now().await;
    }
    tx.commit().await.unwrap();
    assert_eq!(claim.await.unwrap(), "a2");
}

/// A claim may wait inside for longer than a push takes: what it takes then is younger than its statement.
#[tokio::test]
async fn a_job_that_is_pushed_while_a_claim_waits_is_not_lost() {
    const TAKE: &str = include_str!("../../../sql/take.sql");
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, [keyed("a1", "a")]).await;
    take(db, 10).await;
    push(db, [keyed("a2", "a")]).await;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("SELECT queue.share_gate('theatre')").execute(&mut *tx).await.unwrap();
    let claim = tokio::spawn({
        let db = db.clone();
        async move {
            sqlx::query(TAKE)
                .bind(None::<chrono::DateTime<chrono::Utc>>)
                .bind("theatre")
                .bind(10)
                .bind(10)
                .bind(0)
                .bind(10.0)
                .bind(vec![i16::MIN])
                .bind(vec![0i64])
                .bind(vec![i16::MAX])
                .bind(false)
                .bind(false)
                .fetch_all(&db)
                .await
                .unwrap()
                .len()
        }
    });
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(db).await.unwrap() {
        assert!(!claim.is_finished(), "the claim should wait");
        tokio::task::yield_now().await;
    }
    push(db, [job("young")]).await;
    tx.commit().await.unwrap();
    let leased = "SELECT cardinality(jobs) FROM queue.leases ORDER BY token DESC LIMIT 1";
    let (told, leased) = (
        claim.await.unwrap() - 1,
        async { sqlx::query_scalar::<_, i32>(leased).fetch_one(db).await.unwrap() }.await,
    );
    assert_eq!((told, leased), (1, 1), "told of as many as are leased");
}

/// Nothing should make it so. If something does, it shows, and no job is lost.
#[tokio::test]
async fn a_claim_that_does_not_tell_of_all_it_leased_starts_nothing() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let ids = push(db, [keyed("a", "a"), keyed("gone", "gone")]).await;
    let gone = "DELETE FROM queue.jobs WHERE id = $1";
    sqlx::query(gone).bind(ids[1]).execute(db).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert!(theatre.stage.order().is_empty());
    let open = "SELECT count(*) FROM queue.leases WHERE $1 = ANY (jobs)";
    let open: i64 = sqlx::query_scalar(open).bind(ids[1]).fetch_one(db).await.unwrap();
    assert_eq!(open, 1, "its lease runs out");
    assert_eq!(theatre.state(ids[0]).await, JobState::Ready);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(crate::support::outcomes(&theatre.view(ids[0]).await), ["released", "done"]);
}

#[tokio::test]
async fn workers_share_keys() {
    let theatre = Theatre::live().await;
    let db = &theatre.db.pool;
    let jobs = (0..300).map(|n| {
        let act = named(&format!("{:02}-{n:03}", n % 20), Script::Succeed);
        queue::Push::of(act).key(format!("key{}", n % 20))
    });
    let ids = push(db, jobs).await;
    let work = || {
        let fleet = Theatre::fleet(&theatre.db, &theatre.clock, &theatre.stage);
        fleet.start(crate::support::work(8))
    };
    let (one, other) = (work(), work());
    for id in ids {
        theatre.until(id, JobState::Done).await;
    }
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    let order = theatre.stage.order();
    assert_eq!(order.len(), 300);
    for key in 0..20 {
        let of_key: Vec<_> =
            order.iter().filter(|name| name.starts_with(&format!("{key:02}-"))).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}

#[tokio::test]
async fn a_key_tenant_or_weight_that_cannot_be_is_refused_by_name_and_holds_up_nobody() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    let pusher = queue::Pusher::new(db.clone());
    for (wrong, reason) in [
        (keyed("wrong", ""), "a key has 1 to 255 characters"),
        (keyed("wrong", "a\0"), "a key has 1 to 255 characters"),
        (job("wrong").tenant("t".repeat(256)), "a tenant has 1 to 255 characters"),
        (job("wrong").weight(0), "weight: 0 is not within 1 to 1000"),
    ] {
        let (refused, stored) = tokio::join!(pusher.push(wrong), pusher.push(keyed("right", "a")));
        assert_eq!(refused.unwrap_err().to_string(), reason);
        stored.unwrap();
    }
}

#[tokio::test]
async fn sql_gives_keys_too_under_either_name() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    theatre.fleet.declare().await.unwrap();
    for sql in [
        r#"SELECT queue.push('theatre.act', '{"name": "a1", "script": "Succeed"}', key => 'a')"#,
        r#"SELECT util.enqueue('theatre.act', '{"name": "a2", "script": "Succeed"}', ordering_key => 'a')"#,
    ] {
        sqlx::query(sql).execute(db).await.unwrap();
    }
    let first = take(db, 10).await;
    assert_eq!(first.names(), ["a1"]);
    end(db, None, &first.jobs[0], End::Dead).await;
    assert_eq!(take(db, 10).await.names(), ["a2"]);
}
