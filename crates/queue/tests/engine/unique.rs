use std::time::Duration;

use queue::inspect::JobState;
use queue::{Held, Placed, Push, Pushed, Retried, Unique, cancel, push, push_many, retry};
use sqlx::Executor;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, Wait, named};

const HOUR: Duration = Duration::from_secs(3600);

fn keyed(script: Script) -> Push {
    Push::of(named("keyed", script)).unique(Unique::key("k"))
}

fn duplicate(id: Uuid) -> Pushed {
    Pushed { id, placed: Placed::Duplicate(Held::UntilEnded) }
}

async fn keys(theatre: &Theatre) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM queue.unique_keys")
        .fetch_one(&*theatre.db)
        .await
        .unwrap()
}

/// The key is free: a push takes it, and leaves it again.
async fn assert_free(theatre: &Theatre, ending: &str) {
    assert_eq!(keys(theatre).await, 0, "{ending} left its key");
    let next = push(&*theatre.db, keyed(Script::Succeed)).await.unwrap();
    assert_eq!(next.placed, Placed::New, "after {ending}");
    cancel(&theatre.db, next.id, "test").await.unwrap();
}

#[tokio::test]
async fn a_key_is_held_by_one_job_of_its_kind_and_the_others_hear_which() {
    let theatre = Theatre::open().await;
    let first = push(&*theatre.db, keyed(Script::Succeed)).await.unwrap();
    assert_eq!(first.placed, Placed::New);
    let second = push(&*theatre.db, keyed(Script::Fail)).await.unwrap();
    assert_eq!(second, duplicate(first.id));
    let other_kind = Push::of(Wait { heeds: true }).unique(Unique::key("k"));
    assert_eq!(push(&*theatre.db, other_kind).await.unwrap().placed, Placed::New);
    let other_key = Push::of(Act::default()).unique(Unique::key("l"));
    assert_eq!(push(&*theatre.db, other_key).await.unwrap().placed, Placed::New);
    let no_key = push(&*theatre.db, named("keyed", Script::Succeed)).await.unwrap();
    assert_eq!(no_key.placed, Placed::New);
    let empty = push(&*theatre.db, Push::of(Act::default()).unique(Unique::key(""))).await;
    assert!(empty.unwrap_err().to_string().contains("ck_unique_keys_key"));
}

#[tokio::test]
async fn equal_arguments_are_one_job_whatever_the_order_of_their_fields() {
    let theatre = Theatre::open().await;
    let by_args = |name| Push::of(named(name, Script::Succeed)).unique(Unique::args());
    let first = push(&*theatre.db, by_args("a")).await.unwrap();
    assert_eq!(push(&*theatre.db, by_args("a")).await.unwrap(), duplicate(first.id));
    assert_eq!(push(&*theatre.db, by_args("b")).await.unwrap().placed, Placed::New);
    theatre.fleet.declare().await.unwrap();
    let by_sql: Uuid = sqlx::query_scalar(
        r#"WITH a(args) AS (VALUES (jsonb '{"script": "Succeed", "name": "a"}'))
        SELECT queue.push('theatre.act', args, unique_key => queue.key_of(args)) FROM a"#,
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    assert_eq!(by_sql, first.id);
}

#[tokio::test]
async fn in_a_batch_the_first_of_equal_keys_wins_and_the_rest_is_stored() {
    let theatre = Theatre::open().await;
    let held = push(&*theatre.db, Push::of(Act::default()).unique(Unique::key("held"))).await;
    let batch = [
        keyed(Script::Succeed),
        Push::of(named("plain", Script::Succeed)),
        keyed(Script::Succeed),
        Push::of(Act::default()).unique(Unique::key("held")),
    ];
    let pushed = push_many(&*theatre.db, batch).await.unwrap();
    assert_eq!((pushed[0].placed, pushed[1].placed), (Placed::New, Placed::New));
    assert_eq!(pushed[2], duplicate(pushed[0].id));
    assert_eq!(pushed[3], duplicate(held.unwrap().id));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 3);
    assert_eq!(theatre.stage.order(), ["", "keyed", "plain"]);
    assert_eq!(keys(&theatre).await, 0);
}

#[tokio::test]
async fn a_hundred_pushes_at_once_make_one_job() {
    let theatre = Theatre::open().await;
    // Connections are few on a shared server: each of the hundred is a task with one of twenty.
    let pool = PgPoolOptions::new().max_connections(20).connect(&theatre.db.url()).await.unwrap();
    let pushes = (0..100).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { push(&pool, keyed(Script::Succeed)).await.unwrap() })
    });
    let mut pushed = Vec::new();
    for task in pushes.collect::<Vec<_>>() {
        pushed.push(task.await.unwrap());
    }
    let new: Vec<_> = pushed.iter().filter(|job| job.placed == Placed::New).collect();
    assert_eq!(new.len(), 1);
    assert!(pushed.iter().all(|job| job.id == new[0].id), "all hear of the same job");
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    pool.close().await;
}

