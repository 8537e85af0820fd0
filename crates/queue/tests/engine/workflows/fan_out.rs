use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use queue::inspect::{self, JobState};
use queue::{
    Clock, Error, FanOut, FannedOut, Fleet, Job, Outcome, Push, Retry, Run, Workflow,
    cancel_workflow, push, push_workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{MIGRATOR, START};

/// Does what it says, and its output is its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum What {
    Say(i64),
    Fail,
    Sum,
    Map(Vec<i64>),
    MapThenFail,
    MapAndFinish,
    MapInALostLease,
    MapInACancelledWorkflow,
    Try(Vec<i64>),
    MapOverAFlaw,
    FailFirst,
}

impl Job for Task {
    const KIND: &'static str = "tasks.task";
    const RETRY: Retry = Retry { attempts: 2, ..Retry::NONE };
}

fn task(what: What) -> Push {
    Push::from(Task { what })
}

type Inputs = BTreeMap<String, Option<Value>>;

#[derive(Clone)]
struct Cx {
    pool: PgPool,
    seen: Arc<Mutex<Vec<Inputs>>>,
    fans: Arc<Mutex<Vec<FannedOut>>>,
}

async fn run(job: Task, cx: Cx, run: Run) -> anyhow::Result<Outcome> {
    let map = |numbers: &[i64]| {
        FanOut::then(numbers.iter().map(|n| task(What::Say(*n))), task(What::Sum))
    };
    match job.what {
        What::Say(number) => run.output(&number)?,
        What::Fail => return Ok(Outcome::Discard("on purpose".into())),
        What::Sum => {
            let inputs = run.inputs().await?;
            run.output(&inputs.values().flatten().filter_map(Value::as_i64).sum::<i64>())?;
            cx.seen.lock().unwrap().push(inputs);
        }
        What::Map(numbers) => {
            let fan = run.fan_out(map(&numbers)).await?;
            cx.fans.lock().unwrap().push(fan);
        }
        What::MapThenFail => {
            let fan = run.fan_out(map(&[1, 2])).await?;
            cx.fans.lock().unwrap().push(fan);
            anyhow::ensure!(run.attempt() > 1, "the first attempt fails");
        }
        What::MapAndFinish => {
            let mut tx = cx.pool.begin().await?;
            run.fan_out_in(&mut tx, map(&[1, 2])).await?;
            run.finish_in(&mut tx, Outcome::Done).await?;
            tx.commit().await?;
        }
        What::MapInALostLease => {
            sqlx::query("DELETE FROM queue.leases").execute(&cx.pool).await?;
            let lost = run.fan_out(map(&[1, 2])).await;
            assert!(matches!(lost, Err(Error::LeaseLost)), "{lost:?}");
            let mut tx = cx.pool.begin().await?;
            let lost = run.fan_out_in(&mut tx, map(&[1, 2])).await;
            assert!(matches!(lost, Err(Error::LeaseLost)), "{lost:?}");
        }
        What::MapInACancelledWorkflow => {
            let of = "SELECT workflow FROM queue.jobs WHERE id = $1";
            let workflow = sqlx::query_scalar(of).bind(run.job_id()).fetch_one(&cx.pool).await?;
            cancel_workflow(&cx.pool, workflow, "test").await?;
            assert!(run.fan_out(map(&[1, 2])).await.is_err());
        }
        What::MapOverAFlaw => {
            let children = [task(What::Say(40)), task(What::FailFirst)];
            run.fan_out(FanOut::then(children, task(What::Sum))).await?;
        }
        What::FailFirst if run.attempt() == 1 => return Ok(Outcome::Discard("flawed".into())),
        What::FailFirst => run.output(&2)?,
        What::Try(numbers) => {
            let children =
                numbers.iter().map(|n| task(if *n < 0 { What::Fail } else { What::Say(*n) }));
            run.fan_out(FanOut::finally(children, task(What::Sum))).await?;
        }
    }
    Ok(Outcome::Done)
}

struct Factory {
    db: queue::testing::TestDatabase,
    clock: Clock,
    cx: Cx,
    fleet: Fleet<Cx>,
}

async fn factory() -> Factory {
    let db = queue::testing::database(&MIGRATOR).await;
    let clock = Clock::fixed(START.parse().unwrap());
    let cx = Cx { pool: db.pool.clone(), seen: Arc::default(), fans: Arc::default() };
    let fleet = Fleet::new(db.pool.clone(), clock.clone(), cx.clone()).worker(run);
    Factory { db, clock, cx, fleet }
}

#[tokio::test]
async fn results_of_needed_nodes_are_readable_by_name() {
    let factory = factory().await;
    let workflow = Workflow::named("w")
        .add("one", task(What::Say(1)))
        .add("two", task(What::Say(2)))
        .add("nothing", task(What::Fail))
        .signal("three")
        .add("sum", task(What::Sum))
        .after(["one", "two", "three"])
        .after_end_of(["nothing"]);
    let pushed = push_workflow(&*factory.db, workflow).await.unwrap();
    queue::signal(&*factory.db, pushed.id, "three", &3).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let seen = factory.cx.seen.lock().unwrap().clone();
    let expected = [
        ("nothing", None),
        ("one", Some(json!(1))),
        ("three", Some(json!(3))),
        ("two", Some(json!(2))),
    ];
    assert_eq!(seen, [expected.map(|(name, value)| (name.to_owned(), value)).into()]);
    let view = inspect::job(&*factory.db, pushed.jobs["sum"]).await.unwrap().unwrap();
    assert_eq!(view.output, Some(json!(6)));
}

