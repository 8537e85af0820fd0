use std::time::Duration;

use queue::schedule::{self, Edit, Missed, Overlap, ScheduleView, When};
use queue::{Error, Fleet};

use crate::support::{Script, Theatre, act, named};

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

/// A schedule that ticks at every full hour and pushes a job that ends when it is run.
async fn hourly(overlap: Overlap, missed: Missed) -> Theatre {
    let mut theatre = Theatre::open().await;
    let when = When::cron("0 * * * *").overlap(overlap).missed(missed);
    theatre.fleet =
        Fleet::new(theatre.db.pool.clone(), theatre.clock.clone(), theatre.stage.clone())
            .worker(act)
            .cron(when, named("hourly", Script::FailTimes(1)));
    theatre.declare().await;
    theatre
}

impl Theatre {
    async fn declare(&self) {
        schedule::declare(&self.db, &self.clock, self.fleet.schedules()).await.unwrap();
    }

    async fn edit(&self, edit: Edit) -> Result<ScheduleView, Error> {
        schedule::edit(&self.db, &self.clock, &self.fleet.kinds(), "theatre.act", edit).await
    }

    /// Hours of the ticks that have happened, marked where they pushed nothing.
    async fn ticks(&self) -> Vec<String> {
        let ticks = "SELECT to_char(tick_at AT TIME ZONE 'UTC', 'HH24:MI')
                || CASE WHEN job IS NULL THEN ' skipped' ELSE '' END
            FROM queue.ticks ORDER BY tick_at";
        sqlx::query_scalar(ticks).fetch_all(&*self.db).await.unwrap()
    }

    /// Runs what is ready, and what then waits for its next attempt.
    async fn end_jobs(&self) {
        self.fleet.drain().await.unwrap();
        self.clock.advance(Duration::from_secs(30));
        self.fleet.drain().await.unwrap();
    }
}

#[tokio::test]
async fn overlap_allowed_pushes_while_an_earlier_job_has_not_ended() {
    let theatre = hourly(Overlap::Allow, Missed::LATEST).await;
    for _ in 0..3 {
        theatre.hours(1);
        assert_eq!(theatre.tick().await, 1);
    }
    assert_eq!(theatre.ticks().await, ["01:00", "02:00", "03:00"]);
}

#[tokio::test]
async fn overlap_skipped_pushes_nothing_until_the_earlier_job_has_ended() {
    let theatre = hourly(Overlap::Skip, Missed::LATEST).await;
    theatre.hours(1);
    assert_eq!(theatre.tick().await, 1);
    // It fails, and waits for its next attempt: that is not an end.
    theatre.fleet.drain().await.unwrap();
    theatre.hours(1);
    assert_eq!(theatre.tick().await, 0);
    theatre.end_jobs().await;
    assert_eq!(theatre.tick().await, 0, "the skipped tick is not made up");
    theatre.hours(1);
    assert_eq!(theatre.tick().await, 1);
    assert_eq!(theatre.ticks().await, ["01:00", "02:00 skipped", "03:00"]);
}

#[tokio::test]
async fn overlap_queued_lets_one_tick_wait_and_pushes_it_when_the_earlier_job_has_ended() {
    let theatre = hourly(Overlap::Queue, Missed::SKIP).await;
    for pushed in [1, 0, 0] {
        theatre.hours(1);
        assert_eq!(theatre.tick().await, pushed);
    }
    let waiting = theatre.schedule().await.waiting_at.unwrap();
    assert_eq!(waiting.to_rfc3339(), "2025-03-01T02:00:00+00:00");
    assert_eq!(theatre.ticks().await, ["01:00", "03:00 skipped"]);
    theatre.end_jobs().await;
    let all = tokio::join!(theatre.tick(), theatre.tick(), theatre.tick());
    assert_eq!(all.0 + all.1 + all.2, 1, "it is pushed once, though it is no longer on time");
    assert_eq!(theatre.schedule().await.waiting_at, None);
    assert_eq!(theatre.ticks().await, ["01:00", "02:00", "03:00 skipped"]);
}

#[tokio::test]
async fn a_tick_that_waits_is_given_up_by_a_pause() {
    let theatre = hourly(Overlap::Queue, Missed::LATEST).await;
    for pushed in [1, 0] {
        theatre.hours(1);
        assert_eq!(theatre.tick().await, pushed);
    }
    for paused in [true, false] {
        schedule::set_paused(&theatre.db, &theatre.clock, "theatre.act", paused).await.unwrap();
    }
    theatre.end_jobs().await;
    assert_eq!(theatre.tick().await, 0);
}

#[tokio::test]
async fn a_job_that_an_operator_ran_is_an_earlier_job_too() {
    let theatre = hourly(Overlap::Skip, Missed::LATEST).await;
    let kinds = theatre.fleet.kinds();
    schedule::run_now(&theatre.db, &theatre.clock, &kinds, "theatre.act").await.unwrap();
    theatre.hours(1);
    assert_eq!(theatre.tick().await, 0);
}

#[tokio::test]
async fn missed_ticks_are_skipped_where_the_schedule_says_so() {
    let theatre = hourly(Overlap::Allow, Missed::SKIP).await;
    theatre.clock.advance(Duration::from_secs(3600 + 60));
    assert_eq!(theatre.tick().await, 1, "a minute late is on time");
    theatre.clock.advance(Duration::from_secs(3600 + 1));
    assert_eq!(theatre.tick().await, 0);
    assert_eq!(theatre.schedule().await.next_at.to_rfc3339(), "2025-03-01T03:00:00+00:00");
    theatre.clock.advance(Duration::from_secs(3600 * 30 - 61));
    assert_eq!(theatre.tick().await, 1, "only the latest is on time");
}