#[tokio::test]
async fn a_push_waits_for_the_transaction_that_was_first_and_wins_if_it_fails() {
    let theatre = Theatre::open().await;
    for commits in [true, false] {
        let mut tx = theatre.db.begin().await.unwrap();
        let first = push(&mut *tx, keyed(Script::Succeed)).await.unwrap();
        let pool = theatre.db.pool.clone();
        let second =
            tokio::spawn(async move { push(&pool, keyed(Script::Succeed)).await.unwrap() });
        until_somebody_waits(&theatre).await;
        if commits {
            tx.commit().await.unwrap();
            assert_eq!(second.await.unwrap(), duplicate(first.id));
            cancel(&theatre.db, first.id, "test").await.unwrap();
        } else {
            // What the server does when the process of the first one dies.
            drop(tx);
            let second = second.await.unwrap();
            assert_eq!(second.placed, Placed::New);
            assert_eq!(theatre.state(second.id).await, JobState::Ready);
        }
    }
}

async fn until_somebody_waits(theatre: &Theatre) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(&*theatre.db)
        .await
        .unwrap();
        if waiting {
            return;
        }
        assert!(tokio::time::Instant::now() < limit, "the second push does not wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_key_dies_with_its_job_however_it_ends() {
    let theatre = Theatre::open().await;
    for (script, outcome) in
        [(Script::Succeed, "done"), (Script::Discard, "discarded"), (Script::Fail, "dead")]
    {
        let job = push(&*theatre.db, keyed(script)).await.unwrap();
        while !matches!(
            theatre.state(job.id).await,
            JobState::Done | JobState::Discarded | JobState::Dead
        ) {
            let again = push(&*theatre.db, keyed(Script::Succeed)).await.unwrap();
            assert_eq!(again, duplicate(job.id), "held between attempts");
            theatre.fleet.drain().await.unwrap();
            theatre.clock.advance(HOUR);
        }
        assert_free(&theatre, outcome).await;
    }
    let waiting = push(&*theatre.db, keyed(Script::Succeed)).await.unwrap();
    cancel(&theatre.db, waiting.id, "test").await.unwrap();
    assert_free(&theatre, "cancelled").await;

    // A lease that nobody renews: lost twice, dead the third time.
    let lost = push(&*theatre.db, keyed(Script::Hang).max_attempts(1)).await.unwrap();
    theatre
        .db
        .execute(
            "WITH r AS (DELETE FROM queue.ready RETURNING *)
            INSERT INTO queue.leases (worker, jobs, attempts, max_attempts, leased_at, expires_at)
            SELECT 0, ARRAY[job], ARRAY[attempt], ARRAY[max_attempts], '2025-01-01', '2025-01-01'
            FROM r",
        )
        .await
        .unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.state(lost.id).await, JobState::Dead);
    assert_free(&theatre, "lost").await;
}

#[tokio::test]
async fn a_key_is_held_for_its_period_even_if_the_job_has_ended() {
    let theatre = Theatre::open().await;
    let hourly = || Push::of(named("h", Script::Succeed)).unique(Unique::key("h").within(HOUR));
    let first = push(&*theatre.db, hourly()).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    let second = push(&*theatre.db, hourly()).await.unwrap();
    assert_eq!(second.id, first.id);
    assert!(matches!(second.placed, Placed::Duplicate(Held::Until(_))), "{second:?}");
    theatre.db.execute("UPDATE queue.unique_keys SET until = now()").await.unwrap();
    assert_eq!(push(&*theatre.db, hourly()).await.unwrap().placed, Placed::New);
    let ages = Push::of(Act::default()).unique(Unique::key("h").within(Duration::MAX));
    assert!(matches!(push(&*theatre.db, ages).await, Err(queue::Error::BadArgs(_))));
}

#[tokio::test]
async fn a_key_that_is_held_while_its_job_is_kept_goes_with_its_day() {
    let theatre = Theatre::live().await;
    let once = || Push::of(named("o", Script::Succeed)).unique(Unique::key("o").while_kept());
    let first = push(&*theatre.db, once()).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    let second = push(&*theatre.db, once()).await.unwrap();
    assert_eq!(second, Pushed { id: first.id, placed: Placed::Duplicate(Held::WhileKept) });
    let next_year = queue::Clock::fixed(theatre.clock.now() + 400 * 24 * HOUR);
    queue::history::drop_older(&theatre.db, &next_year, 30 * 24 * HOUR).await.unwrap();
    assert_eq!(keys(&theatre).await, 0);
}

#[tokio::test]
async fn a_retried_job_takes_its_key_again_unless_another_has_it() {
    let theatre = Theatre::open().await;
    let dead = push(&*theatre.db, keyed(Script::Fail).max_attempts(1)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    let other = push(&*theatre.db, keyed(Script::Succeed)).await.unwrap();
    assert_eq!(retry(&theatre.db, dead.id, "ada").await.unwrap(), Retried::KeyTaken(other.id));
    assert_eq!(theatre.state(dead.id).await, JobState::Dead);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(retry(&theatre.db, dead.id, "ada").await.unwrap(), Retried::Now);
    assert_eq!(push(&*theatre.db, keyed(Script::Succeed)).await.unwrap(), duplicate(dead.id));
}
