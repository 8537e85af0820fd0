use std::time::Duration;

use queue::schedule;
use queue::{Error, schedule::ScheduleView};

use crate::support::Theatre;

async fn declared() -> Theatre {
    let theatre = Theatre::open().await;
    schedule::declare(&theatre.db, &theatre.clock, theatre.fleet.schedules()).await.unwrap();
    theatre
}

impl Theatre {
    async fn tick(&self) -> usize {
        schedule::tick(&self.db, &self.clock, &self.fleet.kinds()).await.unwrap()
    }

    async fn schedule(&self) -> ScheduleView {
        schedule::list(&*self.db).await.unwrap().remove(0)
    }

    fn hours(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(3600 * hours));
    }
}

#[tokio::test]
async fn a_tick_happens_once_however_many_schedulers_there_are() {
    let theatre = declared().await;
    assert_eq!(theatre.tick().await, 0, "it is midnight, the schedule says three");
    theatre.hours(3);
    let all = tokio::join!(theatre.tick(), theatre.tick(), theatre.tick(), theatre.tick());
    assert_eq!(all.0 + all.1 + all.2 + all.3, 1);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    theatre.hours(24);
    assert_eq!(theatre.tick().await, 1);
}

#[tokio::test]
async fn missed_ticks_become_one() {
    let theatre = declared().await;
    theatre.hours(24 * 10);
    assert_eq!(theatre.tick().await, 1);
    assert_eq!(theatre.tick().await, 0);
    let schedule = theatre.schedule().await;
    assert_eq!(schedule.last_tick_at.unwrap().to_rfc3339(), "2025-03-10T03:00:00+00:00");
    assert_eq!(schedule.next_at.to_rfc3339(), "2025-03-11T03:00:00+00:00");
}

#[tokio::test]
async fn a_paused_schedule_stays_paused_through_a_deployment_and_makes_nothing_up() {
    let theatre = declared().await;
    let name = theatre.schedule().await.name;
    schedule::set_paused(&theatre.db, &theatre.clock, &name, true).await.unwrap();
    schedule::declare(&theatre.db, &theatre.clock, theatre.fleet.schedules()).await.unwrap();
    assert!(theatre.schedule().await.paused);
    theatre.hours(30);
    assert_eq!(theatre.tick().await, 0);
    schedule::set_paused(&theatre.db, &theatre.clock, &name, false).await.unwrap();
    assert_eq!(theatre.tick().await, 0);
    theatre.hours(24);
    assert_eq!(theatre.tick().await, 1);
}

#[tokio::test]
async fn a_schedule_can_be_run_now() {
    let theatre = declared().await;
    let name = theatre.schedule().await.name;
    let kinds = theatre.fleet.kinds();
    schedule::run_now(&theatre.db, &theatre.clock, &kinds, &name).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    let unknown = schedule::run_now(&theatre.db, &theatre.clock, &kinds, "nobody").await;
    assert!(matches!(unknown, Err(Error::NoSchedule(_))));
}

#[tokio::test]
async fn a_schedule_that_was_edited_badly_does_not_stop_the_others() {
    let theatre = declared().await;
    let bad = "INSERT INTO queue.schedules (name, kind, args, cron, next_at)
        VALUES ('bad', 'theatre.act', '{}', 'every tuesday', '2025-03-01T00:00:00Z')";
    sqlx::query(bad).execute(&*theatre.db).await.unwrap();
    theatre.hours(3);
    assert_eq!(theatre.tick().await, 1);
}

#[tokio::test]
async fn a_schedule_that_code_no_longer_declares_is_gone() {
    let theatre = declared().await;
    schedule::declare(&theatre.db, &theatre.clock, &[]).await.unwrap();
    assert!(schedule::list(&*theatre.db).await.unwrap().is_empty());
}
