use std::time::Duration;

use queue::history::{drop_older, make_days};
use queue::inspect::{self, JobState};
use queue::{
    Cancelled, Clock, Error, Limit, Push, Retried, SetRules, cancel, keep, push, push_many, retry,
    set_limit, set_rules,
};
use sqlx::Executor;
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, named};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn history_is_dropped_by_the_day_and_jobs_stay_while_anything_refers_to_them() {
    let theatre = Theatre::live().await;
    let done = push(&*theatre.db, named("done", Script::Succeed)).await.unwrap();
    let later = Push::of(Act::default()).delay(400 * DAY);
    let later = push(&*theatre.db, later).await.unwrap();
    theatre.fleet.drain().await.unwrap();

    let next_month = Clock::fixed(theatre.clock.now() + 40 * DAY);
    let kept = drop_older(&theatre.db, &next_month, 60 * DAY).await.unwrap();
    assert_eq!(kept, Default::default());

    let dropped = drop_older(&theatre.db, &next_month, 30 * DAY).await.unwrap();
    assert!(dropped.days_of_runs >= 1 && dropped.days_of_jobs >= 1, "{dropped:?}");
    assert_eq!(theatre.state(done.id).await, JobState::Pruned, "its day is kept by the other");
    assert_eq!(theatre.state(later.id).await, JobState::Scheduled);

    queue::cancel(&theatre.db, later.id, "test").await.unwrap();
    let next_year = Clock::fixed(theatre.clock.now() + 400 * DAY);
    drop_older(&theatre.db, &next_year, 30 * DAY).await.unwrap();
    assert!(inspect::job(&*theatre.db, done.id).await.unwrap().is_none());
    assert!(inspect::job(&*theatre.db, later.id).await.unwrap().is_none());
}

#[tokio::test]
async fn rows_that_found_no_day_are_kept_and_dropped_alike() {
    let theatre = Theatre::open().await;
    // A job of the tests' own time, when there were no days.
    theatre
        .db
        .execute(
            "WITH job AS (
                INSERT INTO queue.jobs (id, kind, queue, args, max_attempts)
                VALUES (queue.first_id_at('2025-03-01'), 'theatre.act', 'theatre', '{\"name\": \"old\", \"script\": \"Succeed\"}', 3)
                RETURNING id
            )
            INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
            SELECT 'theatre', 0, id, 1, 3 FROM job",
        )
        .await
        .unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    theatre.clock.advance(29 * DAY);
    let kept = drop_older(&theatre.db, &theatre.clock, 30 * DAY).await.unwrap();
    assert_eq!(kept, Default::default());
    theatre.clock.advance(2 * DAY);
    let dropped = drop_older(&theatre.db, &theatre.clock, 30 * DAY).await.unwrap();
    assert_eq!(dropped.rows, 2, "the run, then the job");
}

#[tokio::test]
async fn a_run_is_kept_for_its_own_time_however_old_its_job_is() {
    let theatre = Theatre::live().await;
    let late = push(&*theatre.db, named("late", Script::Succeed)).await.unwrap();
    let in_40_days = Clock::fixed(theatre.clock.now() + 40 * DAY);
    Theatre::fleet(&theatre.db, &in_40_days, &theatre.stage).drain().await.unwrap();
    let a_day_later = Clock::fixed(in_40_days.now() + DAY);
    drop_older(&theatre.db, &a_day_later, 30 * DAY).await.unwrap();
    assert_eq!(theatre.state(late.id).await, JobState::Done);
    let in_80_days = Clock::fixed(in_40_days.now() + 40 * DAY);
    drop_older(&theatre.db, &in_80_days, 30 * DAY).await.unwrap();
    assert!(inspect::job(&*theatre.db, late.id).await.unwrap().is_none());
}

