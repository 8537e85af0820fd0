//! The list of what a process can run, and the ways to run it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgPool};
use tokio::sync::{Notify, OnceCell, mpsc};

use crate::job::Job;
use crate::kinds;
use crate::runtime::{
    Chunk, Failure, HandleChunk, HandleOne, Handler, Heartbeat, Leases, Line, MAX_CHUNK, Marks,
    Pool, Route, Shared, Unknown, WorkOptions, Working, all_or_none, prepare, record, run_all,
    ways,
};
use crate::schedule::{Declared, When};
use crate::store::{self, Take, Wanted};
use crate::{Clock, Error, Kind, Kinds, Outcome, Run};

/// Everything that runs, and when. A kind missing here does not run.
pub struct Fleet<C> {
    pool: PgPool,
    clock: Clock,
    cx: C,
    kinds: Kinds,
    handlers: HashMap<&'static str, Handler>,
    schedules: Vec<Declared>,
}

impl<C: Clone + Send + Sync + 'static> Fleet<C> {
    /// `cx` is given to every handler.
    pub fn new(pool: PgPool, clock: Clock, cx: C) -> Self {
        let handlers = HashMap::new();
        Self { pool, clock, cx, kinds: Kinds::default(), handlers, schedules: Vec::new() }
    }

    /// Adds the handler of one kind.
    pub fn worker<J, F, Fut>(self, run: F) -> Self
    where
        J: Job,
        F: Fn(J, C, Run) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
    {
        let (cx, handle) = (self.cx.clone(), Arc::new(run));
        let handle: HandleOne = Arc::new(move |run: Run| {
            let (cx, handle) = (cx.clone(), handle.clone());
            Box::pin(async move {
                let job =
                    kinds::decode::<J>(run.leased().args.get()).map_err(Failure::Undecodable)?;
                handle(job, cx, run).await.map_err(Failure::handler)
            })
        });
        self.add::<J>(Handler::One(handle))
    }

    /// Adds the handler of a kind that takes up to `at_most` jobs at once: those that are there, without
    /// waiting for more.
    ///
    /// It gives a result for each job, in their order. Its own error, a panic and the kind's `TIMEOUT`
    /// are a failure of each job that it was given.
    pub fn chunk_worker<J, F, Fut>(self, at_most: usize, run: F) -> Self
    where
        J: Job,
        F: Fn(Vec<(J, Run)>, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Vec<anyhow::Result<Outcome>>>> + Send + 'static,
    {
        let is_sane = (1..=MAX_CHUNK).contains(&at_most);
        assert!(is_sane, "chunks of {} take 1 to {MAX_CHUNK} jobs, not {at_most}", J::KIND);
        let (cx, handle) = (self.cx.clone(), Arc::new(run));
        let handle: HandleChunk = Arc::new(move |chunk: Chunk| {
            let (cx, handle) = (cx.clone(), handle.clone());
            Box::pin(async move {
                let jobs = chunk.decode::<J>();
                if !jobs.is_empty() {
                    chunk.share_out(handle(jobs, cx).await);
                }
            })
        });
        self.add::<J>(Handler::Chunk { at_most, handle })
    }

    /// Pushes `job` at every tick: of a cron expression in UTC, or [`When`] more is to be said.
    pub fn cron<J: Job>(mut self, when: impl Into<When>, job: J) -> Self {
        let declared = when.into().declare(job);
        let earlier = self.schedules.iter().any(|earlier| earlier.name == declared.name);
        assert!(!earlier, "two schedules are named {}", declared.name);
        self.schedules.push(declared);
        self
    }

    pub fn kinds(&self) -> Kinds {
        self.kinds.clone()
    }

    pub fn schedules(&self) -> &[Declared] {
        &self.schedules
    }

    /// Tells those who push by SQL which kinds there are; a worker does it at its start.
    pub async fn declare(&self) -> Result<(), Error> {
        Ok(store::declare_kinds(&self.pool, &self.kinds).await?)
    }

    /// Starts to work; see [`Working`] for how it ends.
    pub fn start(&self, options: WorkOptions) -> Working {
        let pool = engine_pool(&self.pool, ENGINE_CONNECTIONS, &options);
        let notes_pool = engine_pool(&self.pool, NOTES_CONNECTIONS, &options);
        Working::start(self.shared(pool, notes_pool, options), self.handlers())
    }

    /// Runs what is due, and what that makes due at once, in the caller's task; for tests.
    pub async fn drain(&self) -> Result<Drained, Error> {
        const MAX_ROUNDS: usize = 10_000;
        let queues = self.kinds.queues().into_iter();
        let pool = |queue: &str| Pool { queue: queue.into(), concurrency: Self::DRAIN_BATCH };
        let options = WorkOptions::new(queues.map(pool).collect());
        let shared = self.shared(self.pool.clone(), self.pool.clone(), options);
        let handlers = self.handlers();
        let mut drained = Drained::default();
        for _ in 0..MAX_ROUNDS {
            if self.drain_once(&shared, &handlers, &mut drained).await? == 0 {
                return Ok(drained);
            }
        }
        Err(Error::NotDrained(MAX_ROUNDS))
    }

    const DRAIN_BATCH: usize = 100;

    async fn drain_once(
        &self,
        shared: &Shared,
        handlers: &Handlers,
        drained: &mut Drained,
    ) -> Result<usize, Error> {
        let now = self.clock.for_database();
        store::rescue(&self.pool, now, Self::DRAIN_BATCH as i64, 0.0).await?;
        store::promote(&self.pool, now, Self::DRAIN_BATCH as i64).await?;
        store::ring(&self.pool, now, Self::DRAIN_BATCH as i64).await?;
        store::settle(&self.pool, now, true).await?;
        let mut wanted = Wanted::default();
        for pool in &shared.options.pools {
            wanted.add(&pool.queue, pool.concurrency, &Marks::default().stretches(true));
        }
        let lease = shared.options.lease.as_secs_f64();
        let worker = shared.number().await?;
        let claimed = store::claim(&self.pool, now, &wanted, worker, lease).await?;
        let mut jobs = claimed.jobs;
        for queue in &claimed.ruled {
            let stretches = Marks::default().stretches(true);
            let (free, stretches) = (Self::DRAIN_BATCH, &stretches[..]);
            let take =
                Take { queue, free, room: free, stretches, goes_around: false, numbered: false };
            let taken = store::take(&self.pool, now, take, worker, lease).await?;
            jobs.extend(all_or_none(shared, taken).await);
        }
        let count = jobs.len();
        let (opened, places) = mpsc::unbounded_channel();
        let (ways, outlets) = ways(count.max(1));
        // All jobs are there: it needs no room for more.
        let line = Line::new(count, 1, opened, shared.freed.clone());
        line.put(prepare(shared, handlers, jobs));
        drop(line);
        run_all(shared.name.clone(), places, ways).await;
        let batch = outlets.all().await;
        batch.iter().for_each(|ended| drained.count(ended.outcome()));
        if !batch.is_empty() {
            record(shared, &batch).await;
        }
        Ok(count)
    }

    fn add<J: Job>(mut self, handler: Handler) -> Self {
        self.kinds.add::<J>();
        self.handlers.insert(J::KIND, handler);
        self
    }

    fn shared(&self, pool: PgPool, notes_pool: PgPool, options: WorkOptions) -> Shared {
        Shared {
            pool,
            notes_pool,
            clock: self.clock.clone(),
            name: worker_name(),
            number: OnceCell::new(),
            options,
            leases: Leases::default(),
            wake: Notify::new(),
            unsettled: Notify::new(),
            freed: Arc::default(),
            hears: AtomicBool::new(false),
            heartbeat: Heartbeat::new(),
        }
    }

    fn handlers(&self) -> Handlers {
        let route = |kind: &Kind| {
            let handler = self.handlers.get(kind.name)?.clone();
            Some((kind.name, Arc::new(Route::new(kind, handler))))
        };
        let by_kind = self.kinds.iter().filter_map(route).collect();
        let (kinds, unknown) = (self.kinds.clone(), Arc::default());
        Handlers { kinds, by_kind: Arc::new(by_kind), unknown }
    }
}

