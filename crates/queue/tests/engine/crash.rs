//! Real processes, really killed.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use queue::inspect::JobState;
use queue::{Clock, Pool, WorkOptions, push, push_many};

use crate::support::{Script, Stage, Theatre, Wait, named, outcomes};

/// When set, this test binary is a worker process on that database.
const CHILD: &str = "BEADLE_TEST_WORKER_URL";
const LEASE: Duration = Duration::from_secs(1);

pub fn options() -> WorkOptions {
    WorkOptions {
        lease: LEASE,
        poll: Duration::from_millis(50),
        pooled: queue::testing::is_pooled(),
        ..WorkOptions::new(vec![Pool { queue: "theatre".into(), concurrency: 8 }])
    }
}

/// Does nothing in a normal run; started by the tests below, it works until it is killed.
#[tokio::test]
async fn worker_process() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let fleet = queue::Fleet::new(pool, Clock::system(), Stage::default())
        .worker(crate::support::act)
        .worker(crate::support::wait)
        .worker(crate::failure::fragile);
    let mut working = fleet.start(options());
    panic!("{}", working.broken().await);
}

/// A worker process, killed when it is dropped.
pub struct Worker(Child);

impl Worker {
    pub fn start(theatre: &Theatre) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::worker_process", "--nocapture"])
            .env(CHILD, theatre.db.url())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_job_of_a_dead_worker_runs_again_within_the_lease_time_and_a_second() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, Wait { heeds: false }).await.unwrap();
    let worker = Worker::start(&theatre);
    theatre.until(job.id, JobState::Running).await;
    drop(worker);
    let died = Instant::now();
    let _heir = theatre.fleet.start(options());
    let limit = died + LEASE + Duration::from_secs(1);
    while theatre.stage.saw("wait").is_empty() {
        assert!(Instant::now() < limit, "not taken over in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let view = theatre.view(job.id).await;
    assert_eq!(outcomes(&view), ["lost"]);
    assert_eq!((view.state, view.attempt), (JobState::Running, 2));
}

#[tokio::test]
async fn a_worker_that_slept_through_its_lease_changes_nothing() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, Wait { heeds: true }).await.unwrap();
    let worker = Worker::start(&theatre);
    theatre.until(job.id, JobState::Running).await;
    worker.signal("-STOP");
    let heir = theatre.fleet.start(options());
    let limit = Instant::now() + Duration::from_secs(20);
    while theatre.stage.saw("wait").is_empty() {
        assert!(Instant::now() < limit, "not taken over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.signal("-CONT");
    queue::cancel(&theatre.db, job.id, "test").await.unwrap();
    let view = theatre.until(job.id, JobState::Cancelled).await;
    assert_eq!(outcomes(&view), ["lost", "cancelled"]);
    heir.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_job_that_is_alive_is_not_started_twice() {
    let theatre = Theatre::live().await;
    let job = push(&*theatre.db, Wait { heeds: true }).await.unwrap();
    let first = theatre.fleet.start(options());
    let second = theatre.fleet.start(options());
    theatre.until(job.id, JobState::Running).await;
    let leases = async || -> Vec<(i64, f64)> {
        sqlx::query_as(
            "SELECT token, extract(epoch FROM expires_at - leased_at)::float8 FROM queue.leases",
        )
        .fetch_all(&*theatre.db)
        .await
        .unwrap()
    };
    // Until the lease has been extended well beyond what it was given.
    let limit = Instant::now() + Duration::from_secs(20);
    while leases().await[0].1 < 3.0 * LEASE.as_secs_f64() {
        assert!(Instant::now() < limit, "the lease is not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(theatre.stage.saw("wait").len(), 1);
    queue::cancel(&theatre.db, job.id, "test").await.unwrap();
    theatre.until(job.id, JobState::Cancelled).await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_when_workers_are_killed_again_and_again() {
    let theatre = Theatre::live().await;
    let jobs = (0..3000).map(|n| named(&n.to_string(), Script::Succeed));
    let jobs = jobs.map(|job| queue::Push::of(job).max_attempts(50));
    push_many(&*theatre.db, jobs).await.unwrap();
    let done = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM queue.runs WHERE outcome = 'done'")
            .fetch_one(&*theatre.db)
            .await
            .unwrap()
    };
    for round in 1..=4 {
        let worker = Worker::start(&theatre);
        let limit = Instant::now() + Duration::from_secs(20);
        while done().await < round * 300 && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(worker);
    }
    let _last = Worker::start(&theatre);
    let limit = Instant::now() + Duration::from_secs(30);
    while done().await < 3000 {
        assert!(Instant::now() < limit, "only {} of 3000 are done", done().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT job FROM queue.runs WHERE outcome = 'done' GROUP BY job HAVING count(*) > 1) d",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    assert_eq!((done().await, twice), (3000, 0));
}
