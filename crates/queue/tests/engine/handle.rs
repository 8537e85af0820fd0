//! What a handler can say and keep, besides its outcome.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::bail;
use queue::inspect::{self, CostView, JobState};
use queue::{
    Backoff, Clock, Cost, Error, Fleet, Job, Level, Outcome, Placed, Pool, Push, Run, Trace,
    WorkOptions, history, push, push_many,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::support::{Theatre, outcomes};

/// A job whose handler is written by its test.
#[derive(Serialize, Deserialize)]
struct Play {
    part: String,
}

impl Job for Play {
    const KIND: &'static str = "stage.play";
    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(10), factor: 1.0, cap: Duration::from_secs(10) };
}

/// The same, and it has little time.
#[derive(Serialize, Deserialize)]
struct Hang {}

impl Job for Hang {
    const KIND: &'static str = "stage.hang";
    const TIMEOUT: Duration = Duration::from_millis(200);
    const BACKOFF: Backoff = Play::BACKOFF;
}

#[derive(Serialize, Deserialize)]
struct Encore {}

impl Job for Encore {
    const KIND: &'static str = "stage.encore";
}

const WAIT: Duration = Duration::from_secs(15);

fn part(part: &str) -> Play {
    Play { part: part.into() }
}

fn fleet<F, Fut>(pool: &PgPool, clock: &Clock, play: F) -> Fleet<()>
where
    F: Fn(String, Run) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
{
    let play = Arc::new(play);
    let hang = play.clone();
    Fleet::new(pool.clone(), clock.clone(), ())
        .worker(move |job: Play, (), run| play(job.part, run))
        .worker(move |_: Hang, (), run| hang("hangs".into(), run))
        .worker(async |_: Encore, (), _| Ok(Outcome::Done))
}

async fn count(theatre: &Theatre, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM queue.{table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&*theatre.db).await.unwrap()
}

async fn children(theatre: &Theatre) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT id FROM queue.jobs WHERE kind = 'stage.encore' ORDER BY id")
        .fetch_all(&*theatre.db)
        .await
        .unwrap()
}

fn tokens(quantity: i64, amount_micro: i64) -> Cost {
    Cost { name: "model tokens".into(), quantity, amount_micro, currency: "USD".into() }
}

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
const LEASE: Duration = Duration::from_secs(1);

fn work() -> WorkOptions {
    WorkOptions {
        lease: LEASE,
        poll: Duration::from_millis(50),
        ..WorkOptions::new(vec![Pool { queue: "stage".into(), concurrency: 4 }])
    }
}

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
        .args(["--exact", "handle::worker_process", "--nocapture"])
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

/// What a stale run was told, with another run in its place in the meantime.
async fn stale<F, Fut>(theatre: &Theatre, late: F) -> Vec<String>
where
    F: Fn(Run, Arc<Scene>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let scene = Arc::new(Scene::default());
    let (theirs, late) = (scene.clone(), Arc::new(late));
    let first = fleet(&theatre.db, &theatre.clock, move |_, run| {
        let (scene, late) = (theirs.clone(), late.clone());
        async move {
            if let Err(error) = late(run, scene.clone()).await {
                scene.told.lock().unwrap().push(error.to_string());
            }
            std::future::pending().await
        }
    });
    let second = fleet(&theatre.db, &theatre.clock, async |_, _| Ok(Outcome::Done));
    let job = push(&*theatre.db, part("")).await.unwrap();
    let rescue = async {
        scene.started.notified().await;
        theatre.clock.advance(WAIT);
        assert_eq!(second.drain().await.unwrap().of("done"), 1);
        scene.rescued.notify_one();
    };
    let (drained, ()) = tokio::join!(first.drain(), rescue);
    assert_eq!(drained.unwrap(), Default::default(), "a stale run has no outcome");
    assert_eq!(outcomes(&theatre.view(job.id).await), ["lost", "done"]);
    scene.told.lock().unwrap().clone()
}

#[derive(Default)]
struct Scene {
    started: Notify,
    rescued: Notify,
    told: Mutex<Vec<String>>,
}

impl Scene {
    async fn lose_the_lease(&self) {
        self.started.notify_one();
        self.rescued.notified().await;
    }
}

#[tokio::test]
async fn a_run_that_has_lost_its_lease_keeps_pushes_and_spends_nothing_and_stops() {
    let theatre = Theatre::open().await;
    let lost = ["the lease of this run is lost"];
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.step("late", async {
            scene.told.lock().unwrap().push("the step ran".into());
            Ok(1)
        })
        .await
        .map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        let slow = async {
            scene.lose_the_lease().await;
            Ok(1)
        };
        run.step("slow", slow).await.map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.push(Encore {}).await.map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.cost(tokens(1, 1)).await
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.progress(50.0, "half");
        run.log(Level::Info, "half");
        Ok(())
    });
    assert!(told.await.is_empty(), "nobody waits for these");
    for table in ["steps", "costs", "progress", "logs"] {
        assert_eq!(count(&theatre, table).await, 0, "{table}");
    }
    assert!(children(&theatre).await.is_empty());
}

