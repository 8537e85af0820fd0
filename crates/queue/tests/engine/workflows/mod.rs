//! Jobs that wait for others: what starts, what is cancelled, and what comes again.

mod batches;
mod chaos;
mod fan_out;
mod operate;
mod signals;
mod speed;
mod sql;

use std::time::Duration;

use queue::inspect::{JobState, NodeSort, NodeView, WorkflowView};
use queue::{Error, Push, PushedWorkflow, Unique, Workflow, inspect, push_workflow};
use sqlx::Executor;
use uuid::Uuid;

use crate::support::{Script, Theatre, named};

async fn view(theatre: &Theatre, id: Uuid) -> WorkflowView {
    inspect::workflow(&theatre.db, id).await.unwrap().expect("the workflow exists")
}

async fn node(theatre: &Theatre, id: Uuid, name: &str) -> NodeView {
    let view = view(theatre, id).await;
    view.nodes.into_iter().find(|node| node.name == name).expect("the node exists")
}

async fn state(theatre: &Theatre, workflow: &PushedWorkflow, name: &str) -> JobState {
    node(theatre, workflow.id, name).await.state
}

/// Rows that are only there while somebody waits.
async fn leftovers(theatre: &Theatre) -> i64 {
    let count =
        "SELECT (SELECT count(*) FROM queue.blocked) + (SELECT count(*) FROM queue.dependencies)
        + (SELECT count(*) FROM queue.unsettled)";
    sqlx::query_scalar(count).fetch_one(&*theatre.db).await.unwrap()
}

fn ok(name: &str) -> Push {
    named(name, Script::Succeed).into()
}

fn bad(name: &str) -> Push {
    Push::from(named(name, Script::Fail)).max_attempts(1)
}

