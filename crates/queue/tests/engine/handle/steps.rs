use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use queue::inspect::{self, JobState};
use queue::{Clock, Outcome, Placed, Push, Run, Trace, push, push_many};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Encore, WAIT, count, fleet, part, work};
use crate::support::{Theatre, outcomes};

#[tokio::test]
async fn a_step_that_has_ended_well_is_not_run_again() {
    let theatre = Theatre::open().await;
    let ran = Arc::new(AtomicU32::new(0));
    let counter = ran.clone();
    let fleet = fleet(&theatre.db, &theatre.clock, move |_, run| {
        let ran = counter.clone();
        async move {
            let receipt = run
                .step("charge", async {
                    ran.fetch_add(1, Ordering::Relaxed);
                    anyhow::Ok(format!("receipt of attempt {}\0", run.attempt()))
                })
                .await?;
            assert_eq!(receipt, "receipt of attempt 1\0");
            run.step("thank", async {
                match run.attempt() {
                    1 => bail!("nobody is at home"),
                    attempt => Ok(attempt),
                }
            })
            .await?;
            Ok(Outcome::Done)
        }
    });
    let job = push(&*theatre.db, part("")).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("failed"), 1);
    theatre.clock.advance(WAIT);
    assert_eq!(fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    let steps = inspect::steps(&*theatre.db, job.id).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.attempt)).collect();
    assert_eq!(steps, [("charge", 1), ("thank", 2)], "an error is not kept");
}

/// When set, this test binary is a worker process on that database.
const CHILD: &str = "BEADLE_TEST_STEP_URL";

/// Does nothing in a normal run; started by the test below, it works until it is killed.
#[tokio::test]
async fn worker_process() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let pool = PgPool::connect(&url).await.unwrap();
    let fleet = fleet(&pool, &Clock::system(), async |_, run| {
        run.step("sign", async { anyhow::Ok(std::process::id()) }).await?;
        std::future::pending().await
    });
    panic!("{}", fleet.start(work()).broken().await);
}

#[tokio::test]
async fn a_step_is_remembered_when_its_process_is_killed() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, part("")).await.unwrap();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "handle::steps::worker_process", "--nocapture"])
        .env(CHILD, theatre.db.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while count(&theatre, "steps").await == 0 {
        assert!(Instant::now() < limit, "the step is not kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    let signed = Arc::new(AtomicU32::new(0));
    let seen = signed.clone();
    let heir = fleet(&theatre.db, &theatre.clock, move |_, run| {
        let seen = seen.clone();
        async move {
            let id = run.step("sign", async { anyhow::Ok(std::process::id()) }).await?;
            seen.store(id, Ordering::Relaxed);
            Ok(Outcome::Done)
        }
    });
    let working = heir.start(work());
    let view = theatre.until(job.id, JobState::Done).await;
    assert_eq!(outcomes(&view), ["lost", "done"]);
    assert_eq!(signed.load(Ordering::Relaxed), worker.id());
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_step_that_cannot_be_kept_or_read_says_which_it_is() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        match (part.as_str(), run.attempt()) {
            ("large", _) => drop(run.step("copy", async { anyhow::Ok("x".repeat(65_535)) }).await?),
            ("name", _) => run.step("a#1", async { anyhow::Ok(()) }).await?,
            ("changed", 1) => {
                run.step("count", async { anyhow::Ok("three".to_owned()) }).await?;
                bail!("again")
            }
            ("changed", _) => drop(run.step("count", async { anyhow::Ok(3) }).await?),
            _ => drop(run.step("ratio", async { anyhow::Ok(f64::NAN) }).await?),
        }
        Ok(Outcome::Done)
    });
    let parts = ["large", "name", "changed", "nan"];
    let jobs = push_many(&*theatre.db, parts.map(part)).await.unwrap();
    fleet.drain().await.unwrap();
    theatre.clock.advance(WAIT);
    fleet.drain().await.unwrap();
    for (job, reason) in jobs.iter().zip([
        "step \"copy\": its result has 65537 bytes, at most 65536 are kept",
        "step \"a#1\": a name has 1 to 100 characters, and no #",
        "step \"count\": its kept result does not decode: invalid type: string",
        "step \"ratio\": its kept result does not decode: invalid type: null",
    ]) {
        let view = theatre.view(job.id).await;
        let error = view.runs[1].error.clone().unwrap_or_default();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[tokio::test]
async fn a_child_is_pushed_once_within_a_step_and_carries_owner_and_trace() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        let notified = run.step("notify", run.push(Encore {})).await?;
        assert_eq!(notified.placed, Placed::New);
        run.step("two", async {
            run.push(Push::of(Encore {}).owner(Uuid::nil())).await?;
            if run.attempt() == 1 {
                // As if the process died between its child and the end of its step.
                bail!("half of the step is done");
            }
            let elsewhere = run.clone();
            tokio::spawn(async move { elsewhere.push(Encore {}).await }).await??;
            Ok(run.push(Encore {}).await?)
        })
        .await?;
        if run.attempt() == 2 {
            bail!("and again");
        }
        Ok(Outcome::Done)
    });
    let owner = Uuid::from_u128(7);
    let trace = Trace::new();
    let job = Push::of(part("")).owner(owner);
    trace.clone().scope(push(&*theatre.db, job)).await.unwrap();
    for _ in 0..3 {
        fleet.drain().await.unwrap();
        theatre.clock.advance(WAIT);
    }
    let children = children(&theatre).await;
    assert_eq!(children.len(), 4);
    for (n, child) in children.into_iter().enumerate() {
        let child = theatre.view(child).await;
        assert_eq!(child.owner, Some(if n == 1 { Uuid::nil() } else { owner }));
        assert_eq!(child.trace_id, Some(trace.id()));
        assert_eq!(child.state, JobState::Done);
    }
}

async fn children(theatre: &Theatre) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT id FROM queue.jobs WHERE kind = 'stage.encore' ORDER BY id")
        .fetch_all(&*theatre.db)
        .await
        .unwrap()
}
