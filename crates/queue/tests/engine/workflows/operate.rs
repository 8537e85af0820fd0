use queue::inspect::{self, JobState};
use queue::{
    Error, Signalled, Workflow, cancel, cancel_workflow, push_workflow, retry_workflow, signal,
};
use sqlx::Executor;
use uuid::Uuid;

use super::{bad, leftovers, node, ok, state, view};
use crate::support::{Script, Theatre, named, outcomes};

#[tokio::test]
async fn a_cancelled_member_cancels_what_needs_it() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b")).after(["a"]);
    let workflow = workflow.add("c", ok("c")).after(["b"]).add("d", ok("d")).after_end_of(["c"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    // One that waits can be cancelled too.
    cancel(&theatre.db, pushed.jobs["b"], "ada").await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["a", "d"]);
    let b = node(&theatre, pushed.id, "b").await;
    assert_eq!((b.state, b.note.as_deref()), (JobState::Cancelled, Some("ada")));
    assert_eq!(state(&theatre, &pushed, "c").await, JobState::Cancelled);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_cancelled_workflow_starts_nothing_more_and_can_be_tried_again() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", ok("a"))
        .add("keyed", ok("keyed").key("k"))
        .signal("go")
        .add("b", ok("b"))
        .after(["a", "go"])
        .add("watch", ok("watch"))
        .after_failure_of(["a"])
        .add("c", ok("c"))
        .after_end_of(["b"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    assert_eq!(cancel_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 6);
    assert_eq!(cancel_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 0);
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
    let cancelled = view(&theatre, pushed.id).await;
    assert!(cancelled.cancelled_at.is_some());
    assert!(cancelled.nodes.iter().all(|node| node.state == JobState::Cancelled), "{cancelled:?}");
    let late = signal(&*theatre.db, pushed.id, "go", &()).await.unwrap();
    assert_eq!(late, Signalled::TooLate);
    assert_eq!(leftovers(&theatre).await, 0);

    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 5);
    assert!(view(&theatre, pushed.id).await.cancelled_at.is_none());
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
    assert_eq!(signal(&*theatre.db, pushed.id, "go", &()).await.unwrap(), Signalled::Given);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
    assert_eq!(state(&theatre, &pushed, "watch").await, JobState::Cancelled);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_running_member_of_a_cancelled_workflow_is_asked_to_stop() {
    let theatre = Theatre::live().await;
    let workflow = Workflow::named("w")
        .add("a", crate::support::Wait { heeds: true })
        .add("b", ok("b"))
        .after(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let working = theatre.fleet.start(crate::support::work(2));
    theatre.until(pushed.jobs["a"], JobState::Running).await;
    assert_eq!(cancel_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 2);
    theatre.until(pushed.jobs["a"], JobState::Cancelled).await;
    theatre.until(pushed.jobs["b"], JobState::Cancelled).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_retry_goes_on_from_the_failed_step() {
    let theatre = Theatre::open().await;
    let failing = queue::Push::from(named("pay", Script::FailTimes(1))).max_attempts(1);
    let workflow = Workflow::named("w")
        .add("book", ok("book"))
        .add("pay", failing)
        .after(["book"])
        .add("ship", ok("ship"))
        .after(["pay"])
        .add("alarm", ok("alarm"))
        .after_failure_of(["pay"])
        .add("settle", ok("settle"))
        .after(["ship"])
        .add("unused", ok("unused"))
        .after_failure_of(["book", "settle"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["book", "pay", "alarm", "unused"]);
    // The alarm is done and stays so; `unused` ran because `settle` was cancelled.
    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 3);
    assert_eq!(state(&theatre, &pushed, "pay").await, JobState::Ready);
    assert_eq!(state(&theatre, &pushed, "ship").await, JobState::Waiting);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 3);
    assert_eq!(theatre.stage.order()[4..], ["pay", "ship", "settle"]);
    let pay = inspect::job(&*theatre.db, pushed.jobs["pay"]).await.unwrap().unwrap();
    assert_eq!(outcomes(&pay), ["dead", "retried", "done"]);
    assert_eq!(leftovers(&theatre).await, 0);
    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_not_needed_is_looked_at_again_when_a_retry_may_need_it() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", ok("a"))
        .add("b", ok("b"))
        .after(["a"])
        .add("mend", ok("mend"))
        .after_failure_of(["b"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    cancel(&theatre.db, pushed.jobs["a"], "ada").await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["mend"]);
    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 2);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["mend", "a", "b"]);
    // Nothing failed: nothing to try again, and `mend` has run.
    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 0);
}

#[tokio::test]
async fn a_need_that_ends_while_its_workflow_is_tried_again_is_heard_of() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b"));
    let workflow = workflow.add("c", ok("c")).after(["a", "b"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    cancel(&theatre.db, pushed.jobs["c"], "ada").await.unwrap();
    let mut tx = theatre.db.begin().await.unwrap();
    tx.execute(sqlx::query("SELECT queue.retry_workflow($1)").bind(pushed.id)).await.unwrap();
    // Nobody can see yet that it is needed.
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
    tx.commit().await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_member_that_is_lost_for_good_is_an_end_like_others() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a").max_attempts(1));
    let workflow =
        workflow.add("b", ok("b")).after(["a"]).add("c", ok("c")).after_failure_of(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let lost = "WITH taken AS (DELETE FROM queue.ready RETURNING *)
        INSERT INTO queue.leases (worker, jobs, attempts, max_attempts, leased_at, expires_at)
        SELECT 1, ARRAY[job], ARRAY[attempt], ARRAY[max_attempts], '2020-01-01', '2020-01-02' FROM taken";
    theatre.db.execute(lost).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "a").await, JobState::Dead);
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Cancelled);
    assert_eq!(state(&theatre, &pushed, "c").await, JobState::Done);
}