#[tokio::test]
async fn a_job_starts_when_all_that_it_needs_is_done() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("diamond")
        .add("end", ok("end"))
        .after(["left", "right"])
        .add("left", ok("left"))
        .after(["start"])
        .add("right", ok("right"))
        .after(["start"])
        .add("start", ok("start"));
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    assert_eq!(theatre.state(pushed.jobs["end"]).await, JobState::Waiting);
    assert_eq!(state(&theatre, &pushed, "left").await, JobState::Waiting);
    assert_eq!(state(&theatre, &pushed, "start").await, JobState::Ready);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 4);
    let order = theatre.stage.order();
    assert_eq!((order[0].as_str(), order[3].as_str()), ("start", "end"));
    let end = node(&theatre, pushed.id, "end").await;
    let needs: Vec<_> = end.needs.iter().map(|need| need.name.as_str()).collect();
    assert_eq!(
        (end.state, end.sort, needs),
        (JobState::Done, NodeSort::Job, vec!["left", "right"])
    );
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_workflow_exists_if_and_only_if_its_transaction_committed() {
    let theatre = Theatre::open().await;
    let workflow = || Workflow::named("w").add("a", ok("a")).add("b", ok("b")).after(["a"]);
    let mut tx = theatre.db.begin().await.unwrap();
    push_workflow(&mut *tx, workflow()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
    let mut tx = theatre.db.begin().await.unwrap();
    push_workflow(&mut *tx, workflow()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn a_failure_cancels_all_that_needs_it_and_nothing_else() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", bad("a"))
        .add("b", ok("b"))
        .after(["a"])
        .add("c", ok("c"))
        .after(["b"])
        .add("other", ok("other"))
        .add("after other", ok("after other"))
        .after(["other"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let drained = theatre.fleet.drain().await.unwrap();
    assert_eq!((drained.of("dead"), drained.of("done")), (1, 2));
    let (b, c) = (node(&theatre, pushed.id, "b").await, node(&theatre, pushed.id, "c").await);
    assert_eq!((b.state, b.note.as_deref()), (JobState::Cancelled, Some("needs a")));
    assert_eq!((c.state, c.note.as_deref()), (JobState::Cancelled, Some("needs b")));
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_failed_attempt_is_no_end_and_its_dependants_go_on_waiting() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", named("a", Script::FailTimes(1)))
        .add("b", ok("b"))
        .after(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("failed"), 1);
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Waiting);
    theatre.clock.advance(Duration::from_secs(60));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn whoever_continues_after_an_end_starts_whatever_came() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w")
        .add("a", bad("a"))
        .add("b", ok("b"))
        .after(["a"])
        // A cancelled one is an end too.
        .add("report", ok("report"))
        .after_end_of(["a", "b"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "report").await, JobState::Done);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_compensation_runs_if_one_of_those_it_watches_fails_and_is_cancelled_otherwise() {
    let theatre = Theatre::open().await;
    let workflow = |last: Push| {
        Workflow::named("saga")
            .add("book", ok("book"))
            .add("pay", last)
            .after(["book"])
            .add("ship", ok("ship"))
            .after(["pay"])
            .add("refund", ok("refund"))
            .after(["book"])
            .after_failure_of(["pay", "ship"])
            .add("apologise", ok("apologise"))
            .after(["refund"])
            .add("close", ok("close"))
            .after_end_of(["ship", "apologise"])
    };
    let failed = push_workflow(&*theatre.db, workflow(bad("pay"))).await.unwrap();
    let fine = push_workflow(&*theatre.db, workflow(ok("pay"))).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    for (name, when_failed, when_fine) in [
        ("ship", JobState::Cancelled, JobState::Done),
        ("refund", JobState::Done, JobState::Cancelled),
        ("apologise", JobState::Done, JobState::Cancelled),
        ("close", JobState::Done, JobState::Done),
    ] {
        assert_eq!(state(&theatre, &failed, name).await, when_failed, "{name}, when one failed");
        assert_eq!(state(&theatre, &fine, name).await, when_fine, "{name}, when none did");
    }
    let apology = node(&theatre, fine.id, "apologise").await;
    assert_eq!(apology.note.as_deref(), Some("not needed"));
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn options_of_a_push_are_kept_and_a_delay_counts_from_what_was_needed() {
    let theatre = Theatre::open().await;
    let hour = Duration::from_secs(3600);
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b").delay(hour).priority(7));
    let workflow = workflow.after(["a"]).add("late", ok("late").delay(hour));
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    assert_eq!(state(&theatre, &pushed, "late").await, JobState::Scheduled);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    let b = theatre.view(pushed.jobs["b"]).await;
    assert_eq!(
        (b.state, b.priority, b.run_at),
        (JobState::Scheduled, 7, Some(theatre.clock.now() + hour))
    );
    theatre.clock.advance(hour);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
}

#[tokio::test]
async fn what_starts_has_its_key_and_tenant_and_a_full_queue_refuses_what_would_start_at_once() {
    let theatre = Theatre::open().await;
    let rules = "INSERT INTO queue.queues (name, fair, max_backlog) VALUES ('theatre', true, 2)";
    theatre.db.execute(rules).await.unwrap();
    let workflow = |roots: usize| {
        let roots: Vec<_> = (0..roots).map(|root| root.to_string()).collect();
        let mut workflow = Workflow::named("w");
        for root in &roots {
            workflow = workflow.add(root, ok("root"));
        }
        workflow.add("last", ok("last").key("k").tenant("t")).after(roots)
    };
    let refused = push_workflow(&*theatre.db, workflow(3)).await.unwrap_err();
    assert!(matches!(refused, Error::Full(_)), "{refused:?}");
    let pushed = push_workflow(&*theatre.db, workflow(1)).await.unwrap();
    finish(&*theatre.db, pushed.jobs["0"]).await;
    theatre.db.execute("SELECT queue.settle()").await.unwrap();
    let ready = "SELECT key, tenant FROM queue.ready";
    let ready: (String, String) = sqlx::query_as(ready).fetch_one(&*theatre.db).await.unwrap();
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("k", "t"));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_nothing_is_kept() {
    let theatre = Theatre::open().await;
    let one = || Workflow::named("w").add("a", ok("a"));
    for (workflow, reason) in [
        (
            one().add("b", ok("b")).after(["c"]).add("c", ok("c")).after(["b"]),
            "needs itself through others",
        ),
        (one().after(["a"]), "a needs itself through others"),
        (one().add("b", ok("b")).after(["nobody"]), "b needs nobody, which is no node"),
        (one().add("b", ok("b")).after(["a"]).after_end_of(["a"]), "b needs a, and says so twice"),
        (one().add("a", ok("b")), "two nodes are named a"),
        (one().add("b", ok("b").unique(Unique::args())), "unique key"),
        (one().signal("s").after(["a"]), "s is no job"),
        (one().or_after(Duration::ZERO), "only a signal has a deadline"),
        (Workflow::named("w").signal("s"), "it has no job"),
        (one().add("", ok("b")), "1 to 120 characters"),
    ] {
        let error = push_workflow(&*theatre.db, workflow).await.unwrap_err();
        assert!(matches!(error, Error::BadWorkflow { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}, and not {reason}");
    }
    let jobs = "SELECT count(*) FROM queue.jobs";
    assert_eq!(sqlx::query_scalar::<_, i64>(jobs).fetch_one(&*theatre.db).await.unwrap(), 0);
}

/// Finishes a running job as a worker does, without telling anybody.
async fn finish(executor: impl Executor<'_, Database = sqlx::Postgres>, job: Uuid) {
    let finish = "WITH over AS (
            INSERT INTO queue.runs (job, token, started_at, ended_at, worker, attempt, outcome)
            VALUES ($1, nextval('queue.leases_token_seq'), now(), now(), 1, 1, 'done')
        ), gone AS (
            DELETE FROM queue.ready WHERE job = $1
        )
        INSERT INTO queue.unsettled (nodes) VALUES (ARRAY[$1])";
    executor.execute(sqlx::query(finish).bind(job)).await.unwrap();
}

#[tokio::test]
async fn whoever_dies_between_an_end_and_its_telling_is_replaced_by_the_next_who_looks() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b")).after(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    finish(&*theatre.db, pushed.jobs["a"]).await;
    // Settling that does not commit leaves everything as it was.
    let mut tx = theatre.db.begin().await.unwrap();
    tx.execute("SELECT queue.settle()").await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Waiting);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(theatre.stage.order(), ["b"]);
}

#[tokio::test]
async fn an_end_that_commits_long_after_others_is_found_by_a_sweep() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b")).after(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    finish(&*theatre.db, pushed.jobs["a"]).await;
    let others = "INSERT INTO queue.unsettled (nodes)
        SELECT ARRAY[gen_random_uuid()] FROM generate_series(1, 3000)";
    theatre.db.execute(others).await.unwrap();
    theatre.db.execute("SELECT queue.settle(sweeps => false, max_batches => 3000)").await.unwrap();
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Waiting);
    theatre.db.execute("SELECT queue.settle(max_batches => 3000)").await.unwrap();
    assert_eq!(state(&theatre, &pushed, "b").await, JobState::Ready);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn the_last_two_that_end_at_the_same_time_start_what_waits_for_both_once() {
    let theatre = Theatre::open().await;
    for settle_first in [true, false] {
        let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b"));
        let workflow = workflow.add("last", ok("last")).after(["a", "b"]);
        let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
        // Both have ended before either is told of; both are told of before either commits.
        finish(&*theatre.db, pushed.jobs["a"]).await;
        let mut one = theatre.db.begin().await.unwrap();
        if settle_first {
            one.execute("SELECT queue.settle()").await.unwrap();
        }
        finish(&*theatre.db, pushed.jobs["b"]).await;
        let mut other = theatre.db.begin().await.unwrap();
        other.execute("SELECT queue.settle()").await.unwrap();
        if !settle_first {
            one.execute("SELECT queue.settle()").await.unwrap();
        }
        other.commit().await.unwrap();
        assert_eq!(state(&theatre, &pushed, "last").await, JobState::Ready);
        one.commit().await.unwrap();
        assert_eq!(state(&theatre, &pushed, "last").await, JobState::Ready);
        assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    }
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_failure_and_what_else_was_needed_may_come_at_the_same_time() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", bad("b"));
    let workflow = workflow.add("mend", ok("mend")).after(["a"]).after_failure_of(["b"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    // The failure is settled first, and does not see that the other has ended.
    queue::cancel(&theatre.db, pushed.jobs["b"], "test").await.unwrap();
    let mut one = theatre.db.begin().await.unwrap();
    one.execute("SELECT queue.settle()").await.unwrap();
    finish(&*theatre.db, pushed.jobs["a"]).await;
    theatre.db.execute("SELECT queue.settle()").await.unwrap();
    one.commit().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "mend").await, JobState::Ready);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn jobs_of_a_workflow_that_wait_are_listed_counted_and_kept() {
    let theatre = Theatre::open().await;
    let workflow = Workflow::named("w").add("a", ok("a")).add("b", ok("b")).after(["a"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let filter =
        inspect::Filter { state: Some(JobState::Waiting), limit: 10, ..Default::default() };
    let waiting = inspect::jobs(&*theatre.db, &filter).await.unwrap();
    assert_eq!(waiting.iter().map(|line| line.id).collect::<Vec<_>>(), [pushed.jobs["b"]]);
    let all = inspect::Filter { limit: 10, ..Default::default() };
    let all = inspect::jobs(&*theatre.db, &all).await.unwrap();
    assert!(all.iter().any(|line| line.state == JobState::Waiting), "{all:?}");
    let queues = inspect::queues(&*theatre.db).await.unwrap();
    assert_eq!((queues[0].waiting, queues[0].ready), (1, 1));
    let state = "SELECT state FROM queue.status($1)";
    let state: String =
        sqlx::query_scalar(state).bind(pushed.jobs["b"]).fetch_one(&*theatre.db).await.unwrap();
    assert_eq!(state, "waiting");
    // Retention counts from the end of a job, and this one has none.
    let later = queue::Clock::fixed(queue::Clock::system().now() + Duration::from_secs(90 * 86400));
    let month = Duration::from_secs(30 * 86400);
    queue::history::drop_older(&theatre.db, &later, month).await.unwrap();
    assert_eq!(theatre.state(pushed.jobs["b"]).await, JobState::Waiting);
    theatre.fleet.drain().await.unwrap();
    queue::history::drop_older(&theatre.db, &later, month).await.unwrap();
    assert!(inspect::workflow(&theatre.db, pushed.id).await.unwrap().is_none());
    let nodes = "SELECT count(*) FROM queue.nodes";
    assert_eq!(sqlx::query_scalar::<_, i64>(nodes).fetch_one(&*theatre.db).await.unwrap(), 0);
}
