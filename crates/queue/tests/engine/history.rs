use std::time::Duration;

use queue::history::{drop_older, make_days};
use queue::inspect::{self, JobState};
use queue::{Clock, Push, push};

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
    // The fixed clock of tests has no partitions: its runs land in the fail-safe one.
    let theatre = Theatre::open().await;
    push(&*theatre.db, named("done", Script::Succeed)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    theatre.clock.advance(31 * DAY);
    let dropped = drop_older(&theatre.db, &theatre.clock, 30 * DAY).await.unwrap();
    assert_eq!(dropped.rows, 1);
}

#[tokio::test]
async fn days_are_made_ahead_once() {
    let theatre = Theatre::live().await;
    assert_eq!(make_days(&theatre.db, &theatre.clock).await.unwrap(), 0, "the migration made them");
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