#[tokio::test]
async fn all_missed_ticks_are_made_up_to_a_bound() {
    let theatre = hourly(Overlap::Allow, Missed::all_up_to(3).unwrap()).await;
    theatre.hours(2);
    assert_eq!(theatre.tick().await, 2);
    theatre.hours(10);
    assert_eq!(theatre.tick().await, 3);
    assert_eq!(theatre.ticks().await, ["01:00", "02:00", "10:00", "11:00", "12:00"]);
    theatre.hours(24 * 365 * 20);
    assert_eq!(theatre.tick().await, 3, "twenty years later");
    assert_eq!([Missed::all_up_to(0), Missed::all_up_to(101)], [None, None]);
}

#[tokio::test]
async fn missed_ticks_that_are_made_up_do_not_overlap_where_they_must_not() {
    let theatre = hourly(Overlap::Queue, Missed::all_up_to(4).unwrap()).await;
    theatre.hours(5);
    assert_eq!(theatre.tick().await, 1);
    assert_eq!(theatre.ticks().await, ["02:00", "04:00 skipped", "05:00 skipped"]);
    theatre.end_jobs().await;
    assert_eq!(theatre.tick().await, 1);
}

#[tokio::test]
async fn what_an_operator_edited_survives_a_deployment_until_it_is_reset() {
    let mut theatre = hourly(Overlap::Allow, Missed::LATEST).await;
    let edit = Edit {
        cron: Some("30 6 * * *".into()),
        zone: Some("Asia/Kolkata".into()),
        overlap: Some(Overlap::Skip),
        ..Edit::default()
    };
    let edited = theatre.edit(edit).await.unwrap();
    assert_eq!(edited.edited, ["cron", "zone", "overlap"]);
    assert_eq!(edited.next_at.to_rfc3339(), "2025-03-01T01:00:00+00:00");
    let again = theatre.edit(Edit { missed: Some(Missed::SKIP), ..Edit::default() }).await.unwrap();
    assert_eq!((again.cron.as_str(), again.missed), ("30 6 * * *", Missed::SKIP));

    // The next release declares something else, also for what nobody has edited.
    theatre.fleet =
        Fleet::new(theatre.db.pool.clone(), theatre.clock.clone(), theatre.stage.clone())
            .worker(act)
            .cron("15 4 * * *", named("daily", Script::Succeed));
    theatre.declare().await;
    let view = theatre.schedule().await;
    assert_eq!((view.cron.as_str(), view.zone.as_str()), ("30 6 * * *", "Asia/Kolkata"));
    assert_eq!((view.overlap, view.missed), (Overlap::Skip, Missed::SKIP));
    assert_eq!((&view.args["name"], view.next_at), (&"daily".into(), edited.next_at));

    let reset = schedule::reset(&theatre.db, &theatre.clock, "theatre.act").await.unwrap();
    assert_eq!((reset.cron.as_str(), reset.zone.as_str()), ("15 4 * * *", "UTC"));
    assert_eq!((reset.overlap, reset.missed), (Overlap::Allow, Missed::LATEST));
    assert_eq!(reset.next_at.to_rfc3339(), "2025-03-01T04:15:00+00:00");
    assert!(reset.edited.is_empty());
}

#[tokio::test]
async fn edited_arguments_are_those_of_the_next_job() {
    let theatre = hourly(Overlap::Allow, Missed::LATEST).await;
    let args = serde_json::to_value(named("edited", Script::Succeed)).unwrap();
    theatre.edit(Edit { args: Some(args), ..Edit::default() }).await.unwrap();
    theatre.hours(1);
    assert_eq!(theatre.tick().await, 1);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.saw("edited").len(), 1);
}

#[tokio::test]
async fn an_edit_that_cannot_be_meant_changes_nothing() {
    let theatre = hourly(Overlap::Allow, Missed::LATEST).await;
    let before = theatre.schedule().await;
    for (edit, reason) in [
        (Edit { cron: Some("0 0 30 2 *".into()), ..Edit::default() }, "never ticks"),
        (Edit { zone: Some("Mars/Base".into()), ..Edit::default() }, "unknown time zone"),
        (Edit { args: Some(serde_json::json!({})), ..Edit::default() }, "missing field"),
    ] {
        let error = theatre.edit(edit).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let after = theatre.schedule().await;
    assert_eq!(
        (&after.cron, &after.zone, after.next_at),
        (&before.cron, &before.zone, before.next_at)
    );
    assert!(after.edited.is_empty());
}

#[tokio::test]
async fn the_next_ticks_can_be_foretold() {
    let theatre = hourly(Overlap::Allow, Missed::LATEST).await;
    let edit = Edit { cron: Some("30 2 29 * *".into()), ..Edit::default() };
    let view = theatre.edit(edit).await.unwrap();
    let ticks = schedule::next_ticks(&view, 10).unwrap();
    let days: Vec<_> = ticks.iter().map(|tick| tick.format("%d.%m.").to_string()).collect();
    let months = (3..13).map(|month| format!("29.{month:02}."));
    assert_eq!(days, months.collect::<Vec<_>>());
}
