use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::inspect::JobState;
use queue::{Clock, Error, Fleet, Job, Outcome, Run, push, push_many};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::support::{MIGRATOR, START, Script, Theatre, named, outcomes};

#[tokio::test]
async fn a_failed_job_is_tried_again_after_its_wait_and_is_dead_after_its_last_attempt() {
    let theatre = Theatre::open().await;
    let job = push(&*theatre.db, named("fails", Script::Fail)).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("failed"), 1);
    assert_eq!(theatre.state(job.id).await, JobState::Scheduled);

    theatre.clock.advance(Duration::from_secs(9));
    assert_eq!(
        theatre.fleet.drain().await.unwrap(),
        Default::default(),
        "the wait is 10 s at least"
    );
    theatre.clock.advance(Duration::from_secs(4));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("failed"), 1);
    theatre.clock.advance(Duration::from_secs(25));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("dead"), 1);

    let view = theatre.view(job.id).await;
    assert_eq!(view.state, JobState::Dead);
    assert_eq!(outcomes(&view), ["failed", "failed", "dead"]);
    assert_eq!(view.runs[2].error.as_deref(), Some("out of order"));
    let attempts: Vec<_> = theatre.stage.saw("fails").iter().map(|seen| seen.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[tokio::test]
async fn a_snooze_does_not_count_as_an_attempt_and_a_discard_is_final() {
    let theatre = Theatre::open().await;
    let snoozed = push(&*theatre.db, named("snoozes", Script::SnoozeOnce)).await.unwrap();
    let discarded = push(&*theatre.db, named("discards", Script::Discard)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    theatre.clock.advance(Duration::from_secs(60));
    theatre.fleet.drain().await.unwrap();
    let view = theatre.view(snoozed.id).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 1));
    assert_eq!(outcomes(&view), ["snoozed", "done"]);
    let view = theatre.view(discarded.id).await;
    assert_eq!(view.state, JobState::Discarded);
    assert_eq!(view.runs[0].error.as_deref(), Some("no audience"));
}

#[tokio::test]
async fn a_panic_a_timeout_or_an_undecodable_payload_is_one_jobs_failure() {
    let theatre = Theatre::open().await;
    let panics = push(&*theatre.db, named("panics", Script::Panic)).await.unwrap();
    let hangs = push(&*theatre.db, named("hangs", Script::Hang)).await.unwrap();
    let broken = push(&*theatre.db, named("broken", Script::Succeed)).await.unwrap();
    let fine = push(&*theatre.db, named("fine", Script::Succeed)).await.unwrap();
    sqlx::query("UPDATE queue.jobs SET args = '[1]' WHERE id = $1")
        .bind(broken.id)
        .execute(&*theatre.db)
        .await
        .unwrap();
    theatre.fleet.drain().await.unwrap();

    let error = |view: queue::inspect::JobView| view.runs[0].error.clone().unwrap_or_default();
    assert_eq!(error(theatre.view(panics.id).await), "panicked: forgot the words");
    assert_eq!(error(theatre.view(hangs.id).await), "took longer than 0.5 s");
    let broken = theatre.view(broken.id).await;
    assert_eq!(broken.state, JobState::Dead, "no attempt can succeed");
    assert_eq!(broken.args, serde_json::json!([1]), "kept for whoever mends it");
    assert!(error(broken).starts_with("arguments do not decode"));
    assert_eq!(theatre.state(fine.id).await, JobState::Done);
}

#[tokio::test]
async fn a_kind_that_this_process_does_not_know_is_left_for_one_that_does() {
    let theatre = Theatre::open().await;
    #[derive(Serialize, Deserialize)]
    struct Newer;
    impl Job for Newer {
        const KIND: &'static str = "theatre.newer";
    }
    let job = push(&*theatre.db, Newer).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("snoozed"), 1);
    let view = theatre.view(job.id).await;
    assert_eq!((view.state, view.attempt), (JobState::Scheduled, 1), "no attempt is burnt");
    assert!(view.runs[0].error.as_deref().unwrap().contains("theatre.newer"));
}

/// Tells its test when it runs, and does what the test says.
#[derive(Serialize, Deserialize)]
struct Effect;

impl Job for Effect {
    const KIND: &'static str = "effects.write";
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Commit,
    Rollback,
    CommitThenFail,
}

