//! What a handler can say and keep, besides its outcome.

mod fence;
mod notes;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use queue::inspect::{self, CostView};
use queue::{
    Backoff, Clock, Cost, Error, Fleet, Job, Level, Outcome, Pool, Retry, Run, WorkOptions,
    history, push, push_many,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::support::Theatre;

/// A job whose handler is written by its test.
#[derive(Serialize, Deserialize)]
struct Play {
    part: String,
}

impl Job for Play {
    const KIND: &'static str = "stage.play";
    const RETRY: Retry = Retry::new(10, Backoff::seconds(10, 1.0, 10));
}

/// The same, and it has little time.
#[derive(Serialize, Deserialize)]
struct Hang {}

impl Job for Hang {
    const KIND: &'static str = "stage.hang";
    const TIMEOUT: Duration = Duration::from_millis(200);
    const RETRY: Retry = Play::RETRY;
}

#[derive(Serialize, Deserialize)]
struct Encore {}

impl Job for Encore {
    const KIND: &'static str = "stage.encore";
}

const WAIT: Duration = Duration::from_secs(15);

fn part(part: &str) -> Play {
    Play { part: part.into() }
}

fn fleet<F, Fut>(pool: &PgPool, clock: &Clock, play: F) -> Fleet<()>
where
    F: Fn(String, Run) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
{
    let play = Arc::new(play);
    let hang = play.clone();
    Fleet::new(pool.clone(), clock.clone(), ())
        .worker(move |job: Play, (), run| play(job.part, run))
        .worker(move |_: Hang, (), run| hang("hangs".into(), run))
        .worker(async |_: Encore, (), _| Ok(Outcome::Done))
}

async fn count(theatre: &Theatre, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM queue.{table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&*theatre.db).await.unwrap()
}

fn tokens(quantity: i64, amount_micro: i64) -> Cost {
    Cost { name: "model tokens".into(), quantity, amount_micro, currency: "USD".into() }
}

const LEASE: Duration = Duration::from_secs(1);

fn work() -> WorkOptions {
    WorkOptions {
        lease: LEASE,
        poll: Duration::from_millis(50),
        pooled: queue::testing::is_pooled(),
        ..WorkOptions::new(vec![Pool { queue: "stage".into(), concurrency: 4 }])
    }
}

#[tokio::test]
async fn costs_of_all_runs_add_up_by_job_and_by_kind_and_day() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.cost(tokens(1000, 150)).await?;
        run.cost(tokens(500, 75)).await?;
        run.cost(Cost { name: "model calls".into(), currency: "EUR".into(), ..tokens(1, 0) })
            .await?;
        if part == "fails" && run.attempt() == 1 {
            bail!("the money is gone all the same");
        }
        Ok(Outcome::Done)
    });
    let jobs = push_many(&*theatre.db, ["fails", "succeeds"].map(part)).await.unwrap();
    fleet.drain().await.unwrap();
    theatre.clock.advance(WAIT);
    fleet.drain().await.unwrap();
    let cost = |name: &str, quantity, amount_micro, currency: &str| CostView {
        name: name.into(),
        quantity,
        amount_micro,
        currency: currency.into(),
    };
    assert_eq!(
        inspect::costs(&*theatre.db, jobs[0].id).await.unwrap(),
        [cost("model calls", 2, 0, "EUR"), cost("model tokens", 3000, 450, "USD")]
    );
    let now = theatre.clock.now();
    let day = Duration::from_secs(24 * 3600);
    let spending = inspect::spending(&*theatre.db, now - day, now + day).await.unwrap();
    assert_eq!(spending.len(), 2);
    let tokens = &spending[1];
    assert_eq!((tokens.quantity, tokens.amount_micro), (4500, 675));
    assert_eq!((tokens.kind.as_str(), tokens.spent_on), ("stage.play", now.date_naive()));
    assert!(inspect::spending(&*theatre.db, now + day, now + 2 * day).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cost_that_cannot_be_is_refused() {
    let theatre = Theatre::open().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |_, run: Run| {
        for wrong in [
            tokens(-1, 1),
            tokens(1, -1),
            Cost { currency: "usd".into(), ..tokens(1, 1) },
            Cost { name: String::new(), ..tokens(1, 1) },
        ] {
            assert!(matches!(run.cost(wrong).await, Err(Error::BadCost { .. })));
        }
        Ok(Outcome::Done)
    });
    push(&*theatre.db, part("")).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(count(&theatre, "costs").await, 0);
}

#[tokio::test]
async fn what_runs_said_is_dropped_with_their_job() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let theatre = Theatre::live().await;
    let fleet = fleet(&theatre.db, &theatre.clock, async |part: String, run: Run| {
        run.step("one", async { anyhow::Ok(1) }).await?;
        run.progress(100.0, "");
        run.log(Level::Info, "over");
        run.cost(tokens(1, 1)).await?;
        Ok(if part == "waits" { Outcome::Snooze(400 * DAY) } else { Outcome::Done })
    });
    push(&*theatre.db, part("ends")).await.unwrap();
    fleet.drain().await.unwrap();
    let tables = ["steps", "progress", "logs", "costs"];
    let rows = async || {
        let mut rows = Vec::new();
        for table in tables {
            rows.push(count(&theatre, table).await);
        }
        rows
    };
    let next_month = Clock::fixed(theatre.clock.now() + 40 * DAY);
    history::drop_older(&theatre.db, &next_month, 60 * DAY).await.unwrap();
    assert_eq!(rows().await, [1, 1, 1, 1]);
    let dropped = history::drop_older(&theatre.db, &next_month, 30 * DAY).await.unwrap();
    assert_eq!((rows().await, dropped.rows), (vec![0, 0, 0, 0], 4));
    history::make_days(&theatre.db, &theatre.clock).await.unwrap();
    push(&*theatre.db, part("waits")).await.unwrap();
    fleet.drain().await.unwrap();
    history::drop_older(&theatre.db, &next_month, 30 * DAY).await.unwrap();
    assert_eq!(rows().await, [1, 1, 1, 1], "the job still waits");
}
