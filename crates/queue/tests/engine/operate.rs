use std::time::Duration;

use queue::inspect::{Filter, JobState, jobs, queues};
use queue::{
    Cancelled, Pool, Push, Retried, WorkOptions, cancel, push, push_bulk, push_many, retry,
};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, Wait, named, outcomes};

fn one_pool(concurrency: usize) -> WorkOptions {
    WorkOptions {
        lease: Duration::from_millis(900),
        poll: Duration::from_millis(50),
        shutdown: Duration::from_millis(100),
        pooled: queue::testing::is_pooled(),
        ..WorkOptions::new(vec![Pool { queue: "theatre".into(), concurrency }])
    }
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once() {
    let theatre = Theatre::open().await;
    let ready = push(&*theatre.db, Act::default()).await.unwrap();
    let later = Push::of(Act::default()).delay(Duration::from_secs(60));
    let later = push(&*theatre.db, later).await.unwrap();
    for id in [ready.id, later.id] {
        assert_eq!(cancel(&theatre.db, id, "ada").await.unwrap(), Cancelled::Now);
        assert_eq!(cancel(&theatre.db, id, "ada").await.unwrap(), Cancelled::AlreadyEnded);
        let view = theatre.view(id).await;
        assert_eq!((view.state, view.runs[0].worker.as_str()), (JobState::Cancelled, "ada"));
    }
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
    assert_eq!(cancel(&theatre.db, Uuid::now_v7(), "ada").await.unwrap(), Cancelled::NoSuchJob);
}

#[tokio::test]
async fn a_running_job_is_asked_to_stop_and_dropped_if_it_does_not() {
    let theatre = Theatre::live().await;
    let working = theatre.fleet.start(one_pool(4));
    for heeds in [true, false] {
        let job = push(&*theatre.db, Wait { heeds }).await.unwrap();
        theatre.until(job.id, JobState::Running).await;
        assert_eq!(cancel(&theatre.db, job.id, "ada").await.unwrap(), Cancelled::Asked);
        let view = theatre.until(job.id, JobState::Cancelled).await;
        assert_eq!(outcomes(&view), ["cancelled"]);
    }
    let asked: i64 = sqlx::query_scalar("SELECT count(*) FROM queue.cancellations")
        .fetch_one(&*theatre.db)
        .await
        .unwrap();
    assert_eq!(asked, 0, "a request that was heeded is gone");
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_asked_to_stop_between_two_attempts_does_not_start_again() {
    let theatre = Theatre::open().await;
    let job = push(&*theatre.db, named("stopped", Script::Succeed)).await.unwrap();
    // The request came while the first attempt ran, and the attempt failed before it was heard.
    sqlx::query("INSERT INTO queue.cancellations (job) VALUES ($1)")
        .bind(job.id)
        .execute(&*theatre.db)
        .await
        .unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("cancelled"), 1);
    assert!(theatre.stage.saw("stopped").is_empty(), "the handler was not called");
    assert_eq!(retry(&theatre.db, job.id, "ada").await.unwrap(), Retried::Now);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1, "the request was for then");
}