#[derive(Clone)]
struct Effects {
    pool: PgPool,
    endings: Arc<Mutex<Vec<Ending>>>,
}

async fn write(_: Effect, cx: Effects, run: Run) -> anyhow::Result<Outcome> {
    let ending = cx.endings.lock().unwrap().pop().expect("an ending for each run");
    let mut tx = cx.pool.begin().await?;
    sqlx::query("INSERT INTO effects VALUES ($1)").bind(run.attempt()).execute(&mut *tx).await?;
    run.finish_in(&mut tx, Outcome::Done).await?;
    if ending == Ending::Rollback {
        tx.rollback().await?;
        return Ok(Outcome::Done);
    }
    tx.commit().await?;
    anyhow::ensure!(ending == Ending::Commit, "the answer to the commit was lost");
    Ok(Outcome::Done)
}

async fn effects(endings: &[Ending]) -> (queue::testing::TestDatabase, Clock, Fleet<Effects>) {
    let db = queue::testing::database(&MIGRATOR).await;
    sqlx::query("CREATE TABLE effects (attempt smallint)").execute(&*db).await.unwrap();
    let clock = Clock::fixed(START.parse().unwrap());
    let endings = Arc::new(Mutex::new(endings.iter().rev().copied().collect()));
    let cx = Effects { pool: db.pool.clone(), endings };
    let fleet = Fleet::new(db.pool.clone(), clock.clone(), cx).worker(write);
    (db, clock, fleet)
}