/// How many runs of a drain ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained(BTreeMap<&'static str, usize>);

impl Drained {
    /// `"done"`, `"failed"`, `"dead"`, `"snoozed"`, `"discarded"` …
    pub fn of(&self, outcome: &str) -> usize {
        self.0.get(outcome).copied().unwrap_or(0)
    }

    fn count(&mut self, outcome: &'static str) {
        *self.0.entry(outcome).or_default() += 1;
    }
}

/// The handlers by kind; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub kinds: Kinds,
    by_kind: Arc<HashMap<&'static str, Arc<Route>>>,
    unknown: Arc<Unknown>,
}

impl Handlers {
    /// A kind nobody here knows waits for a process that does.
    pub fn of(&self, kind: &str) -> Arc<Route> {
        let known = self.by_kind.get(kind).cloned();
        known.unwrap_or_else(|| Arc::new(Route::unknown(kind, self.unknown.wait(kind))))
    }

    /// How many jobs of a queue one call of a handler takes at most.
    pub fn largest_chunk(&self, queue: &str) -> usize {
        let of_queue = self.kinds.iter().filter(|kind| kind.queue == queue);
        let routes = of_queue.filter_map(|kind| self.by_kind.get(kind.name));
        routes.map(|route| route.at_most()).max().unwrap_or(1)
    }
}

/// One each for the fetcher, the keeper, upkeep, the settler and the listener, and three for outcomes.
const ENGINE_CONNECTIONS: u32 = 8;
/// A connection that was idle for so long may have gone.
const IDLE: Duration = Duration::from_secs(1);
/// For all runs of a process; none is opened before one of them has something to say.
const NOTES_CONNECTIONS: u32 = 4;

/// Planning a claim anew takes longer than running it, and a plan that was made while the lists were
/// empty would read them from end to end for ever. So plans are kept, and have to use the indexes.
pub const PLANNING: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_mergejoin = off; SET jit = off";

/// Connections that handlers cannot take away from the engine.
fn engine_pool(pool: &PgPool, connections: u32, options: &WorkOptions) -> PgPool {
    let pooled = options.pooled;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(pool.options().get_acquire_timeout())
        // A question before each statement would double the way; one that was used just now is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                match used.idle_for > IDLE {
                    true => connection.ping().await.map(|()| true),
                    false => Ok(true),
                }
            })
        })
        .after_connect(move |connection, _| {
            let set = (!pooled).then(|| connection.execute(PLANNING));
            Box::pin(async move {
                match set {
                    Some(set) => set.await.map(drop),
                    None => Ok(()),
                }
            })
        })
        .connect_lazy_with((*pool.connect_options()).clone())
}

/// Tells processes apart in leases and history, also after a restart with the same process id.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>())
}
