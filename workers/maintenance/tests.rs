use std::time::Duration;

use context::Context;
use queue::inspect::{self, JobState};
use queue::{push, schedule};

use super::DropHistory;
use crate::fleet;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn history_past_its_retention_is_dropped_and_younger_history_stays() -> anyhow::Result<()> {
    // History lies with the day of its job, and ids are made by the machine's clock.
    let today = queue::Clock::system().now().to_rfc3339();
    let cx = Context::for_test(&today).await;
    let old = push(&cx.pool, DropHistory {}).await?;
    fleet(&cx).drain().await?;
    cx.clock.advance(31 * DAY);
    let young = push(&cx.pool, DropHistory {}).await?;
    assert_eq!(fleet(&cx).drain().await?.of("done"), 1);
    let runs = async |job| anyhow::Ok(inspect::job(&cx.pool, job).await?.map(|job| job.runs.len()));
    assert_eq!(runs(old.id).await?, Some(0));
    assert_eq!(runs(young.id).await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn it_is_scheduled_once_a_day() -> anyhow::Result<()> {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let fleet = fleet(&cx);
    schedule::declare(&cx.pool, &cx.clock, fleet.schedules()).await?;
    for _ in 0..3 {
        cx.clock.advance(DAY);
        schedule::tick(&cx.pool, &cx.clock, &fleet.kinds()).await?;
    }
    assert_eq!(fleet.drain().await?.of("done"), 3);
    let jobs =
        inspect::jobs(&cx.pool, &inspect::Filter { limit: 10, ..Default::default() }).await?;
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "{jobs:?}");
    assert_eq!(jobs.len(), 3);
    Ok(())
}
