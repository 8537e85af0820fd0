//! Handlers that take several jobs at once.

mod stops;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use queue::inspect::{self, JobState, JobView};
use queue::testing::TestDatabase;
use queue::{Clock, Fleet, Job, Outcome, Permanent, Pool, Push, Run, WorkOptions, push_many};
use serde::{Deserialize, Serialize};
use sqlx::{Executor, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::support::{MIGRATOR, START, outcomes};

/// Baked as many at a time as the oven of a test holds.
#[derive(Serialize, Deserialize)]
struct Loaf {
    number: usize,
}

impl Job for Loaf {
    const KIND: &'static str = "bakery.loaf";
}

/// The same, and soon burnt.
#[derive(Serialize, Deserialize)]
struct Roll {
    number: usize,
}

impl Job for Roll {
    const KIND: &'static str = "bakery.roll";
    const TIMEOUT: Duration = Duration::from_millis(50);
}

/// One at a time, in the same queue.
#[derive(Serialize, Deserialize)]
struct Cake {}

impl Job for Cake {
    const KIND: &'static str = "bakery.cake";
}

/// What handlers tell tests.
type Says<T> = mpsc::UnboundedSender<T>;
type Results = anyhow::Result<Vec<anyhow::Result<Outcome>>>;

fn all_done<J>(batch: &[J]) -> Results {
    Ok(batch.iter().map(|_| Ok(Outcome::Done)).collect())
}

struct Bakery {
    db: TestDatabase,
    clock: Clock,
}

impl Bakery {
    /// With a clock that only tests move.
    async fn open() -> Self {
        Self::with(Clock::fixed(START.parse().unwrap())).await
    }

    /// With the database's clock, for workers that run by themselves.
    async fn live() -> Self {
        Self::with(Clock::system()).await
    }

    async fn with(clock: Clock) -> Self {
        Self { db: queue::testing::database(&MIGRATOR).await, clock }
    }

    fn fleet<C: Clone + Send + Sync + 'static>(&self, cx: C) -> Fleet<C> {
        Fleet::new(self.db.pool.clone(), self.clock.clone(), cx)
    }

    async fn loaves(&self, count: usize) -> Vec<Uuid> {
        self.push((0..count).map(|number| Push::of(Loaf { number }))).await
    }

    async fn push(&self, jobs: impl IntoIterator<Item = Push>) -> Vec<Uuid> {
        let pushed = push_many(&*self.db, jobs).await.unwrap();
        pushed.into_iter().map(|job| job.id).collect()
    }

    /// Makes its arguments what no kind takes.
    async fn spoil(&self, id: Uuid) {
        let spoil = sqlx::query("UPDATE queue.jobs SET args = '[true]' WHERE id = $1").bind(id);
        spoil.execute(&*self.db).await.unwrap();
    }

    async fn view(&self, id: Uuid) -> JobView {
        inspect::job(&*self.db, id).await.unwrap().unwrap()
    }

    async fn states(&self, ids: &[Uuid]) -> Vec<JobState> {
        let mut states = Vec::new();
        for &id in ids {
            states.push(self.view(id).await.state);
        }
        states
    }

    /// What each job's only run had to say of its failure.
    async fn errors(&self, ids: &[Uuid]) -> Vec<String> {
        let mut errors = Vec::new();
        for &id in ids {
            let [run] = self.view(id).await.runs.try_into().unwrap();
            errors.push(run.error.unwrap_or_default());
        }
        errors
    }

    /// Waits for jobs to be in a state, in the only way there is from outside a worker: asking.
    async fn until(&self, ids: &[Uuid], state: JobState) {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let states = self.states(ids).await;
            if states.iter().all(|now| *now == state) {
                return;
            }
            assert!(tokio::time::Instant::now() < limit, "still {states:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn one_place() -> WorkOptions {
    WorkOptions {
        lease: Duration::from_millis(900),
        poll: Duration::from_millis(50),
        shutdown: Duration::from_millis(100),
        pooled: queue::testing::is_pooled(),
        ..WorkOptions::new(vec![Pool { queue: "bakery".into(), concurrency: 1 }])
    }
}

#[tokio::test]
async fn each_job_of_a_chunk_has_its_own_outcome() {
    let bakery = Bakery::open().await;
    let fleet = bakery.fleet(()).chunk_worker(10, async |batch: Vec<(Loaf, Run)>, ()| {
        let result = |(loaf, run): &(Loaf, Run)| {
            run.output(&loaf.number)?;
            run.log(queue::Level::Info, &format!("loaf {}", loaf.number));
            match loaf.number {
                0 => Ok(Outcome::Done),
                1 => bail!("burnt"),
                2 => Err(Permanent::because("no flour").into()),
                3 => Ok(Outcome::Snooze(Duration::from_secs(60))),
                _ => Ok(Outcome::Discard("nobody is hungry".into())),
            }
        };
        Ok(batch.iter().map(result).collect())
    });
    let ids = bakery.loaves(5).await;
    fleet.drain().await.unwrap();

    use JobState::{Dead, Discarded, Done, Scheduled};
    assert_eq!(bakery.states(&ids).await, [Done, Scheduled, Dead, Scheduled, Discarded]);
    assert_eq!(bakery.errors(&ids).await, ["", "burnt", "no flour", "", "nobody is hungry"]);
    for (number, &id) in ids.iter().enumerate() {
        let lines = inspect::logs(&*bakery.db, id, 10).await.unwrap();
        assert_eq!((lines.len(), &lines[0].message), (1, &format!("loaf {number}")));
    }
    assert_eq!(bakery.view(ids[0]).await.output, Some(0.into()));
    assert_eq!(bakery.view(ids[3]).await.attempt, 1, "a snooze burns no attempt");
}

#[tokio::test]
async fn a_chunk_has_so_many_jobs_at_most_and_no_other_kind_is_in_it() {
    let bakery = Bakery::open().await;
    type Baked = Arc<Mutex<Vec<Vec<usize>>>>;
    let baked = Baked::default();
    let fleet = bakery
        .fleet(baked.clone())
        .chunk_worker(3, async |batch: Vec<(Loaf, Run)>, baked: Baked| {
            baked.lock().unwrap().push(batch.iter().map(|(loaf, _)| loaf.number).collect());
            all_done(&batch)
        })
        .worker(async |_: Cake, baked: Baked, _: Run| {
            baked.lock().unwrap().push(Vec::new());
            Ok(Outcome::Done)
        });
    let loaf = |number| Push::of(Loaf { number });
    let (first, rest) = ((0..2).map(loaf), (2..7).map(loaf));
    bakery.push(first.chain([Push::of(Cake {})]).chain(rest).chain([Push::of(Cake {})])).await;
    assert_eq!(fleet.drain().await.unwrap().of("done"), 9);
    let baked = baked.lock().unwrap().clone();
    assert_eq!(baked, [vec![0, 1, 2], vec![], vec![3, 4, 5], vec![6], vec![]]);
}

#[tokio::test]
async fn a_single_place_takes_a_whole_chunk() {
    let bakery = Bakery::live().await;
    let (bakes, mut baked) = mpsc::unbounded_channel();
    let fleet =
        bakery.fleet(bakes).chunk_worker(3, async |batch: Vec<(Loaf, Run)>, bakes: Says<usize>| {
            bakes.send(batch.len())?;
            all_done(&batch)
        });
    let ids = bakery.loaves(7).await;
    let working = fleet.start(one_place());
    bakery.until(&ids, JobState::Done).await;
    working.stop().await.unwrap();
    assert_eq!([baked.recv().await, baked.recv().await, baked.recv().await], [3, 3, 1].map(Some));
}

#[tokio::test]
async fn arguments_that_do_not_decode_are_one_jobs_failure_whatever_becomes_of_its_chunk() {
    let bakery = Bakery::open().await;
    let fleet = bakery
        .fleet(())
        .chunk_worker(10, async |batch: Vec<(Loaf, Run)>, ()| all_done(&batch))
        .chunk_worker(10, async |_: Vec<(Roll, Run)>, ()| std::future::pending::<Results>().await);
    let loaves = bakery.loaves(3).await;
    let rolls = bakery.push((0..2).map(|number| Push::of(Roll { number }))).await;
    for id in [loaves[1], rolls[0]] {
        bakery.spoil(id).await;
    }
    fleet.drain().await.unwrap();
    use JobState::{Dead, Done, Scheduled};
    assert_eq!(bakery.states(&loaves).await, [Done, Dead, Done]);
    assert_eq!(bakery.states(&rolls).await, [Dead, Scheduled]);
    for errors in [bakery.errors(&loaves[1..2]).await, bakery.errors(&rolls[..1]).await] {
        assert!(errors[0].starts_with("arguments do not decode"), "{errors:?}");
    }
}

#[tokio::test]
async fn an_error_a_panic_or_a_wrong_number_of_results_is_a_failure_of_each_job_of_the_chunk() {
    type Bake = fn() -> Results;
    let cases: [(Bake, &str, JobState); 4] = [
        (|| bail!("the oven is cold"), "the oven is cold", JobState::Scheduled),
        (|| Err(Permanent::because("no oven").into()), "no oven", JobState::Dead),
        (|| panic!("the oven fell"), "panicked: the oven fell", JobState::Scheduled),
        (
            || Ok(vec![Ok(Outcome::Done)]),
            "the handler gave 1 results for 2 jobs",
            JobState::Scheduled,
        ),
    ];
    for (bake, error, state) in cases {
        let bakery = Bakery::open().await;
        let fleet =
            bakery.fleet(bake).chunk_worker(2, async |_: Vec<(Loaf, Run)>, bake: Bake| bake());
        let ids = bakery.loaves(2).await;
        fleet.drain().await.unwrap();
        assert_eq!(bakery.errors(&ids).await, [error; 2]);
        assert_eq!(bakery.states(&ids).await, [state; 2]);
    }
}

#[tokio::test]
async fn a_chunk_that_takes_too_long_is_dropped_and_a_failure_of_each_of_its_jobs() {
    let bakery = Bakery::open().await;
    let fleet = bakery
        .fleet(())
        .chunk_worker(2, async |_: Vec<(Roll, Run)>, ()| std::future::pending::<Results>().await);
    let ids = bakery.push((0..2).map(|number| Push::of(Roll { number }))).await;
    assert_eq!(fleet.drain().await.unwrap().of("failed"), 2);
    assert_eq!(bakery.errors(&ids).await, ["took longer than 0.05 s"; 2]);
}

#[tokio::test]
async fn effects_of_a_chunk_happen_exactly_once_with_finish_in() {
    let bakery = Bakery::open().await;
    bakery.db.execute("CREATE TABLE effects (number bigint)").await.unwrap();
    let pool = bakery.db.pool.clone();
    let fleet =
        bakery.fleet(pool).chunk_worker(3, async |batch: Vec<(Loaf, Run)>, pool: PgPool| {
            for (Loaf { number }, run) in &batch {
                let mut tx = pool.begin().await?;
                let effect = sqlx::query("INSERT INTO effects VALUES ($1)").bind(*number as i64);
                effect.execute(&mut *tx).await?;
                run.finish_in(&mut tx, Outcome::Done).await?;
                // Of the first, the transaction fails once.
                match (number, run.attempt()) {
                    (0, 1) => tx.rollback().await?,
                    _ => tx.commit().await?,
                }
            }
            all_done(&batch)
        });
    let ids = bakery.loaves(3).await;
    fleet.drain().await.unwrap();
    bakery.clock.advance(Duration::from_secs(3600));
    fleet.drain().await.unwrap();
    let effects = sqlx::query_scalar("SELECT number FROM effects ORDER BY number");
    let effects: Vec<i64> = effects.fetch_all(&*bakery.db).await.unwrap();
    assert_eq!(effects, [0, 1, 2]);
    assert_eq!(bakery.states(&ids).await, [JobState::Done; 3]);
    assert_eq!(outcomes(&bakery.view(ids[0]).await), ["failed", "done"]);
    assert_eq!(outcomes(&bakery.view(ids[1]).await), ["done"]);
}
