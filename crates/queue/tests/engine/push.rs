use std::time::Duration;

use queue::inspect::JobState;
use queue::{Error, Push, Trace, push, push_many};

use crate::support::{Act, Script, Theatre, named};

#[tokio::test]
async fn a_job_exists_if_and_only_if_the_transaction_that_pushed_it_committed() {
    let theatre = Theatre::open().await;
    let mut tx = theatre.db.begin().await.unwrap();
    let lost = push(&mut *tx, Act::default()).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = theatre.db.begin().await.unwrap();
    let kept = push(&mut *tx, Act::default()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(queue::inspect::job(&*theatre.db, lost.id).await.unwrap().is_none());
    assert_eq!(theatre.state(kept.id).await, JobState::Ready);
}

#[tokio::test]
async fn jobs_start_by_priority_and_then_in_the_order_they_were_pushed() {
    let theatre = Theatre::open().await;
    let late = Push::of(named("late", Script::Succeed)).priority(5);
    let early = Push::of(named("early", Script::Succeed)).priority(-5);
    let jobs = [
        late,
        named("first", Script::Succeed).into(),
        named("second", Script::Succeed).into(),
        early,
    ];
    push_many(&*theatre.db, jobs).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 4);
    assert_eq!(theatre.stage.order(), ["early", "first", "second", "late"]);
}

#[tokio::test]
async fn a_job_for_later_does_not_start_before_its_time() {
    let theatre = Theatre::live().await;
    let now = theatre.clock.now();
    let at = push(&*theatre.db, Push::of(Act::default()).run_at(now + Duration::from_secs(3600)));
    let at = at.await.unwrap();
    let after = push(&*theatre.db, Push::of(Act::default()).delay(Duration::from_secs(3600)));
    let after = after.await.unwrap();
    let past = push(&*theatre.db, Push::of(Act::default()).run_at(now - Duration::from_secs(3600)));
    let past = past.await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(theatre.state(at.id).await, JobState::Scheduled);
    assert_eq!(theatre.state(after.id).await, JobState::Scheduled);
    assert_eq!(theatre.state(past.id).await, JobState::Done);
    sqlx::query("UPDATE queue.scheduled SET run_at = now()").execute(&*theatre.db).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_nothing_of_the_batch_is_kept() {
    let theatre = Theatre::open().await;
    let good = || Push::of(Act::default());
    let large = named(&"x".repeat(300 * 1024), Script::Succeed);
    let error = push_many(&*theatre.db, [good(), large.into()]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 262_144, .. }), "{error}");
    let zero = named("zero\0byte", Script::Succeed);
    let error = push_many(&*theatre.db, [good(), zero.into()]).await.unwrap_err();
    assert!(matches!(error, Error::BadArgs(_)), "{error}");
    let error = push_many(&*theatre.db, [good(), good().priority(101)]).await.unwrap_err();
    assert!(error.to_string().contains("ck_jobs_priority"), "{error}");
    let error = push_many(&*theatre.db, [good(), good().max_attempts(0)]).await.unwrap_err();
    assert!(error.to_string().contains("ck_jobs_max_attempts"), "{error}");
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_run_belongs_to_the_trace_of_whoever_pushed_it() {
    let theatre = Theatre::open().await;
    let trace = Trace::new();
    let pushed = trace.clone().scope(push(&*theatre.db, named("traced", Script::Succeed))).await;
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.saw("traced")[0].trace_id, Some(trace.id()));
    assert_eq!(theatre.view(pushed.unwrap().id).await.trace_id, Some(trace.id()));
}

#[tokio::test]
async fn kinds_and_arguments_from_outside_are_checked_before_they_are_stored() {
    let theatre = Theatre::open().await;
    let kinds = theatre.fleet.kinds();
    let unknown = kinds.prepare("theatre.sing", serde_json::json!({})).unwrap_err().to_string();
    assert_eq!(unknown, "unknown kind \"theatre.sing\"; known kinds: theatre.act, theatre.wait");
    let bad = kinds.prepare("theatre.wait", serde_json::json!({"heed": true})).unwrap_err();
    assert!(bad.to_string().contains("missing field `heeds`"), "{bad}");
    let good = kinds.prepare("theatre.act", serde_json::json!({"name": "a", "script": "Fail"}));
    push(&*theatre.db, good.unwrap()).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("failed"), 1);
}