#[tokio::test]
async fn each_queue_is_kept_for_its_own_time_and_what_is_dead_is_driven_again_until_then() {
    let theatre = Theatre::live().await;
    let short = push(&*theatre.db, named("short", Script::Discard)).await.unwrap();
    let (like_most, long): (Uuid, Uuid) = sqlx::query_as(
        "WITH jobs AS (
            INSERT INTO queue.jobs (id, kind, queue, args, max_attempts)
            SELECT queue.new_id(), queue || '.act', queue, '{}', 3
            FROM unnest(ARRAY['most', 'archive']) AS q(queue)
            RETURNING id, queue
        ), runs AS (
            INSERT INTO queue.runs (job, token, attempt, outcome, note, started_at, ended_at)
            SELECT id, 0, 1, 'dead', 'out of order', now(), now() FROM jobs
        ), letters AS (
            INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
            SELECT id, now(), queue || '.act', queue, 'dead', 'exhausted', '' FROM jobs
        )
        SELECT (SELECT id FROM jobs WHERE queue = 'most'), (SELECT id FROM jobs WHERE queue = 'archive')",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    theatre.fleet.drain().await.unwrap();
    keep(&theatre.db, "theatre", Some(10)).await.unwrap();
    keep(&theatre.db, "archive", Some(90)).await.unwrap();
    let kept_after = async |days: u32| {
        let then = Clock::fixed(theatre.clock.now() + days * DAY);
        drop_older(&theatre.db, &then, 30 * DAY).await.unwrap();
        let mut kept = Vec::new();
        for id in [short.id, like_most, long] {
            kept.push(inspect::job(&*theatre.db, id).await.unwrap().map(|view| view.runs.len()));
        }
        kept
    };
    assert_eq!(kept_after(9).await, [Some(1), Some(1), Some(1)]);
    assert_eq!(kept_after(12).await, [None, Some(1), Some(1)]);
    assert_eq!(kept_after(40).await, [None, None, Some(1)]);
    assert_eq!(kept_after(89).await, [None, None, Some(1)]);
    assert_eq!(retry(&theatre.db, long, "ada").await.unwrap(), Retried::Now);
    assert_eq!(kept_after(92).await[2], Some(0), "it waits, whatever became of its history");
    assert_eq!(cancel(&theatre.db, long, "ada").await.unwrap(), Cancelled::Now);
    let dropped = theatre.clock.now() + 92 * DAY;
    let dropped = drop_older(&theatre.db, &Clock::fixed(dropped), 30 * DAY).await.unwrap();
    assert!(dropped.days_of_jobs > 0, "its day goes whole: {dropped:?}");
    let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM queue.dead_letters")
        .fetch_one(&*theatre.db)
        .await
        .unwrap();
    assert_eq!(letters, 0);
}

