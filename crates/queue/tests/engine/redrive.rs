//! Dead jobs by the crowd.

use std::time::Duration;

use chrono::{DateTime, Utc};
use queue::inspect::JobState;
use queue::{Dead, Error, Push, Redrive, Redriven, Unique, dead, push, push_many, redrive, retry};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, named, outcomes};

/// Pushes jobs that have one attempt, in this order, and lets them die.
async fn die(theatre: &Theatre, acts: Vec<Act>) -> Vec<Uuid> {
    let jobs = acts.into_iter().map(|act| Push::of(act).max_attempts(1));
    let jobs = push_many(&*theatre.db, jobs).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    jobs.into_iter().map(|job| job.id).collect()
}

fn all() -> Redrive {
    Redrive { which: Dead::default(), limit: u32::MAX, per_second: None }
}

async fn ready(theatre: &Theatre) -> Vec<Uuid> {
    let ready = "SELECT job FROM queue.ready ORDER BY priority, seq";
    sqlx::query_scalar(ready).fetch_all(&*theatre.db).await.unwrap()
}

async fn count(theatre: &Theatre, table: &'static str) -> i64 {
    let count = AssertSqlSafe(format!("SELECT count(*) FROM queue.{table}"));
    sqlx::query_scalar(count).fetch_one(&*theatre.db).await.unwrap()
}

#[tokio::test]
async fn dead_jobs_stand_together_by_what_they_died_of() {
    let theatre = Theatre::open().await;
    let failed = die(&theatre, vec![named("a", Script::Fail), named("b", Script::Fail)]).await;
    theatre.clock.advance(Duration::from_secs(60));
    let acts = vec![
        named("c", Script::Fail),
        named("d", Script::Panic),
        named("e", Script::Discard),
        named("f", Script::Succeed),
    ];
    let later = die(&theatre, acts).await;
    let groups = dead(&*theatre.db, &Dead::default()).await.unwrap();
    assert_eq!(groups.len(), 2, "what its handler discarded is not dead: {groups:?}");
    let [failures, panics] = [&groups[0], &groups[1]];
    assert_eq!((failures.kind.as_str(), failures.cause.as_str()), ("theatre.act", "exhausted"));
    assert_eq!((failures.jobs, failures.fingerprint.as_str()), (3, "out of order"));
    assert_eq!((failures.last_at - failures.first_at).num_seconds(), 60);
    assert_eq!((failures.example, failures.error.as_deref()), (later[0], Some("out of order")));
    assert_eq!((panics.jobs, panics.example), (1, later[1]));
    let before = Dead { ended_until: Some(failures.last_at), ..Dead::default() };
    let before = dead(&*theatre.db, &before).await.unwrap();
    assert_eq!((before.len(), before[0].jobs, before[0].example), (1, 2, failed[1]));
}

#[tokio::test]
async fn what_fits_is_tried_again_and_the_rest_stays_dead() {
    let some = |word: &str| Some(word.to_owned());
    let noon: DateTime<Utc> = "2025-03-01T12:00:00Z".parse().unwrap();
    for (which, expected) in [
        (Dead::default(), &[0, 1, 3][..]),
        (Dead { queue: some("theatre"), ..Dead::default() }, &[0, 1, 3]),
        (Dead { queue: some("opera"), ..Dead::default() }, &[]),
        (Dead { kind: some("theatre.act"), ..Dead::default() }, &[0, 1, 3]),
        (Dead { kind: some("theatre.wait"), ..Dead::default() }, &[]),
        (Dead { cause: some("exhausted"), ..Dead::default() }, &[0, 1, 3]),
        (Dead { cause: some("poison"), ..Dead::default() }, &[]),
        (Dead { fingerprint: some("out of order"), ..Dead::default() }, &[0, 3]),
        (Dead { ended_from: Some(noon), ..Dead::default() }, &[3]),
        (Dead { ended_until: Some(noon), ..Dead::default() }, &[0, 1]),
    ] {
        let theatre = Theatre::open().await;
        let acts = [Script::Fail, Script::Panic, Script::Discard].map(|s| named("early", s));
        let mut jobs = die(&theatre, acts.to_vec()).await;
        theatre.clock.advance(Duration::from_secs(12 * 3600));
        jobs.extend(die(&theatre, vec![named("late", Script::Fail)]).await);
        let order = Redrive { which: which.clone(), ..all() };
        let done = redrive(&theatre.db, &order, "ada").await.unwrap();
        let expected: Vec<_> = expected.iter().map(|n| jobs[*n]).collect();
        assert_eq!(
            (ready(&theatre).await, done.retried),
            (expected.clone(), expected.len() as u64)
        );
        assert_eq!(count(&theatre, "dead_letters").await, 4 - expected.len() as i64, "{which:?}");
    }
}