#[tokio::test]
async fn a_task_that_a_handler_left_behind_writes_nothing_for_it() {
    let theatre = Theatre::open().await;
    let left = Arc::new(Mutex::new(None::<Run>));
    let fleet = fleet(&theatre.db, &theatre.clock, move |part, run| {
        let left = left.clone();
        async move {
            if part == "leaves" {
                *left.lock().unwrap() = Some(run);
                return Ok(Outcome::Done);
            }
            loop {
                let ended = left.lock().unwrap().clone();
                let cost = async |run: Run| run.cost(tokens(1, 1)).await;
                if let Some(ended) = ended
                    && matches!(cost(ended).await, Err(Error::LeaseLost))
                {
                    // Their lease is the same one, and lives.
                    cost(run).await?;
                    return Ok(Outcome::Done);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    push_many(&*theatre.db, [part("leaves"), part("stays")]).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn progress_is_written_now_and_then_and_at_the_end_always() {
    let theatre = Theatre::open().await;
    sqlx::raw_sql(
        "CREATE TABLE writes (nth serial, percent smallint);
        CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.writes (percent) VALUES (NEW.percent); RETURN NEW; END';
        CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON queue.progress
            FOR EACH ROW EXECUTE FUNCTION note_write()",
    )
    .execute(&*theatre.db)
    .await
    .unwrap();
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        for n in 0..=20_000 {
            run.progress(f64::from(n) / 200.0, &format!("{n} of 20000"));
            if n % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(Outcome::Done)
    });
    let job = push(&*theatre.db, part("")).await.unwrap();
    let started = Instant::now();
    fleet.drain().await.unwrap();
    let writes: Vec<i16> = sqlx::query_scalar("SELECT percent FROM writes ORDER BY nth")
        .fetch_all(&*theatre.db)
        .await
        .unwrap();
    let most = 2 + started.elapsed().as_millis() / 500;
    assert!(writes.len() >= 2 && writes.len() as u128 <= most, "{writes:?}, at most {most}");
    let progress = theatre.view(job.id).await.progress.unwrap();
    assert_eq!((progress.percent, progress.note.as_str()), (100, "20000 of 20000"));
}

#[tokio::test]
async fn percents_that_cannot_be_are_brought_into_bounds() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.progress(part.parse().unwrap(), &"é\0".repeat(200));
        Ok(Outcome::Done)
    });
    for (said, percent) in [("-3", 0), ("99.9", 99), ("1e300", 100), ("NaN", 0)] {
        let job = push(&*theatre.db, part(said)).await.unwrap();
        fleet.drain().await.unwrap();
        let progress = theatre.view(job.id).await.progress.unwrap();
        assert_eq!(progress.percent, percent, "{said}");
        assert_eq!(progress.note, "é\u{fffd}".repeat(40));
    }
}

#[tokio::test]
async fn what_a_run_says_is_seen_while_it_runs() {
    let theatre = Theatre::live().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        run.progress(40.0, "the second act");
        run.log(Level::Info, "the curtain is up");
        run.cancelled().await;
        bail!("stopped when asked")
    });
    let job = push(&*theatre.db, part("")).await.unwrap();
    let working = fleet.start(work());
    let limit = Instant::now() + Duration::from_secs(20);
    let progress = loop {
        let view = theatre.view(job.id).await;
        if let Some(progress) = view.progress {
            assert_eq!(view.state, JobState::Running);
            break progress;
        }
        assert!(Instant::now() < limit, "nothing is said");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((progress.percent, progress.attempt), (40, 1));
    assert_eq!(inspect::logs(&*theatre.db, job.id, 10).await.unwrap().len(), 1);
    queue::cancel(&theatre.db, job.id, "test").await.unwrap();
    theatre.until(job.id, JobState::Cancelled).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn log_lines_outlive_a_failure_a_panic_and_a_timeout() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.log(Level::Debug, "enters");
        run.log(Level::Error, &format!("forgets the words in attempt {}", run.attempt()));
        match part.as_str() {
            "fails" => bail!("out of order"),
            "panics" => panic!("forgot the words"),
            "snoozes" => Ok(Outcome::Snooze(Duration::from_secs(5))),
            _ => std::future::pending().await,
        }
    });
    let jobs = ["fails", "panics", "snoozes"].map(part).map(Push::of);
    let jobs = jobs.into_iter().chain([Push::of(Hang {})]);
    let jobs = push_many(&*theatre.db, jobs).await.unwrap();
    fleet.drain().await.unwrap();
    theatre.clock.advance(WAIT);
    fleet.drain().await.unwrap();
    for (job, last) in jobs.iter().zip([2, 2, 1, 2]) {
        let lines = inspect::logs(&*theatre.db, job.id, 10).await.unwrap();
        let said: Vec<_> = lines.iter().map(|l| (l.attempt, l.line, l.level.as_str())).collect();
        assert_eq!(
            said,
            [(1, 1, "debug"), (1, 2, "error"), (last, 1, "debug"), (last, 2, "error")]
        );
        assert_eq!(lines[3].message, format!("forgets the words in attempt {last}"));
        let latest = inspect::logs(&*theatre.db, job.id, 1).await.unwrap();
        assert_eq!(latest[0].message, lines[3].message);
    }
}