async fn effects_of(db: &PgPool) -> Vec<i16> {
    sqlx::query_scalar("SELECT attempt FROM effects").fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn effects_inside_postgres_happen_exactly_once_with_finish_in() {
    for (endings, effects_expected, outcomes_expected) in [
        (vec![Ending::Commit], vec![1], vec!["done"]),
        (vec![Ending::Rollback, Ending::Commit], vec![2], vec!["failed", "done"]),
        (vec![Ending::CommitThenFail], vec![1], vec!["done"]),
    ] {
        let (db, clock, fleet) = effects(&endings).await;
        let job = push(&*db, Effect).await.unwrap();
        for _ in 0..2 {
            fleet.drain().await.unwrap();
            clock.advance(Duration::from_secs(3600));
        }
        assert_eq!(effects_of(&db).await, effects_expected);
        let view = queue::inspect::job(&*db, job.id).await.unwrap().unwrap();
        assert_eq!(outcomes(&view), outcomes_expected);
        assert_eq!(view.state, JobState::Done);
    }
}

#[tokio::test]
async fn a_handler_that_fails_after_finish_in_is_told_of_as_failed() {
    let (db, _, fleet) = effects(&[Ending::CommitThenFail]).await;
    push(&*db, Effect).await.unwrap();
    // Whether it committed, only the database knows.
    let drained = fleet.drain().await.unwrap();
    assert_eq!((drained.of("failed"), drained.of("done")), (1, 0));
}

/// A handler whose lease runs out while it works: somebody else takes and ends the job meanwhile.
#[derive(Serialize, Deserialize)]
struct Slow {
    in_transaction: bool,
}

impl Job for Slow {
    const KIND: &'static str = "effects.slow";
}

#[derive(Clone)]
struct Race {
    pool: PgPool,
    clock: Clock,
    stale: Arc<Mutex<bool>>,
}

async fn slow(job: Slow, cx: Race, run: Run) -> anyhow::Result<Outcome> {
    cx.clock.advance(Duration::from_secs(11));
    let heir = Fleet::new(cx.pool.clone(), cx.clock.clone(), cx.clone()).worker(end);
    assert_eq!(heir.drain().await?.of("done"), 1, "the other worker took it over");
    end(job, cx, run).await
}

async fn end(job: Slow, cx: Race, run: Run) -> anyhow::Result<Outcome> {
    if job.in_transaction {
        let mut tx = cx.pool.begin().await?;
        sqlx::query("INSERT INTO effects VALUES ($1)")
            .bind(run.attempt())
            .execute(&mut *tx)
            .await?;
        let finished = run.finish_in(&mut tx, Outcome::Done).await;
        *cx.stale.lock().unwrap() = matches!(finished, Err(Error::LeaseLost));
        finished?;
        tx.commit().await?;
    }
    Ok(Outcome::Done)
}

#[tokio::test]
async fn a_running_job_has_one_owner_and_a_stale_writer_changes_nothing() {
    for in_transaction in [false, true] {
        let (db, clock, _) = effects(&[]).await;
        let stale = Arc::new(Mutex::new(false));
        let cx = Race { pool: db.pool.clone(), clock: clock.clone(), stale: stale.clone() };
        let fleet = Fleet::new(db.pool.clone(), clock.clone(), cx).worker(slow);
        let job = push(&*db, Slow { in_transaction }).await.unwrap();
        fleet.drain().await.unwrap();
        let view = queue::inspect::job(&*db, job.id).await.unwrap().unwrap();
        assert_eq!(outcomes(&view), ["lost", "done"], "the stale outcome is not recorded");
        assert_eq!(view.runs[1].attempt, 2);
        if in_transaction {
            assert_eq!(effects_of(&db).await, [2], "the stale effect was not committed");
            assert!(*stale.lock().unwrap(), "the stale writer was told");
        }
        clock.advance(Duration::from_secs(3600));
        assert_eq!(fleet.drain().await.unwrap(), Default::default(), "nothing is left to run");
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_stored_is_one_jobs_failure() {
    let theatre = Theatre::open().await;
    let unlucky = "ALTER TABLE queue.runs ADD CHECK (outcome <> 'discarded')";
    sqlx::query(unlucky).execute(&*theatre.db).await.unwrap();
    let refused = push(&*theatre.db, named("refused", Script::Discard)).await.unwrap();
    let neighbour = push(&*theatre.db, named("neighbour", Script::Succeed)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(outcomes(&theatre.view(neighbour.id).await), ["done"]);
    let view = theatre.view(refused.id).await;
    assert_eq!(outcomes(&view), ["failed"]);
    assert!(view.runs[0].error.as_deref().unwrap().starts_with("its outcome could not be stored"));
    assert_eq!(leases(&theatre.db).await, 0);
}

#[tokio::test]
async fn a_snooze_without_end_is_a_long_one() {
    let theatre = Theatre::open().await;
    let job = push(&*theatre.db, named("sleeps", Script::SnoozeForever)).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("snoozed"), 1);
    let wakes_at = theatre.view(job.id).await.run_at.unwrap();
    assert_eq!(wakes_at.format("%Y").to_string(), "2035");
}

async fn leases(db: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM queue.leases").fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn a_thousand_jobs_leave_a_thousand_runs_and_nothing_else() {
    let theatre = Theatre::open().await;
    let jobs = (0..1000).map(|n| named(&n.to_string(), Script::Succeed));
    push_many(&*theatre.db, jobs).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1000);
    let rows: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM queue.runs), (SELECT count(*) FROM queue.ready),
            (SELECT count(*) FROM queue.scheduled), (SELECT count(*) FROM queue.leases)",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    assert_eq!(rows, (1000, 0, 0, 0));
}

#[test]
fn a_kind_cannot_be_in_the_fleet_twice() {
    let twice = std::panic::catch_unwind(|| {
        let pool = PgPool::connect_lazy("postgres://localhost/none");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        Fleet::new(pool.unwrap(), Clock::system(), Default::default())
            .worker(crate::support::act)
            .worker(crate::support::act)
    });
    assert!(twice.is_err());
}

#[derive(Serialize, Deserialize)]
struct Bomb {}

impl Job for Bomb {
    const KIND: &'static str = "effects.bomb";
    const TIMEOUT: Duration = Duration::from_millis(20);
}

/// Goes off when its handler is dropped.
struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        panic!("it went off");
    }
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_is_one_jobs_failure() {
    let theatre = Theatre::open().await;
    let fleet = Fleet::new(theatre.db.pool.clone(), theatre.clock.clone(), ()).worker(
        async |_: Bomb, (), _: Run| {
            let _fuse = Fuse;
            std::future::pending::<()>().await;
            Ok(Outcome::Done)
        },
    );
    let id = push(&*theatre.db, Bomb {}).await.unwrap().id;
    assert_eq!(fleet.drain().await.unwrap().of("failed"), 1);
    let view = theatre.view(id).await;
    assert_eq!(view.runs[0].error.as_deref(), Some("panicked: it went off"));
}
