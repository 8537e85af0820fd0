//! A fleet with handlers that tests steer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use queue::inspect::{self, JobState, JobView};
use queue::testing::TestDatabase;
use queue::{Backoff, Clock, Fleet, Job, Outcome, Pool, Retry, Run, WorkOptions};
use serde::{Deserialize, Serialize};
use sqlx::migrate::Migrator;
use uuid::Uuid;

pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

pub const START: &str = "2025-03-01T00:00:00Z";

/// Does what `script` says, and counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Act {
    pub name: String,
    pub script: Script,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Script {
    #[default]
    Succeed,
    Fail,
    FailTimes(i16),
    Panic,
    SnoozeOnce,
    SnoozeForever,
    Discard,
    Hang,
}

impl Job for Act {
    const KIND: &'static str = "theatre.act";
    const RETRY: Retry = Retry::new(3, Backoff::seconds(10, 2.0, 3600));
    const TIMEOUT: Duration = Duration::from_millis(500);
}

/// Waits until it is asked to stop, or for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wait {
    pub heeds: bool,
}

impl Job for Wait {
    const KIND: &'static str = "theatre.wait";
}

/// What handlers saw, by the name of the job.
#[derive(Clone, Default)]
pub struct Stage {
    by_name: Arc<Mutex<HashMap<String, Vec<Seen>>>>,
    order: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub job: Uuid,
    pub attempt: i16,
    pub trace_id: Option<String>,
}

impl Stage {
    pub fn saw(&self, name: &str) -> Vec<Seen> {
        self.by_name.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    /// Names in the order in which their jobs started.
    pub fn order(&self) -> Vec<String> {
        self.order.lock().unwrap().clone()
    }

    fn note(&self, name: &str, run: &Run) -> usize {
        let trace_id = queue::Trace::current().map(|trace| trace.id());
        let seen = Seen { job: run.job_id(), attempt: run.attempt(), trace_id };
        self.order.lock().unwrap().push(name.to_owned());
        let mut stage = self.by_name.lock().unwrap();
        let all = stage.entry(name.to_owned()).or_default();
        all.push(seen);
        all.len()
    }
}

pub async fn act(job: Act, stage: Stage, run: Run) -> anyhow::Result<Outcome> {
    let times = stage.note(&job.name, &run);
    match job.script {
        Script::Succeed => Ok(Outcome::Done),
        Script::Fail => bail!("out of order"),
        Script::FailTimes(n) if run.attempt() <= n => bail!("out of order"),
        Script::FailTimes(_) => Ok(Outcome::Done),
        Script::Panic => panic!("forgot the words"),
        Script::SnoozeOnce if times == 1 => Ok(Outcome::Snooze(Duration::from_secs(60))),
        Script::SnoozeOnce => Ok(Outcome::Done),
        Script::SnoozeForever => Ok(Outcome::Snooze(Duration::MAX)),
        Script::Discard => Ok(Outcome::Discard("no audience".into())),
        Script::Hang => std::future::pending().await,
    }
}

pub async fn wait(job: Wait, stage: Stage, run: Run) -> anyhow::Result<Outcome> {
    stage.note("wait", &run);
    if job.heeds {
        run.cancelled().await;
        bail!("stopped when asked");
    }
    std::future::pending().await
}

/// As many at a time of everything the theatre plays, wherever its database is.
pub fn work(concurrency: usize) -> WorkOptions {
    let pools = vec![Pool { queue: "theatre".into(), concurrency }];
    WorkOptions { pooled: queue::testing::is_pooled(), ..WorkOptions::new(pools) }
}

/// A database, a stage and a fleet on a fixed clock.
pub struct Theatre {
    pub db: TestDatabase,
    pub clock: Clock,
    pub stage: Stage,
    pub fleet: Fleet<Stage>,
}

impl Theatre {
    /// With a clock that only tests move.
    pub async fn open() -> Self {
        Self::with(Clock::fixed(START.parse().unwrap())).await
    }

    /// With the database's clock, for workers that run by themselves.
    pub async fn live() -> Self {
        Self::with(Clock::system()).await
    }

    async fn with(clock: Clock) -> Self {
        let db = queue::testing::database(&MIGRATOR).await;
        let stage = Stage::default();
        let fleet = Self::fleet(&db, &clock, &stage);
        Self { db, clock, stage, fleet }
    }

    pub fn fleet(db: &TestDatabase, clock: &Clock, stage: &Stage) -> Fleet<Stage> {
        Fleet::new(db.pool.clone(), clock.clone(), stage.clone())
            .worker(act)
            .worker(wait)
            .cron("0 3 * * *", Act { name: "nightly".into(), script: Script::Succeed })
    }

    pub async fn view(&self, id: Uuid) -> JobView {
        inspect::job(&*self.db, id).await.unwrap().expect("the job exists")
    }

    pub async fn state(&self, id: Uuid) -> JobState {
        self.view(id).await.state
    }

    /// Waits for a job to be in a state, in the only way there is from outside a worker: asking.
    pub async fn until(&self, id: Uuid, state: JobState) -> JobView {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let view = self.view(id).await;
            if view.state == state {
                return view;
            }
            assert!(tokio::time::Instant::now() < limit, "still {}: {view:?}", view.state);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub fn outcomes(view: &JobView) -> Vec<&str> {
    view.runs.iter().map(|run| run.outcome.as_str()).collect()
}

pub fn named(name: &str, script: Script) -> Act {
    Act { name: name.into(), script }
}