#[tokio::test]
async fn a_redriven_job_runs_with_all_its_attempts_and_its_history_tells_who_it_was() {
    let theatre = Theatre::open().await;
    let job = die(&theatre, vec![named("again", Script::FailTimes(1))]).await[0];
    let also_asked = "INSERT INTO queue.cancellations (job) SELECT id FROM queue.jobs";
    theatre.db.execute(also_asked).await.unwrap();
    let done = redrive(&theatre.db, &all(), "ada").await.unwrap();
    assert_eq!(done, Redriven { retried: 1, key_taken: 0 });
    let view = theatre.view(job).await;
    assert_eq!((view.state, view.attempt, view.max_attempts), (JobState::Ready, 2, 2));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    let view = theatre.view(job).await;
    assert_eq!(outcomes(&view), ["dead", "retried", "done"]);
    assert_eq!(view.runs[1].worker, "ada");
    assert_eq!(redrive(&theatre.db, &all(), "ada").await.unwrap(), Redriven::default());
}

#[tokio::test]
async fn the_oldest_go_first_and_no_more_than_asked() {
    let theatre = Theatre::open().await;
    let jobs = die(&theatre, (0..5).map(|n| named(&n.to_string(), Script::Fail)).collect()).await;
    let three = Redrive { limit: 3, ..all() };
    assert_eq!(redrive(&theatre.db, &three, "ada").await.unwrap().retried, 3);
    assert_eq!(ready(&theatre).await, jobs[..3]);
    assert_eq!(redrive(&theatre.db, &three, "ada").await.unwrap().retried, 2);
    assert_eq!(ready(&theatre).await, jobs);
    let none = Redrive { limit: 0, ..all() };
    assert_eq!(redrive(&theatre.db, &none, "ada").await.unwrap(), Redriven::default());
}

#[tokio::test]
async fn with_a_rate_they_start_one_after_the_other_across_batches() {
    let theatre = Theatre::open().await;
    let jobs = die(&theatre, (0..700).map(|_| named("a", Script::FailTimes(1))).collect()).await;
    let slowly = Redrive { per_second: Some(0.5), ..all() };
    assert_eq!(redrive(&theatre.db, &slowly, "ada").await.unwrap().retried, 700);
    assert_eq!(ready(&theatre).await, jobs[..1], "the first starts at once");
    let starts = "SELECT job, extract(epoch FROM run_at - now())::float8 FROM queue.scheduled ORDER BY run_at";
    let starts: Vec<(Uuid, f64)> = sqlx::query_as(starts).fetch_all(&*theatre.db).await.unwrap();
    assert_eq!(starts.iter().map(|start| start.0).collect::<Vec<_>>(), jobs[1..]);
    for (n, (_, seconds)) in starts.iter().enumerate() {
        let late = 2.0 * (n + 1) as f64 - seconds;
        assert!((-1.0..20.0).contains(&late), "job {n} starts in {seconds} s");
    }
    // Between the batches too.
    let gap = starts[499].1 - starts[498].1;
    assert!((1.0..4.0).contains(&gap), "{gap}");
    let due = "UPDATE queue.scheduled SET run_at = '2025-01-01'";
    theatre.db.execute(due).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 700);
}

#[tokio::test]
async fn jobs_whose_key_is_taken_are_left_and_counted() {
    let theatre = Theatre::open().await;
    let keyed = |name: &str, key: &str| {
        let job = Push::of(named(name, Script::Fail)).max_attempts(1);
        job.unique(Unique::key(key))
    };
    let mut jobs = Vec::new();
    for (name, key) in [("barred", "a"), ("first", "b"), ("second", "b"), ("free", "c")] {
        jobs.push(push(&*theatre.db, keyed(name, key)).await.unwrap().id);
        theatre.fleet.drain().await.unwrap();
    }
    let holder = push(&*theatre.db, keyed("holder", "a")).await.unwrap().id;
    let done = redrive(&theatre.db, &all(), "ada").await.unwrap();
    assert_eq!(done, Redriven { retried: 2, key_taken: 2 });
    assert_eq!(ready(&theatre).await, [holder, jobs[1], jobs[3]]);
    assert_eq!([theatre.state(jobs[0]).await, theatre.state(jobs[2]).await], [JobState::Dead; 2]);
    let pushed = push(&*theatre.db, keyed("later", "c")).await.unwrap();
    assert_eq!(pushed.id, jobs[3], "what is tried again holds its key again");
    // The limit counts what is tried: what is left does not use it up.
    theatre.fleet.drain().await.unwrap();
    push(&*theatre.db, keyed("holder", "a")).await.unwrap();
    let one = Redrive { limit: 1, ..all() };
    assert_eq!(redrive(&theatre.db, &one, "ada").await.unwrap().retried, 1);
}

