//! What large graphs cost. The ignored ones measure, and are for an otherwise idle machine.

use std::time::{Duration, Instant};

use queue::inspect::JobState;
use queue::{Batch, Workflow, push_workflow};

use super::{leftovers, ok};
use crate::support::{Act, Theatre};

const CHILDREN: usize = 10_000;
/// What is promised of a parent, and of a large workflow.
const MAX_WAIT_MILLIS: f64 = 500.0;
const MAX_STORE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn ten_thousand_children_start_their_parent_once() {
    run_parent_of_many(&Theatre::live().await).await;
}

#[tokio::test]
#[ignore = "has a bound in time and wants the machine for itself: run with --ignored --test-threads 1"]
async fn ten_thousand_children_start_their_parent_under_an_old_snapshot() {
    let theatre = Theatre::live().await;
    let mut pin = theatre.db.begin().await.unwrap();
    let look = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM queue.jobs";
    sqlx::raw_sql(look).execute(&mut *pin).await.unwrap();
    let first = run_parent_of_many(&theatre).await;
    // Once more, behind all the dead rows.
    let second = run_parent_of_many(&theatre).await;
    assert!(first.max(second) <= MAX_WAIT_MILLIS, "{first} and {second} ms");
    pin.rollback().await.unwrap();
}

/// Returns how many milliseconds after its last child the parent has started.
async fn run_parent_of_many(theatre: &Theatre) -> f64 {
    let start = Instant::now();
    let pushed = parent_of_many(theatre).await;
    let working = theatre.fleet.start(crate::support::work(50));
    let limit = Instant::now() + Duration::from_secs(120);
    while theatre.state(pushed.jobs["on_success"]).await != JobState::Done {
        assert!(Instant::now() < limit, "still not done");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    working.stop().await.unwrap();
    let parents: Vec<_> = theatre.stage.saw("parent").iter().map(|seen| seen.job).collect();
    assert_eq!(parents.iter().filter(|&&job| job == pushed.jobs["on_success"]).count(), 1);
    assert_eq!(leftovers(theatre).await, 0);
    let gap = "SELECT extract(epoch FROM p.started_at - c.ended_at)::float8 * 1000
        FROM (SELECT max(r.ended_at) AS ended_at FROM queue.runs r WHERE r.job < $1) c
        CROSS JOIN queue.runs p WHERE p.job = $1";
    let parent = pushed.jobs["on_success"];
    let millis: f64 = sqlx::query_scalar(gap).bind(parent).fetch_one(&*theatre.db).await.unwrap();
    println!(
        "the parent of {CHILDREN} started {millis:.1} ms after the last had ended, {:?} after the first was pushed",
        start.elapsed()
    );
    millis
}

async fn parent_of_many(theatre: &Theatre) -> queue::PushedWorkflow {
    let children = (0..CHILDREN).map(|_| Act::default());
    let batch = Batch::new(children).on_success(ok("parent"));
    push_workflow(&*theatre.db, batch).await.unwrap()
}

#[tokio::test]
#[ignore = "has a bound in time and wants the machine for itself: run with --ignored --test-threads 1"]
async fn a_hundred_thousand_nodes_are_stored_in_seconds() {
    const LAYERS: usize = 100;
    const WIDTH: usize = 1000;
    let theatre = Theatre::live().await;
    let mut workflow = Workflow::named("large");
    for layer in 0..LAYERS {
        for n in 0..WIDTH {
            workflow = workflow.add(format!("{layer}.{n}"), Act::default());
            if layer > 0 {
                let above = [n, (n + 1) % WIDTH].map(|n| format!("{}.{n}", layer - 1));
                workflow = workflow.after(above);
            }
        }
    }
    let start = Instant::now();
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    let stored = start.elapsed();
    println!("{} nodes with two needs each: {stored:?}", pushed.jobs.len());
    assert!(stored <= MAX_STORE, "{stored:?}");
    let start = Instant::now();
    queue::cancel(&theatre.db, pushed.jobs["0.0"], "test").await.unwrap();
    sqlx::query("SELECT queue.settle()").execute(&*theatre.db).await.unwrap();
    println!("one of the first cancelled, and what needs it: {:?}", start.elapsed());
    let start = Instant::now();
    let jobs = queue::retry_workflow(&theatre.db, pushed.id, "test").await.unwrap();
    println!("{jobs} tried again: {:?}", start.elapsed());
    let start = Instant::now();
    let nodes = queue::cancel_workflow(&theatre.db, pushed.id, "test").await.unwrap();
    println!("{nodes} cancelled: {:?}", start.elapsed());
}
