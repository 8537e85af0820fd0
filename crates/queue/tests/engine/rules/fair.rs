//! Tenants take turns.

use serde_json::json;
use uuid::Uuid;

use super::stage::{job, push, set, take};
use crate::support::Theatre;

fn of(tenant: &str, n: usize) -> queue::Push {
    job(&format!("{tenant}{n}")).tenant(tenant)
}

#[tokio::test]
async fn tenants_take_turns_whoever_came_first() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    push(db, (0..100).map(|n| of("a", n)).chain((0..3).map(|n| of("b", n)))).await;
    assert_eq!(take(db, 8).await.names(), ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "a4"]);
}

#[tokio::test]
async fn turns_go_on_where_the_last_claim_ended() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    sqlx::query("SELECT queue.set_share('theatre', 'b', 2)").execute(db).await.unwrap();
    push(db, ["a", "b", "c"].into_iter().flat_map(|tenant| (0..9).map(move |n| of(tenant, n))))
        .await;
    let mut order = Vec::new();
    for free in [1, 1, 1, 1, 3, 2, 1, 2] {
        order.extend(take(db, free).await.jobs.into_iter().map(|job| job.name));
    }
    assert_eq!(order, ["a0", "b0", "b1", "c0", "a1", "b2", "b3", "c1", "a2", "b4", "b5", "c2"]);
}

#[tokio::test]
async fn a_claim_that_goes_round_takes_no_job_twice() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    let jobs =
        ["a", "b", "c", "d"].into_iter().flat_map(|tenant| (0..50).map(move |n| of(tenant, n)));
    push(db, jobs).await;
    // The second begins in the middle of the tenants.
    assert_eq!(take(db, 2).await.names(), ["a0", "b0"]);
    let rest = take(db, 500).await;
    let mut names = rest.names();
    names.sort_unstable();
    names.dedup();
    assert_eq!((rest.jobs.len(), names.len()), (198, 198));
}

#[tokio::test]
async fn weights_are_heeded_from_the_next_claim_on() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    push(db, ["a", "b", "c"].into_iter().flat_map(|tenant| (0..700).map(move |n| of(tenant, n))))
        .await;
    assert_eq!(shares(&take(db, 300).await.jobs), [100, 100, 100]);
    for (tenant, weight) in [("a", 1), ("b", 2), ("c", 4)] {
        sqlx::query("SELECT queue.set_share('theatre', $1, $2)")
            .bind(tenant)
            .bind(weight)
            .execute(db)
            .await
            .unwrap();
    }
    assert_eq!(shares(&take(db, 700).await.jobs), [100, 200, 400]);
}

fn shares(jobs: &[super::stage::Claimed]) -> [usize; 3] {
    ["a", "b", "c"].map(|tenant| jobs.iter().filter(|job| job.tenant == tenant).count())
}

#[tokio::test]
async fn an_owner_is_a_tenant_and_whoever_has_none_is_one() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    let owner = Uuid::from_u128(7);
    push(
        db,
        (0..3)
            .map(|n| job(&format!("owned{n}")).owner(owner))
            .chain((0..3).map(|n| job(&format!("free{n}")))),
    )
    .await;
    let taken = take(db, 4).await;
    assert_eq!(taken.names(), ["free0", "owned0", "free1", "owned1"]);
    // One at a time, without an array, goes another way.
    queue::push(db, job("owned3").owner(owner)).await.unwrap();
    assert_eq!(take(db, 9).await.names(), ["free2", "owned2", "owned3"]);
}

#[tokio::test]
async fn priorities_hold_within_a_tenant() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    push(db, [of("a", 0), of("a", 1).priority(-5), of("b", 0)]).await;
    assert_eq!(take(db, 9).await.names(), ["a1", "b0", "a0"]);
}

#[tokio::test]
async fn a_queue_can_become_fair_and_stop_being_so() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    push(db, (0..4).map(|n| of("a", n)).chain((0..4).map(|n| of("b", n)))).await;
    set(db, json!({ "fair": true })).await;
    assert_eq!(take(db, 4).await.names(), ["a0", "b0", "a1", "b1"]);
    set(db, json!({ "fair": false })).await;
    assert_eq!(take(db, 4).await.turn, "unruled");
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["a2", "a3", "b2", "b3"]);
}

#[tokio::test]
async fn thousands_of_tenants_have_one_turn_each() {
    let theatre = Theatre::open().await;
    let db = &theatre.db.pool;
    set(db, json!({ "fair": true })).await;
    push(db, (0..3000).flat_map(|t| (0..2).map(move |n| of(&format!("t{t:04}-"), n)))).await;
    let (one, other) = (take(db, 2000).await, take(db, 2000).await);
    let mut names: Vec<_> = one.names();
    names.extend(other.names());
    assert_eq!(names.iter().filter(|name| name.ends_with("-0")).count(), 3000);
    assert_eq!(names.len(), 4000);
}
