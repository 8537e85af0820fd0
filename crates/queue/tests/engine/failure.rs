//! How jobs die, and what those that do not have to say.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use queue::inspect::{self, JobState, JobView};
use queue::testing::TestDatabase;
use queue::{
    Clock, Error, Fleet, Job, Outcome, Permanent, Push, Retried, Retry, Run, push, push_many, retry,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::crash::{self, Worker};
use crate::support::{MIGRATOR, START, Script, Stage, Theatre, Wait, named, outcomes};

/// Fails as it is told, or speaks.
#[derive(Serialize, Deserialize)]
enum Part {
    Because,
    InContext,
    FromAnother,
    InsideAnother,
    Passing(String),
    /// Says its attempt, and fails until this one.
    SpeakFrom(i16),
    SpeakInTransaction,
    SpeakTwice,
    SpeakTooLong,
    SpeakZero,
}

impl Job for Part {
    const KIND: &'static str = "failure.part";
    const RETRY: Retry = Retry::DATABASE;
}

#[derive(Debug, thiserror::Error)]
#[error("the account cannot be paid")]
struct Unpayable(#[source] Permanent);

async fn play(part: Part, pool: PgPool, run: Run) -> anyhow::Result<Outcome> {
    match part {
        Part::Because => return Err(Permanent::because("no such account").into()),
        Part::InContext => return Err(Permanent::because("no such account")).context("pay"),
        Part::FromAnother => drop("ten".parse::<i32>().map_err(Permanent::new)?),
        Part::InsideAnother => return Err(Unpayable(Permanent::because("no iban")).into()),
        Part::Passing(error) => anyhow::bail!(error),
        Part::SpeakFrom(attempt) => {
            run.output(&json!({ "attempt": run.attempt() }))?;
            anyhow::ensure!(run.attempt() >= attempt, "too early");
        }
        Part::SpeakInTransaction => {
            run.output(&"committed")?;
            let mut tx = pool.begin().await?;
            run.finish_in(&mut tx, Outcome::Done).await?;
            tx.commit().await?;
        }
        Part::SpeakTwice => {
            run.output(&"first")?;
            run.output(&"second")?;
        }
        Part::SpeakTooLong => {
            run.output(&"x".repeat(64 * 1024 - 2))?;
            let refused = run.output(&"x".repeat(64 * 1024 - 1));
            anyhow::ensure!(
                matches!(refused, Err(Error::BadOutput(reason)) if reason.contains("65536"))
            );
        }
        Part::SpeakZero => run.output(&"a\0b")?,
    }
    Ok(Outcome::Done)
}

struct Troupe {
    db: TestDatabase,
    clock: Clock,
    fleet: Fleet<PgPool>,
}

impl Troupe {
    async fn open() -> Self {
        let db = queue::testing::database(&MIGRATOR).await;
        let clock = Clock::fixed(START.parse().unwrap());
        let fleet = Fleet::new(db.pool.clone(), clock.clone(), db.pool.clone()).worker(play);
        Self { db, clock, fleet }
    }

    async fn play(&self, part: impl Into<Push>) -> JobView {
        let job = push(&*self.db, part).await.unwrap();
        self.fleet.drain().await.unwrap();
        self.view(job.id).await
    }

    /// Runs what waits for another attempt.
    async fn later(&self, id: Uuid) -> JobView {
        self.clock.advance(Duration::from_secs(2 * 3600));
        self.fleet.drain().await.unwrap();
        self.view(id).await
    }

    async fn view(&self, id: Uuid) -> JobView {
        inspect::job(&*self.db, id).await.unwrap().unwrap()
    }
}

/// Outcome, cause and fingerprint of the dead letter.
async fn letter(db: &PgPool, job: Uuid) -> Option<(String, String, String)> {
    sqlx::query_as("SELECT outcome, cause, fingerprint FROM queue.dead_letters WHERE job = $1")
        .bind(job)
        .fetch_optional(db)
        .await
        .unwrap()
}

async fn cause(db: &PgPool, job: Uuid) -> String {
    letter(db, job).await.expect("a dead letter").1
}

#[tokio::test]
async fn a_permanent_failure_is_final_at_once_however_it_is_wrapped() {
    let troupe = Troupe::open().await;
    for (part, error) in [
        (Part::Because, "no such account"),
        (Part::InContext, "pay: no such account"),
        (Part::FromAnother, "invalid digit found in string"),
        (Part::InsideAnother, "the account cannot be paid: no iban"),
    ] {
        let view = troupe.play(part).await;
        assert_eq!((view.state, outcomes(&view)), (JobState::Dead, vec!["dead"]));
        assert_eq!(view.runs[0].error.as_deref(), Some(error));
        assert_eq!(cause(&troupe.db, view.id).await, "permanent");
    }
    let view = troupe.play(Part::Passing("no answer".into())).await;
    assert_eq!(view.state, JobState::Scheduled, "what is not permanent is tried again");
    assert_eq!(letter(&troupe.db, view.id).await, None);
}

#[tokio::test]
async fn a_dead_letter_says_why() {
    let theatre = Theatre::open().await;
    let last = Push::of(named("last", Script::Fail)).max_attempts(1);
    let last = push(&*theatre.db, last).await.unwrap();
    let panics = Push::of(named("panics", Script::Panic)).max_attempts(1);
    let panics = push(&*theatre.db, panics).await.unwrap();
    let discarded = push(&*theatre.db, named("discarded", Script::Discard)).await.unwrap();
    let unread = push(&*theatre.db, named("unread", Script::Succeed)).await.unwrap();
    sqlx::query("UPDATE queue.jobs SET args = '[1]' WHERE id = $1")
        .bind(unread.id)
        .execute(&*theatre.db)
        .await
        .unwrap();
    let cancelled = Push::of(named("cancelled", Script::Fail)).delay(Duration::from_secs(60));
    let cancelled = push(&*theatre.db, cancelled).await.unwrap();
    queue::cancel(&theatre.db, cancelled.id, "ada").await.unwrap();
    theatre.fleet.drain().await.unwrap();
    for (job, outcome, cause) in [
        (last, "dead", "exhausted"),
        (panics, "dead", "exhausted"),
        (discarded, "discarded", "decided"),
        (unread, "dead", "poison"),
        (cancelled, "cancelled", "decided"),
    ] {
        let letter = letter(&theatre.db, job.id).await.expect("a dead letter");
        assert_eq!((letter.0.as_str(), letter.1.as_str()), (outcome, cause));
    }
}

#[tokio::test]
async fn errors_that_differ_in_ids_have_one_fingerprint() {
    let troupe = Troupe::open().await;
    let passing = |error: String| Push::of(Part::Passing(error)).max_attempts(1);
    let error = |n: u32| format!("user {}: no answer after {n} s", Uuid::now_v7());
    let alike = push_many(&*troupe.db, (1..=3).map(|n| passing(error(n)))).await.unwrap();
    let other = push(&*troupe.db, passing("card refused".into())).await.unwrap();
    troupe.fleet.drain().await.unwrap();
    for job in alike {
        let fingerprint = letter(&troupe.db, job.id).await.unwrap().2;
        assert_eq!(fingerprint, "user #: no answer after # s");
    }
    assert_eq!(letter(&troupe.db, other.id).await.unwrap().2, "card refused");
}

#[tokio::test]
async fn a_retry_takes_a_job_out_of_the_dead_letters_and_its_next_death_says_why_anew() {
    let troupe = Troupe::open().await;
    let job = troupe.play(Part::Because).await;
    assert_eq!(retry(&troupe.db, job.id, "ada").await.unwrap(), Retried::Now);
    assert_eq!(letter(&troupe.db, job.id).await, None);
    sqlx::query("UPDATE queue.jobs SET args = '[1]' WHERE id = $1")
        .bind(job.id)
        .execute(&*troupe.db)
        .await
        .unwrap();
    troupe.fleet.drain().await.unwrap();
    assert_eq!(cause(&troupe.db, job.id).await, "poison");
}

#[tokio::test]
async fn the_output_of_a_job_that_is_done_is_kept() {
    let troupe = Troupe::open().await;
    let view = troupe.play(Part::SpeakFrom(1)).await;
    assert_eq!(view.output, Some(json!({ "attempt": 1 })));
    let view = troupe.play(Part::SpeakInTransaction).await;
    assert_eq!((outcomes(&view), view.output.clone()), (vec!["done"], Some(json!("committed"))));
    let view = troupe.play(Part::SpeakTwice).await;
    assert_eq!(view.output, Some(json!("first")));
    let view = troupe.play(Part::SpeakTooLong).await;
    let kept = view.output.as_ref().and_then(|output| output.as_str()).map(str::len);
    assert_eq!((view.state, kept), (JobState::Done, Some(64 * 1024 - 2)));
}

#[tokio::test]
async fn a_failed_run_leaves_no_output_and_a_later_run_its_own() {
    let troupe = Troupe::open().await;
    let job = troupe.play(Part::SpeakFrom(2)).await;
    assert_eq!((job.state, job.output), (JobState::Scheduled, None));
    let view = troupe.later(job.id).await;
    assert_eq!(view.output, Some(json!({ "attempt": 2 })));

    let job = troupe.play(Push::of(Part::SpeakFrom(2)).max_attempts(1)).await;
    assert_eq!((job.state, job.output), (JobState::Dead, None));
    retry(&troupe.db, job.id, "ada").await.unwrap();
    let view = troupe.later(job.id).await;
    assert_eq!((view.state, view.output), (JobState::Done, Some(json!({ "attempt": 2 }))));
}

#[tokio::test]
async fn an_output_that_the_database_refuses_is_one_jobs_failure() {
    let troupe = Troupe::open().await;
    let neighbour = push(&*troupe.db, Part::SpeakFrom(1)).await.unwrap();
    let view = troupe.play(Part::SpeakZero).await;
    assert_eq!((outcomes(&view), view.output.clone()), (vec!["failed"], None));
    assert!(view.runs[0].error.as_deref().unwrap().starts_with("its outcome could not be stored"));
    assert_eq!(troupe.view(neighbour.id).await.output, Some(json!({ "attempt": 1 })));
}

/// Runs until its process is killed.
#[derive(Serialize, Deserialize)]
pub struct Fragile;

impl Job for Fragile {
    const KIND: &'static str = "theatre.fragile";
    const MAX_LOSSES: i16 = 3;
}

pub async fn fragile(_: Fragile, _: Stage, _: Run) -> anyhow::Result<Outcome> {
    std::future::pending().await
}

async fn until_attempt(theatre: &Theatre, job: Uuid, attempt: i16) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let view = theatre.view(job).await;
        if (view.state, view.attempt) == (JobState::Running, attempt) {
            return;
        }
        assert!(Instant::now() < limit, "attempt {attempt} does not run: {view:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_job_whose_workers_die_under_it_is_quarantined() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, Fragile).await.unwrap();
    for attempt in 1..=Fragile::MAX_LOSSES {
        let worker = Worker::start(&theatre);
        until_attempt(&theatre, job.id, attempt).await;
        drop(worker);
    }
    let heir = theatre.fleet.start(crash::options());
    let view = theatre.until(job.id, JobState::Dead).await;
    assert_eq!(outcomes(&view), ["lost", "lost", "dead"]);
    let error = "its worker died with it 3 times in a row";
    assert_eq!(view.runs[2].error.as_deref(), Some(error));
    assert_eq!(cause(&theatre.db, job.id).await, "poison");
    heir.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_workers_were_only_cut_off_is_not_quarantined() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, Wait { heeds: true }).await.unwrap();
    let first = Worker::start(&theatre);
    until_attempt(&theatre, job.id, 1).await;
    first.signal("-STOP");
    let second = Worker::start(&theatre);
    until_attempt(&theatre, job.id, 2).await;
    second.signal("-STOP");
    first.signal("-CONT");
    // The only worker that is awake takes it, long before it may rescue what the other one has.
    let proof_of_life = push(&*theatre.db, Wait { heeds: true }).await.unwrap();
    until_attempt(&theatre, proof_of_life.id, 1).await;
    until_attempt(&theatre, job.id, 3).await;
    assert_eq!(outcomes(&theatre.view(job.id).await), ["lost", "lost"]);
}
