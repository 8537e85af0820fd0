//! Draws faults and commits them.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Args;
use super::crew::Crew;
use super::proxy::{Order, Proxy};
use crate::bench::database::Server;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// SIGKILL of a worker.
    Kill,
    /// SIGSTOP of a worker for longer than its lease.
    Stop,
    /// An immediate restart of Postgres.
    Restart,
    Cut,
    CutInside,
    /// Bytes wait, for less than the lease.
    Delay,
    /// Bytes wait, for longer.
    DelayPastLease,
}

/// How often each comes, beside the others.
const SORTS: [(Fault, u32); 7] = [
    (Fault::Kill, 8),
    (Fault::Stop, 4),
    (Fault::Restart, 1),
    (Fault::Cut, 4),
    (Fault::CutInside, 4),
    (Fault::Delay, 4),
    (Fault::DelayPastLease, 2),
];

const PAUSES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(1300);
const LOOK: Duration = Duration::from_millis(20);
/// How long a sort that has not taken effect yet is tried beyond the limit.
const OVERTIME: Duration = Duration::from_secs(30);
/// One fault in so many hits all connections.
const HITS_ALL: u32 = 8;

/// Everything that faults act upon.
pub struct Faults<'a> {
    server: &'a Server,
    crew: &'a mut Crew,
    proxy: &'a Proxy,
    lease: Duration,
    random: StdRng,
    /// Those that come, in the order in which they come up at first.
    sorts: Vec<Fault>,
    /// Before each.
    pauses: RangeInclusive<Duration>,
    restarts: u64,
}

impl<'a> Faults<'a> {
    pub fn new(
        args: &Args,
        server: &'a Server,
        crew: &'a mut Crew,
        proxy: &'a Proxy,
        seed: u32,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(!u64::from(seed));
        let mut sorts: Vec<_> = SORTS.iter().map(|(fault, _)| *fault).collect();
        sorts.retain(|fault| match fault {
            Fault::Kill => true,
            Fault::Restart => server.is_ours() && !args.kills_only,
            _ => !args.kills_only,
        });
        sorts.shuffle(&mut random);
        let lease = Duration::from_secs(args.lease_seconds);
        // Who takes over from the killed is to live, or its own end would be measured along.
        let pauses =
            if args.kills_only { lease.mul_f64(1.25)..=lease.mul_f64(1.75) } else { PAUSES };
        Self { server, crew, proxy, lease, random, sorts, pauses, restarts: 0 }
    }

    /// Commits each sort once, and more until `over` says so or the limit is reached. Then
    /// everything may go on.
    pub async fn commit(
        &mut self,
        limit: Duration,
        mut over: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            let missing = self.sorts.iter().copied().find(|fault| self.count(*fault) == 0);
            let in_time = Instant::now() < end;
            let go_on = match missing {
                Some(_) => in_time || end.elapsed() < OVERTIME,
                None => in_time && !over().await,
            };
            if !go_on {
                break;
            }
            self.pause().await?;
            // Whatever is missing should hit something, and an idle connection is nothing.
            let (fault, all) = match missing {
                Some(fault) => (fault, true),
                None => (self.draw()?, self.random.random_ratio(1, HITS_ALL)),
            };
            self.commit_one(fault, all).await?;
        }
        self.proxy.calm();
        self.crew.let_all_go_on();
        Ok(())
    }

    async fn pause(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + self.random.random_range(self.pauses.clone());
        while Instant::now() < until {
            self.crew.look_after()?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<Fault> {
        let weight = |(fault, often): &(Fault, u32)| match self.sorts.contains(fault) {
            true => *often,
            false => 0,
        };
        Ok(SORTS.choose_weighted(&mut self.random, weight)?.0)
    }

    async fn commit_one(&mut self, fault: Fault, all: bool) -> anyhow::Result<()> {
        let worker = self.random.random_range(0..self.crew.size());
        let longer = self.lease.mul_f64(self.random.random_range(1.5..2.5));
        let shorter = self.lease.mul_f64(self.random.random_range(0.01..0.5));
        match fault {
            Fault::Kill => self.crew.kill(worker).await?,
            Fault::Stop => self.crew.stop(worker, longer),
            Fault::Restart => {
                self.server.crash().await?;
                self.restarts += 1;
            }
            Fault::Cut => self.order(Order::Cut, all),
            Fault::CutInside => self.order(Order::CutInside, all),
            Fault::Delay => self.order(Order::HoldUntil(Instant::now() + shorter), all),
            Fault::DelayPastLease => self.order(Order::HoldUntil(Instant::now() + longer), all),
        }
        Ok(())
    }

    fn order(&mut self, order: Order, all: bool) {
        let connections = self.proxy.connections();
        if all {
            connections.into_iter().for_each(|connection| self.proxy.order(connection, order));
        } else if let Some(connection) = connections.choose(&mut self.random) {
            self.proxy.order(*connection, order);
        }
    }

    /// How many there were of each sort.
    pub fn counts(&self) -> Value {
        let restarts = if self.server.is_ours() {
            json!(self.restarts)
        } else {
            json!("none: DATABASE_URL names a server that is not ours to restart")
        };
        json!({
            "kills": self.count(Fault::Kill),
            "stops": self.count(Fault::Stop),
            "restarts": restarts,
            "cuts": self.count(Fault::Cut),
            "cuts_inside": self.count(Fault::CutInside),
            "delays": self.count(Fault::Delay),
            "delays_past_lease": self.count(Fault::DelayPastLease),
        })
    }

    /// Those that took effect: of the connections, what was cut and which bytes were held.
    fn count(&self, fault: Fault) -> u64 {
        let done = self.proxy.done();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        match fault {
            Fault::Kill => self.crew.kills.len() as u64,
            Fault::Stop => self.crew.stops,
            Fault::Restart => self.restarts,
            Fault::Cut => load(&done.cuts),
            Fault::CutInside => load(&done.cuts_inside),
            Fault::Delay => load(&done.holds),
            Fault::DelayPastLease => load(&done.long_holds),
        }
    }
}