#[tokio::test]
async fn a_log_is_bounded_and_says_what_is_missing() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        let (lines, line) = if part == "many" { (1500, "la") } else { (70, &*"la".repeat(4096)) };
        for _ in 0..lines {
            run.log(Level::Info, line);
        }
        Ok(Outcome::Done)
    });
    let jobs = push_many(&*theatre.db, ["many", "long"].map(part)).await.unwrap();
    fleet.drain().await.unwrap();
    for (job, kept, missing) in [(jobs[0], 1000, 500), (jobs[1], 64, 6)] {
        let lines = inspect::logs(&*theatre.db, job.id, 2000).await.unwrap();
        assert_eq!(lines.len(), kept + 1);
        assert_eq!(lines[kept].message, format!("{missing} more lines were not kept"));
        assert!(lines[0].message.len() <= 4096);
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

#[tokio::test]
async fn costs_of_all_runs_add_up_by_job_and_by_kind_and_day() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.cost(tokens(1000, 150)).await?;
        run.cost(tokens(500, 75)).await?;
        run.cost(Cost { name: "model calls".into(), currency: "EUR".into(), ..tokens(1, 0) })
            .await?;
        if part == "fails" && run.attempt() == 1 {
            bail!("the money is gone all the same");
        }
        Ok(Outcome::Done)
    });
    let jobs = push_many(&*theatre.db, ["fails", "succeeds"].map(part)).await.unwrap();
    fleet.drain().await.unwrap();
    theatre.clock.advance(WAIT);
    fleet.drain().await.unwrap();
    let cost = |name: &str, quantity, amount_micro, currency: &str| CostView {
        name: name.into(),
        quantity,
        amount_micro,
        currency: currency.into(),
    };
    assert_eq!(
        inspect::costs(&*theatre.db, jobs[0].id).await.unwrap(),
        [cost("model calls", 2, 0, "EUR"), cost("model tokens", 3000, 450, "USD")]
    );
    let now = theatre.clock.now();
    let day = Duration::from_secs(24 * 3600);
    let spending = inspect::spending(&*theatre.db, now - day, now + day).await.unwrap();
    assert_eq!(spending.len(), 2);
    let tokens = &spending[1];
    assert_eq!((tokens.quantity, tokens.amount_micro), (4500, 675));
    assert_eq!((tokens.kind.as_str(), tokens.spent_on), ("stage.play", now.date_naive()));
    assert!(inspect::spending(&*theatre.db, now + day, now + 2 * day).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cost_that_cannot_be_is_refused() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        for wrong in [
            tokens(-1, 1),
            tokens(1, -1),
            Cost { currency: "usd".into(), ..tokens(1, 1) },
            Cost { name: String::new(), ..tokens(1, 1) },
        ] {
            assert!(matches!(run.cost(wrong).await, Err(Error::BadCost { .. })));
        }
        Ok(Outcome::Done)
    });
    push(&*theatre.db, part("")).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(count(&theatre, "costs").await, 0);
}

#[tokio::test]
async fn what_runs_said_is_dropped_with_their_job() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let theatre = Theatre::live().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.step("one", async { anyhow::Ok(1) }).await?;
        run.progress(100.0, "");
        run.log(Level::Info, "over");
        run.cost(tokens(1, 1)).await?;
        Ok(if part == "waits" { Outcome::Snooze(400 * DAY) } else { Outcome::Done })
    });
    push(&*theatre.db, part("ends")).await.unwrap();
    fleet.drain().await.unwrap();
    let tables = ["steps", "progress", "logs", "costs"];
    let rows = async || {
        let mut rows = Vec::new();
        for table in tables {
            rows.push(count(&theatre, table).await);
        }
        rows
    };
    let next_month = Clock::fixed(theatre.clock.now() + 40 * DAY);
    history::drop_older(&theatre.db, &next_month, 60 * DAY).await.unwrap();
    assert_eq!(rows().await, [1, 1, 1, 1]);
    let dropped = history::drop_older(&theatre.db, &next_month, 30 * DAY).await.unwrap();
    assert_eq!((rows().await, dropped.rows), (vec![0, 0, 0, 0], 4));
    history::make_days(&theatre.db, &theatre.clock).await.unwrap();
    push(&*theatre.db, part("waits")).await.unwrap();
    fleet.drain().await.unwrap();
    history::drop_older(&theatre.db, &next_month, 30 * DAY).await.unwrap();
    assert_eq!(rows().await, [1, 1, 1, 1], "the job still waits");
}
