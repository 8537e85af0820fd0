//! Handlers that block their thread and do not hear that they should stop.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use queue::inspect::JobState;
use queue::testing::TestDatabase;
use queue::{
    Clock, Fleet, Job, Outcome, Pool, Push, Run, WorkOptions, Working, inspect, push_many,
};
use serde::{Deserialize, Serialize};
use sqlx::Executor;
use tracing_subscriber::fmt;
use uuid::Uuid;

use crate::support::MIGRATOR;

const BLOCKS: &str = "a handler was told to stop and does not: it blocks its thread";
const LETS_GO: &str = "a handler that did not stop has let go";
const LIMIT: Duration = Duration::from_secs(20);

/// Keeps its thread, or waits, until it is released; a kind for each way of being told.
macro_rules! kinds {
    ($($job:ident $kind:literal $timeout:expr;)*) => {$(
        #[derive(Serialize, Deserialize)]
        struct $job {
            blocks: bool,
        }

        impl Job for $job {
            const KIND: &'static str = $kind;
            const TIMEOUT: Duration = $timeout;
        }

        impl $job {
            async fn run(self, released: Released, _: Run) -> anyhow::Result<Outcome> {
                released.begun.fetch_add(1, Ordering::Relaxed);
                if !self.blocks {
                    std::future::pending::<()>().await;
                }
                let limit = Instant::now() + LIMIT;
                while !released.let_go.load(Ordering::Relaxed) && Instant::now() < limit {
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Only now, dropping it takes hold.
                std::future::pending().await
            }
        }
    )*};
}

kinds! {
    Late "stuck.late" Duration::from_millis(200);
    Unwanted "stuck.unwanted" LIMIT;
    Bereft "stuck.bereft" LIMIT;
    Hindrance "stuck.hindrance" LIMIT;
    Last "stuck.last" LIMIT;
}

/// Two that are run together, until they are released.
#[derive(Serialize, Deserialize)]
struct Crowd {}

impl Job for Crowd {
    const KIND: &'static str = "stuck.crowd";
    const TIMEOUT: Duration = LIMIT;
}

async fn crowd(
    jobs: Vec<(Crowd, Run)>,
    released: Released,
) -> anyhow::Result<Vec<anyhow::Result<Outcome>>> {
    released.begun.fetch_add(1, Ordering::Relaxed);
    while !released.let_go.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let result = |(_, run): &(Crowd, Run)| match run.is_cancelled() {
        true => Err(anyhow::anyhow!("stopped when asked")),
        false => Ok(Outcome::Done),
    };
    Ok(jobs.iter().map(result).collect())
}

/// What handlers and tests tell each other.
#[derive(Clone, Default)]
struct Released {
    let_go: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
}

struct House {
    db: TestDatabase,
    released: Released,
    working: Working,
}

impl House {
    async fn open() -> Self {
        listen();
        let db = queue::testing::database(&MIGRATOR).await;
        let released = Released::default();
        let fleet = Fleet::new(db.pool.clone(), Clock::system(), released.clone())
            .worker(Late::run)
            .worker(Unwanted::run)
            .worker(Bereft::run)
            .worker(Hindrance::run)
            .worker(Last::run)
            .chunk_worker(2, crowd);
        let working = fleet.start(WorkOptions {
            // Long enough for a machine that is busy: a rescued handler would be reported twice.
            lease: Duration::from_secs(3),
            poll: Duration::from_millis(50),
            shutdown: Duration::from_millis(100),
            pooled: queue::testing::is_pooled(),
            ..WorkOptions::new(vec![Pool { queue: "stuck".into(), concurrency: 2 }])
        });
        Self { db, released, working }
    }

    async fn starts(&self, job: impl Into<Push>) -> Uuid {
        self.start_all([job.into()]).await[0]
    }

    async fn start_all<const N: usize>(&self, jobs: [Push; N]) -> [Uuid; N] {
        let begun = || self.released.begun.load(Ordering::Relaxed);
        let before = begun();
        let pushed = push_many(&*self.db, jobs).await.unwrap();
        // Under a lease it may still stand in the line, and would go back from there.
        until("its handler begins", async || begun() > before).await;
        std::array::from_fn(|n| pushed[n].id)
    }

    async fn until(&self, id: Uuid, state: JobState) {
        let view = async || inspect::job(&*self.db, id).await.unwrap().unwrap();
        until("it gets there", async || view().await.state == state).await;
    }

    /// It has been told to stop: it is reported, and again when it stops.
    async fn is_reported(&self, id: Uuid, kind: &str) {
        until("it is reported", async || said(BLOCKS, id) == 1).await;
        assert_eq!((stuck(kind), said(LETS_GO, id)), (1.0, 0));
        let line = lines(id).into_iter().find(|line| line.contains(BLOCKS)).unwrap();
        assert!(
            line.contains("ERROR") && line.contains(kind) && line.contains("seconds="),
            "{line}"
        );
        self.released.let_go.store(true, Ordering::Relaxed);
        until("it lets go", async || said(LETS_GO, id) == 1).await;
        assert_eq!((stuck(kind), said(BLOCKS, id)), (0.0, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_beyond_its_timeout_is_reported() {
    let house = House::open().await;
    let job = house.starts(Late { blocks: true }).await;
    house.is_reported(job, Late::KIND).await;
    house.until(job, JobState::Scheduled).await;
    house.working.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_although_it_is_cancelled_is_reported() {
    let house = House::open().await;
    let job = house.starts(Unwanted { blocks: true }).await;
    queue::cancel(&house.db, job, "ada").await.unwrap();
    house.is_reported(job, Unwanted::KIND).await;
    house.until(job, JobState::Cancelled).await;
    house.working.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_without_a_lease_is_reported() {
    let house = House::open().await;
    let job = house.starts(Bereft { blocks: true }).await;
    house.db.execute("DELETE FROM queue.leases").await.unwrap();
    house.is_reported(job, Bereft::KIND).await;
    house.working.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_at_shutdown_is_reported_before_the_worker_ends() {
    let house = House::open().await;
    let job = house.starts(Hindrance { blocks: true }).await;
    let House { db, released, working } = house;
    let told = Instant::now();
    working.stop().await.unwrap();
    // What it has to say is not waited for.
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    assert_eq!((said(BLOCKS, job), stuck(Hindrance::KIND)), (1, 1.0));
    released.let_go.store(true, Ordering::Relaxed);
    until("it lets go", async || said(LETS_GO, job) == 1).await;
    drop(db);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_yields_is_dropped_and_not_reported() {
    let house = House::open().await;
    let late = house.starts(Late { blocks: false }).await;
    house.until(late, JobState::Scheduled).await;
    let unwanted = house.starts(Unwanted { blocks: false }).await;
    queue::cancel(&house.db, unwanted, "ada").await.unwrap();
    house.until(unwanted, JobState::Cancelled).await;
    // Whoever is told later is reported later.
    let blocks = house.starts(Last { blocks: true }).await;
    queue::cancel(&house.db, blocks, "ada").await.unwrap();
    house.is_reported(blocks, Last::KIND).await;
    house.working.stop().await.unwrap();
    assert_eq!([said(BLOCKS, late), said(BLOCKS, unwanted)], [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_goes_on_for_the_others_of_its_chunk_is_not_reported() {
    let house = House::open().await;
    let crowd = house.start_all([Push::of(Crowd {}), Push::of(Crowd {})]).await;
    queue::cancel(&house.db, crowd[0], "ada").await.unwrap();
    // Whoever is told later is reported later.
    let blocks = house.starts(Last { blocks: true }).await;
    queue::cancel(&house.db, blocks, "ada").await.unwrap();
    house.is_reported(blocks, Last::KIND).await;
    house.until(crowd[0], JobState::Cancelled).await;
    house.until(crowd[1], JobState::Done).await;
    house.working.stop().await.unwrap();
    assert_eq!(said(BLOCKS, crowd[0]), 0);
}

async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !so().await {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What this process logged and measured, from the first call on.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let logs = fmt().with_ansi(false).with_writer(|| Log).finish();
        tracing::subscriber::set_global_default(logs).unwrap();
        metrics::set_global_recorder(Gauges).unwrap();
    });
}

static LOG: Mutex<String> = Mutex::new(String::new());
static GAUGES: Mutex<Option<HashMap<String, Arc<AtomicU64>>>> = Mutex::new(None);

fn lines(id: Uuid) -> Vec<String> {
    let (log, id) = (LOG.lock().unwrap(), id.to_string());
    log.lines().filter(|line| line.contains(&id)).map(str::to_owned).collect()
}

fn said(text: &str, id: Uuid) -> usize {
    lines(id).iter().filter(|line| line.contains(text)).count()
}

fn stuck(kind: &str) -> f64 {
    let gauges = GAUGES.lock().unwrap();
    let value = gauges.as_ref().and_then(|gauges| gauges.get(kind));
    value.map_or(0.0, |value| f64::from_bits(value.load(Ordering::Relaxed)))
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps `beadle_handlers_stuck` by kind, and nothing else.
struct Gauges;

impl Recorder for Gauges {
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() != "beadle_handlers_stuck" {
            return Gauge::noop();
        }
        let kind = key.labels().find(|label| label.key() == "kind").unwrap().value().to_owned();
        let mut gauges = GAUGES.lock().unwrap();
        Gauge::from_arc(gauges.get_or_insert_default().entry(kind).or_default().clone())
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