#[tokio::test]
async fn redrives_and_retries_at_once_try_each_job_once() {
    let theatre = Theatre::open().await;
    let jobs = die(&theatre, (0..1200).map(|_| named("a", Script::FailTimes(1))).collect()).await;
    let order = all();
    let singly = async {
        let mut retried = 0;
        for job in jobs.iter().step_by(7) {
            let result = retry(&theatre.db, *job, "grace").await.unwrap();
            retried += u64::from(result == queue::Retried::Now);
        }
        retried
    };
    let (one, other, singly) =
        tokio::join!(redrive(&theatre.db, &order, "a"), redrive(&theatre.db, &order, "b"), singly);
    // What another had locked was skipped, and is in the other's count.
    assert_eq!(one.unwrap().retried + other.unwrap().retried + singly, 1200);
    assert_eq!((count(&theatre, "ready").await, count(&theatre, "dead_letters").await), (1200, 0));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1200);
    assert_eq!(count(&theatre, "runs").await, 3 * 1200);
}

#[tokio::test]
async fn a_role_that_is_granted_redrives_by_sql_in_its_transaction() {
    let theatre = Theatre::open().await;
    die(&theatre, vec![named("a", Script::FailTimes(1)), named("b", Script::FailTimes(1))]).await;
    let mut tx = theatre.db.begin().await.unwrap();
    let role = format!("r_{}", Uuid::now_v7().simple());
    let create =
        format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA queue TO {role}; SET LOCAL ROLE {role}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *tx).await.unwrap();
    let call = "SELECT * FROM queue.redrive(kind => 'theatre.act', max_jobs => 1)";
    tx.execute("SAVEPOINT s").await.unwrap();
    let refused = tx.fetch_one(call).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));
    let grant = format!(
        "ROLLBACK TO s; RESET ROLE; GRANT EXECUTE ON FUNCTION queue.redrive TO {role};
        SET LOCAL ROLE {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut *tx).await.unwrap();
    let row = tx.fetch_one(call).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (1, 0));
    let after: Uuid = row.get(2);
    // In the transaction it is undone with, and with a cursor.
    let next = sqlx::query("SELECT * FROM queue.redrive(after => $1)").bind(after);
    assert_eq!(next.fetch_one(&mut *tx).await.unwrap().get::<i64, _>(0), 1);
    let none = tx.fetch_one("SELECT * FROM queue.redrive()").await.unwrap();
    assert_eq!((none.get::<i64, _>(0), none.get::<Option<Uuid>, _>(2)), (0, None));
    tx.rollback().await.unwrap();
    assert_eq!((count(&theatre, "ready").await, count(&theatre, "dead_letters").await), (0, 2));
    theatre.db.execute("SELECT queue.redrive()").await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn numbers_that_cannot_be_meant_are_refused_and_no_job_is_lost() {
    let theatre = Theatre::open().await;
    die(&theatre, vec![named("a", Script::Fail)]).await;
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
        let order = Redrive { per_second: Some(wrong), ..all() };
        let error = redrive(&theatre.db, &order, "ada").await.unwrap_err();
        assert!(matches!(error, Error::BadRate(_)), "{wrong}: {error}");
    }
    for wrong in [
        "per_second => 0",
        "per_second => 'NaN'",
        "per_second => 'Infinity'",
        "max_jobs => 0",
        "max_jobs => NULL",
        "max_jobs => 10001",
        "delay => NULL",
        "delay => '-1 s'",
        "delay => '11 years'",
    ] {
        let call = AssertSqlSafe(format!("SELECT queue.redrive({wrong})"));
        let error = sqlx::query(call).execute(&*theatre.db).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("22023"), "{wrong}");
    }
    assert_eq!(count(&theatre, "dead_letters").await, 1);
}

#[tokio::test]
async fn a_dead_job_whose_runs_were_dropped_can_still_be_tried_again() {
    let theatre = Theatre::open().await;
    let job =
        die(&theatre, vec![named("old", Script::Succeed), named("old", Script::Fail)]).await[1];
    sqlx::query("DELETE FROM queue.runs").execute(&*theatre.db).await.unwrap();
    sqlx::query("UPDATE queue.jobs SET args = jsonb_set(args, '{script}', '\"Succeed\"')")
        .execute(&*theatre.db)
        .await
        .unwrap();
    let groups = dead(&*theatre.db, &Dead::default()).await.unwrap();
    assert_eq!((groups[0].example, groups[0].error.as_deref()), (job, None));
    assert_eq!(redrive(&theatre.db, &all(), "ada").await.unwrap().retried, 1);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
}