#[tokio::test]
async fn leases_are_renewed_while_handlers_hold_every_connection() {
    let theatre = Theatre::live().await;
    let mut watcher = sqlx::PgConnection::connect(&theatre.db.url()).await.unwrap();
    let job = push(&*theatre.db, Wait { heeds: true }).await.unwrap();
    let working = theatre.fleet.start(one_pool(1));
    theatre.until(job.id, JobState::Running).await;
    let mut held = Vec::new();
    for _ in 0..theatre.db.options().get_max_connections() {
        held.push(theatre.db.acquire().await.unwrap());
    }
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let extended: Option<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM expires_at - leased_at)::float8 FROM queue.leases",
        )
        .fetch_optional(&mut watcher)
        .await
        .unwrap();
        if extended.expect("the lease is kept") > 3.0 * 0.9 {
            break;
        }
        assert!(tokio::time::Instant::now() < limit, "the lease is not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(held);
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_job_can_be_tried_again_and_has_all_its_attempts() {
    let theatre = Theatre::open().await;
    let job = push(&*theatre.db, named("again", Script::FailTimes(4))).await.unwrap();
    let drain = async || {
        let drained = theatre.fleet.drain().await.unwrap();
        theatre.clock.advance(Duration::from_secs(3600));
        drained
    };
    for _ in 0..3 {
        drain().await;
    }
    assert_eq!(theatre.state(job.id).await, JobState::Dead);
    let both = tokio::join!(retry(&theatre.db, job.id, "ada"), retry(&theatre.db, job.id, "grace"));
    let both = [both.0.unwrap(), both.1.unwrap()];
    assert!(both.contains(&Retried::Now) && both.contains(&Retried::Not(JobState::Ready)));
    drain().await;
    assert_eq!(drain().await.of("done"), 1);
    let view = theatre.view(job.id).await;
    assert_eq!(outcomes(&view), ["failed", "failed", "dead", "retried", "failed", "done"]);
    assert_eq!(view.attempt, 5);
    let done = retry(&theatre.db, job.id, "ada").await.unwrap();
    assert_eq!(done, Retried::Not(JobState::Done));
    assert_eq!(retry(&theatre.db, Uuid::now_v7(), "ada").await.unwrap(), Retried::NoSuchJob);
}

#[tokio::test]
async fn at_shutdown_running_jobs_end_or_go_back_without_losing_an_attempt() {
    let theatre = Theatre::live().await;
    let working = theatre.fleet.start(one_pool(1));
    let running = push(&*theatre.db, Wait { heeds: false }).await.unwrap();
    theatre.until(running.id, JobState::Running).await;
    let waiting = push(&*theatre.db, Wait { heeds: false }).await.unwrap();
    working.stop().await.unwrap();
    let view = theatre.view(running.id).await;
    assert_eq!((view.state, view.attempt), (JobState::Ready, 1));
    assert_eq!(outcomes(&view), ["released"]);
    assert_eq!(theatre.state(waiting.id).await, JobState::Ready);
}

#[tokio::test]
async fn jobs_that_were_taken_ahead_go_back_at_shutdown_as_if_they_had_not_been() {
    let theatre = Theatre::live().await;
    let quick = |n: i32| Push::of(named(&n.to_string(), Script::Succeed));
    let jobs = (0..200).map(quick).chain([Push::of(Wait { heeds: false })]);
    let jobs = push_many(&*theatre.db, jobs.chain((200..400).map(quick))).await.unwrap();
    let working =
        theatre.fleet.start(WorkOptions { lease: Duration::from_secs(10), ..one_pool(1) });
    theatre.until(jobs[200].id, JobState::Running).await;
    working.stop().await.unwrap();
    let taken_ahead: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM queue.runs WHERE outcome = 'released' AND started_at = ended_at",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    assert!(taken_ahead > 0, "quick jobs are taken ahead");
    for job in &jobs[201..] {
        let view = theatre.view(job.id).await;
        assert_eq!((view.state, view.attempt), (JobState::Ready, 1));
    }
    assert!(theatre.stage.saw("200").is_empty());
}

#[tokio::test]
async fn workers_share_a_queue_and_every_job_runs_once() {
    let theatre = Theatre::live().await;
    let workers = [theatre.fleet.start(one_pool(4)), theatre.fleet.start(one_pool(4))];
    let batch = (0..200).map(|n| named(&n.to_string(), Script::Succeed));
    let pushed = push_many(&*theatre.db, batch).await.unwrap();
    for job in &pushed {
        theatre.until(job.id, JobState::Done).await;
    }
    for n in 0..200 {
        assert_eq!(theatre.stage.saw(&n.to_string()).len(), 1);
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_survives_the_loss_of_its_connections() {
    let theatre = Theatre::live().await;
    let working = theatre.fleet.start(one_pool(2));
    let mut last = None;
    for round in 0..5 {
        let pushed = push(&*theatre.db, named(&format!("r{round}"), Script::Succeed)).await;
        // Its own connection may be the one that was cut.
        if let Ok(job) = pushed {
            last = Some(job);
        }
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&*theatre.db)
        .await
        .ok();
    }
    let job = last.expect("one push succeeded");
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(Some(view)) = queue::inspect::job(&*theatre.db, job.id).await
            && view.state == JobState::Done
        {
            break;
        }
        assert!(tokio::time::Instant::now() < limit, "the worker did not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    working.stop().await.unwrap();
}

#[tokio::test]
async fn lists_show_where_jobs_stand() {
    let theatre = Theatre::open().await;
    let dead = push(&*theatre.db, named("dead", Script::Discard)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    let ready = push(&*theatre.db, Act::default()).await.unwrap();
    let later = Push::of(Act::default()).delay(Duration::from_secs(60));
    let later = push(&*theatre.db, later).await.unwrap();
    let list = async |state| {
        let filter = Filter { state, limit: 10, ..Filter::default() };
        let lines = jobs(&*theatre.db, &filter).await.unwrap();
        lines.iter().map(|line| (line.id, line.state)).collect::<Vec<_>>()
    };
    let all = [
        (later.id, JobState::Scheduled),
        (ready.id, JobState::Ready),
        (dead.id, JobState::Discarded),
    ];
    assert_eq!(list(None).await, all);
    for expected in all {
        assert_eq!(list(Some(expected.1)).await, [expected]);
    }
    let queues = queues(&*theatre.db).await.unwrap();
    assert_eq!((queues[0].name.as_str(), queues[0].ready, queues[0].scheduled), ("theatre", 1, 1));
}

#[tokio::test]
async fn notifications_arrive_unless_these_tests_are_to_do_without() {
    let theatre = Theatre::live().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&theatre.db).await.unwrap();
    listener.listen("call").await.unwrap();
    sqlx::query("SELECT pg_notify('call', '')").execute(&*theatre.db).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_millis(500), listener.recv()).await.is_ok();
    assert_eq!(heard, std::env::var_os("BEADLE_TEST_DEAF").is_none());
}

#[tokio::test]
async fn a_transaction_that_stays_open_holds_up_its_own_jobs_and_no_others() {
    let theatre = Theatre::live().await;
    let jobs = push_many(&*theatre.db, (0..4).map(|_| Act::default())).await.unwrap();
    let mut operator = theatre.db.begin().await.unwrap();
    let cancel = sqlx::query("SELECT queue.cancel($1)").bind(jobs[0].id);
    cancel.execute(&mut *operator).await.unwrap();
    let working = theatre.fleet.start(one_pool(4));
    for job in &jobs[1..] {
        theatre.until(job.id, JobState::Done).await;
    }
    let late = push(&*theatre.db, Act::default()).await.unwrap();
    theatre.until(late.id, JobState::Done).await;
    operator.rollback().await.unwrap();
    theatre.until(jobs[0].id, JobState::Done).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn an_idle_worker_is_told_again_after_its_flag_has_fallen() {
    // Where nothing is heard there is no flag.
    if queue::testing::is_pooled() || std::env::var_os("BEADLE_TEST_DEAF").is_some() {
        return;
    }
    let theatre = Theatre::live().await;
    let working = theatre.fleet.start(one_pool(4));
    let flag = flag_of(&theatre, 0).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(flag).execute(&*theatre.db).await.unwrap();
    assert_ne!(flag_of(&theatre, flag).await, flag);
    working.stop().await.unwrap();
}

/// Waits until another connection than that holds the flag of an idle worker up.
async fn flag_of(theatre: &Theatre, other_than: i32) -> i32 {
    let flag = "SELECT min(pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE locktype = 'advisory' AND classid = 1111834948 AND granted AND mode = 'ShareLock'
            AND datname = current_database() AND pid <> $1";
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let flag = sqlx::query_scalar::<_, Option<i32>>(flag).bind(other_than);
        if let Some(pid) = flag.fetch_one(&*theatre.db).await.unwrap() {
            return pid;
        }
        assert!(tokio::time::Instant::now() < limit, "no flag is up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_others_take_under_the_hands_of_a_claim_hides_nothing_behind_it() {
    const JOBS: i64 = 5000;
    const TAKEN: i64 = 600;
    let theatre = Theatre::live().await;
    let mut connection = theatre.db.acquire().await.unwrap();
    push_bulk(&mut connection, (0..JOBS).map(|_| Act::default())).await.unwrap();
    // All that its first claims find is already being taken, by one after the other.
    let mut other = take(&theatre, 0, TAKEN).await;
    let working = theatre.fleet.start(one_pool(256));
    for portion in 1..=3 {
        claim_waits_for(&theatre, &mut other).await;
        let next = take(&theatre, portion * TAKEN, (portion + 1) * TAKEN).await;
        std::mem::replace(&mut other, next).commit().await.unwrap();
    }
    claim_waits_for(&theatre, &mut other).await;
    other.commit().await.unwrap();
    // Long before the sweep, which would find the rest.
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    while (theatre.stage.order().len() as i64) < JOBS - 4 * TAKEN {
        assert!(tokio::time::Instant::now() < limit, "{} are done", theatre.stage.order().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    working.stop().await.unwrap();
}

/// Takes jobs by their `seq`, and does not commit yet.
async fn take(
    theatre: &Theatre,
    after: i64,
    until: i64,
) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut other = theatre.db.begin().await.unwrap();
    sqlx::query("DELETE FROM queue.ready WHERE seq > $1 AND seq <= $2")
        .bind(after)
        .bind(until)
        .execute(&mut *other)
        .await
        .unwrap();
    other
}

async fn claim_waits_for(theatre: &Theatre, other: &mut sqlx::PgConnection) {
    let number = sqlx::query_scalar::<_, String>("SELECT pg_current_xact_id()::text");
    let number = number.fetch_one(other).await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks
        WHERE NOT granted AND locktype = 'transactionid' AND transactionid::text = $1";
    let waits = || sqlx::query_scalar::<_, i64>(waits).bind(&number);
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while waits().fetch_one(&*theatre.db).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < limit, "no claim waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