#[tokio::test]
async fn a_job_fans_out_and_what_comes_last_hears_all_children_in_order() {
    let factory = factory().await;
    push(&*factory.db, task(What::Map((1..=11).collect()))).await.unwrap();
    assert_eq!(factory.fleet.drain().await.unwrap().of("done"), 13);
    let seen = factory.cx.seen.lock().unwrap().clone();
    let values: Vec<_> = seen[0].values().flatten().filter_map(Value::as_i64).collect();
    assert_eq!(values, (1..=11).collect::<Vec<_>>());
    let fan = factory.cx.fans.lock().unwrap()[0].clone();
    assert_eq!(fan.children.len(), 11);
    let view = inspect::workflow(&factory.db, fan.workflow).await.unwrap().unwrap();
    assert_eq!((view.name.as_str(), view.nodes.len()), ("tasks.task", 12));
}

#[tokio::test]
async fn what_needs_a_node_that_fans_out_waits_for_what_comes_last() {
    let factory = factory().await;
    let workflow = Workflow::named("w")
        .add("map", task(What::Map(vec![20, 22])))
        .add("sum", task(What::Sum))
        .after(["map"]);
    let pushed = push_workflow(&*factory.db, workflow).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let seen = factory.cx.seen.lock().unwrap().clone();
    assert_eq!(
        seen[1],
        [("map".to_owned(), None), ("map/then".to_owned(), Some(json!(42)))].into()
    );
    let view = inspect::workflow(&factory.db, pushed.id).await.unwrap().unwrap();
    assert!(view.nodes.iter().all(|node| node.state == JobState::Done), "{view:?}");
    let last = view.nodes.iter().find(|node| node.name == "map/then").unwrap();
    assert_eq!(last.extends.as_deref(), Some("map"));
}

#[tokio::test]
async fn a_child_that_fails_cancels_what_comes_last_unless_it_comes_in_any_case() {
    let factory = factory().await;
    let workflow = |what: What| {
        let workflow = Workflow::named("w").add("map", task(what));
        workflow.add("next", task(What::Sum)).after(["map"])
    };
    let pushed = push_workflow(&*factory.db, workflow(What::Try(vec![1, -1, 3]))).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let next = inspect::job(&*factory.db, pushed.jobs["next"]).await.unwrap().unwrap();
    assert_eq!((next.state, next.output), (JobState::Done, Some(json!(4))));
    let seen = factory.cx.seen.lock().unwrap().clone();
    assert_eq!(seen[0]["map/2"], None);
}

#[tokio::test]
async fn a_retry_tries_the_failed_child_and_all_that_waited_for_it() {
    let factory = factory().await;
    let workflow = Workflow::named("w").add("map", task(What::MapOverAFlaw));
    let workflow = workflow.add("next", task(What::Sum)).after(["map"]);
    let pushed = push_workflow(&*factory.db, workflow).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let next = async || inspect::job(&*factory.db, pushed.jobs["next"]).await.unwrap().unwrap();
    assert_eq!(next().await.state, JobState::Cancelled);
    assert_eq!(queue::retry_workflow(&factory.db, pushed.id, "ada").await.unwrap(), 3);
    assert_eq!(factory.fleet.drain().await.unwrap().of("done"), 3);
    assert_eq!(next().await.output, Some(json!(42)));
}

#[tokio::test]
async fn a_later_attempt_finds_what_an_earlier_one_has_pushed() {
    let factory = factory().await;
    push(&*factory.db, task(What::MapThenFail)).await.unwrap();
    factory.fleet.drain().await.unwrap();
    factory.clock.advance(std::time::Duration::from_secs(3600));
    factory.fleet.drain().await.unwrap();
    let fans = factory.cx.fans.lock().unwrap().clone();
    assert!(fans.len() == 2 && fans[0] == fans[1], "{fans:?}");
    assert_eq!(factory.cx.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn children_and_outcome_commit_together() {
    let factory = factory().await;
    let workflow = Workflow::named("w").add("map", task(What::MapAndFinish));
    let workflow = workflow.add("next", task(What::Sum)).after(["map"]);
    let pushed = push_workflow(&*factory.db, workflow).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let next = inspect::job(&*factory.db, pushed.jobs["next"]).await.unwrap().unwrap();
    assert_eq!((next.state, next.output), (JobState::Done, Some(json!(3))));
}

#[tokio::test]
async fn a_stale_run_fans_out_to_nobody_and_neither_does_one_of_a_cancelled_workflow() {
    let factory = factory().await;
    push(&*factory.db, task(What::MapInALostLease)).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let workflow = Workflow::named("w").add("map", task(What::MapInACancelledWorkflow));
    push_workflow(&*factory.db, workflow).await.unwrap();
    factory.fleet.drain().await.unwrap();
    let jobs = "SELECT count(*) FROM queue.jobs";
    assert_eq!(sqlx::query_scalar::<_, i64>(jobs).fetch_one(&*factory.db).await.unwrap(), 2);
}
