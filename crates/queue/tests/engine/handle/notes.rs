use std::time::{Duration, Instant};

use anyhow::bail;
use queue::inspect::{self, JobState};
use queue::{Level, Outcome, Push, Run, push, push_many};

use super::{Hang, WAIT, fleet, part, work};
use crate::support::Theatre;

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
async fn the_end_of_a_run_waits_until_the_database_takes_what_it_said() {
    let theatre = Theatre::open().await;
    sqlx::raw_sql(
        "CREATE SEQUENCE tries;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF nextval(''public.tries'') < 3 THEN RAISE ''out of order''; END IF; RETURN NEW; END';
        CREATE TRIGGER refuse BEFORE INSERT ON queue.logs FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .execute(&*theatre.db)
    .await
    .unwrap();
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        run.log(Level::Info, "over");
        Ok(Outcome::Done)
    });
    let job = push(&*theatre.db, part("")).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(inspect::logs(&*theatre.db, job.id, 10).await.unwrap().len(), 1);
}