#[tokio::test]
async fn what_a_retry_finds_dropped_had_ended_as_it_was_to() {
    let theatre = Theatre::open().await;
    let failing = |name: &str| queue::Push::from(named(name, Script::FailTimes(1))).max_attempts(1);
    let workflow = Workflow::named("w")
        .add("a", ok("a"))
        .add("b", failing("b"))
        .after(["a"])
        .add("c", ok("c"))
        .after(["a", "b"])
        .add("x", failing("x"))
        .add("y", ok("y"))
        .after(["x"])
        .add("z", ok("z"))
        .after(["c", "y"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    // As of jobs whose days have gone, one by one or with those that others keep.
    let (a, x) = (pushed.jobs["a"], pushed.jobs["x"]);
    for drop in [
        "DELETE FROM queue.runs WHERE job IN ($1, $2)",
        "DELETE FROM queue.jobs WHERE id = $1 AND id <> $2",
    ] {
        sqlx::query(drop).bind(a).bind(x).execute(&*theatre.db).await.unwrap();
    }
    assert_eq!(cancel_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 0);
    assert_eq!(retry_workflow(&theatre.db, pushed.id, "ada").await.unwrap(), 2);
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Ready);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "c").await, JobState::Done);
    // Nobody can try `x` again, so these can never come.
    assert_eq!(state(&theatre, &pushed, "y").await, JobState::Cancelled);
    assert_eq!(state(&theatre, &pushed, "z").await, JobState::Cancelled);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_cancellation_that_is_rolled_back_keeps_nobody_from_starting() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", ok("a"))
        .add("fails", bad("fails"))
        .add("starts", ok("starts"))
        .after(["a"])
        .add("mends", ok("mends"))
        .after_failure_of(["fails"])
        .add("cancelled", ok("cancelled"))
        .after(["a", "fails"])
        .add("idle", ok("idle"))
        .after_failure_of(["a"])
        .add("behind", ok("behind"))
        .after(["cancelled"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let mut tx = theatre.db.begin().await.unwrap();
    for name in ["starts", "mends", "cancelled", "idle"] {
        let cancel = sqlx::query("SELECT queue.cancel($1)").bind(pushed.jobs[name]);
        tx.execute(cancel).await.unwrap();
    }
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["a", "fails"]);
    tx.rollback().await.unwrap();
    theatre.fleet.drain().await.unwrap();
    let mut order = theatre.stage.order();
    order.sort();
    assert_eq!(order, ["a", "fails", "mends", "starts"]);
    for name in ["cancelled", "idle", "behind"] {
        assert_eq!(state(&theatre, &pushed, name).await, JobState::Cancelled, "{name}");
    }
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_workflow_that_nobody_knows_is_an_error() {
    let theatre = Theatre::open().await;
    let error = cancel_workflow(&theatre.db, Uuid::now_v7(), "ada").await.unwrap_err();
    assert!(matches!(error, Error::NoWorkflow(_)), "{error:?}");
    let error = retry_workflow(&theatre.db, Uuid::now_v7(), "ada").await.unwrap_err();
    assert!(matches!(error, Error::NoWorkflow(_)), "{error:?}");
}