#[tokio::test]
async fn a_queue_is_kept_like_most_again_and_for_no_impossible_time() {
    let theatre = Theatre::live().await;
    let done = push(&*theatre.db, named("done", Script::Succeed)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    for days in [0, -1, 3651] {
        assert!(matches!(keep(&theatre.db, "theatre", Some(days)).await, Err(Error::BadRule(_))));
    }
    assert!(matches!(keep(&theatre.db, "No Queue", Some(1)).await, Err(Error::BadRule(_))));
    keep(&theatre.db, "theatre", Some(1)).await.unwrap();
    keep(&theatre.db, "theatre", None).await.unwrap();
    let in_20_days = Clock::fixed(theatre.clock.now() + 20 * DAY);
    drop_older(&theatre.db, &in_20_days, 30 * DAY).await.unwrap();
    assert_eq!(theatre.state(done.id).await, JobState::Done);
}

#[tokio::test]
async fn what_a_key_has_taken_from_its_rate_is_kept_until_it_is_made_up_for() {
    let theatre = Theatre::live().await;
    let rate = SetRules { key_per_second: Some(Some(1.0)), ..SetRules::default() };
    set_rules(&*theatre.db, "theatre", &rate).await.unwrap();
    let slow = Limit { per_second: Some(0.001), ..Limit::default() };
    set_limit(&*theatre.db, "theatre", "slow", &slow).await.unwrap();
    let act = |key: &str| Push::from(named(key, Script::Succeed)).key(key);
    push_many(&*theatre.db, [act("quick"), act("slow")]).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
    let buckets = async || {
        let keys = "SELECT key FROM queue.buckets ORDER BY key";
        sqlx::query_scalar::<_, String>(keys).fetch_all(&*theatre.db).await.unwrap()
    };
    assert_eq!(buckets().await, ["quick", "slow"]);
    let after = async |seconds| {
        let then = Clock::fixed(theatre.clock.now() + Duration::from_secs(seconds));
        drop_older(&theatre.db, &then, 30 * DAY).await.unwrap();
    };
    after(60).await;
    assert_eq!(buckets().await, ["slow"]);
    set_limit(&*theatre.db, "theatre", "slow", &Limit::default()).await.unwrap();
    set_rules(&*theatre.db, "theatre", &SetRules::none()).await.unwrap();
    after(0).await;
    assert!(buckets().await.is_empty(), "it has no rate any more");
}

#[tokio::test]
async fn days_are_made_ahead_once() {
    let theatre = Theatre::live().await;
    let days = "SELECT count(*) FROM pg_inherits
        WHERE inhparent = 'queue.jobs'::regclass AND inhrelid <> 'queue.jobs_default'::regclass";
    let days: i64 = sqlx::query_scalar(days).fetch_one(&*theatre.db).await.unwrap();
    assert_eq!(days, 8, "the migration made them");
    // It may have been another day when it did.
    make_days(&theatre.db, &theatre.clock).await.unwrap();
    assert_eq!(make_days(&theatre.db, &theatre.clock).await.unwrap(), 0);
    let in_a_week = Clock::fixed(theatre.clock.now() + 7 * DAY);
    let missing = make_days(&theatre.db, &in_a_week).await.unwrap();
    assert_eq!(missing, 14, "seven days of two tables");
    assert_eq!(make_days(&theatre.db, &in_a_week).await.unwrap(), 0);
}

#[tokio::test]
async fn a_long_reader_delays_a_new_day_and_nothing_else() {
    let theatre = Theatre::live().await;
    let mut reader = theatre.db.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM queue.jobs").execute(&mut *reader).await.unwrap();
    let in_a_week = Clock::fixed(theatre.clock.now() + 7 * DAY);
    let (made, pushed) = tokio::join!(
        make_days(&theatre.db, &in_a_week),
        tokio::time::timeout(Duration::from_secs(5), push(&*theatre.db, Act::default())),
    );
    assert!(format!("{:?}", made.unwrap_err()).contains("lock timeout"));
    pushed.expect("the push is let in").unwrap();
    reader.rollback().await.unwrap();
    assert!(make_days(&theatre.db, &in_a_week).await.unwrap() > 0);
}

#[tokio::test]
async fn a_job_that_is_just_being_tried_again_is_not_dropped_with_its_day() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, named("fails", Script::Fail)).await.unwrap();
    sqlx::query("UPDATE queue.ready SET max_attempts = 1").execute(&*theatre.db).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("dead"), 1);
    // Its runs have been dropped before it.
    let drop_runs = "DO $$ DECLARE day regclass; BEGIN
        FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'queue.runs'::regclass
            AND inhrelid <> 'queue.runs_default'::regclass
        LOOP EXECUTE format('DROP TABLE %s', day); END LOOP;
    END $$";
    theatre.db.execute(drop_runs).await.unwrap();
    let mut operator = theatre.db.begin().await.unwrap();
    operator.execute("SELECT queue.redrive()").await.unwrap();
    let next_month = Clock::fixed(theatre.clock.now() + 40 * DAY);
    let commit_while_it_waits = async {
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE NOT granted AND locktype = 'relation' AND datname = current_database()";
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&*theatre.db).await.unwrap() == 0 {
            assert!(tokio::time::Instant::now() < limit, "no drop waits");
            tokio::task::yield_now().await;
        }
        operator.commit().await.unwrap();
    };
    let (dropped, ()) =
        tokio::join!(drop_older(&theatre.db, &next_month, 30 * DAY), commit_while_it_waits);
    assert_eq!(theatre.state(job.id).await, JobState::Ready, "{dropped:?}");
}
