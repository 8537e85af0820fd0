//! What the platform does, and when. A folder is a worker; this file is the only list of them.

mod maintenance;

use std::time::Duration;

use anyhow::ensure;
use context::{Context, Settings};
use queue::{Fleet, Kinds, Pool, WorkOptions};

/// Everything that runs, and when. What is missing here does not run.
pub fn fleet(cx: &Context) -> Fleet<Context> {
    Fleet::new(cx.pool.clone(), cx.clock.clone(), cx.clone())
        .worker(maintenance::drop_history)
        .cron("15 2 * * *", maintenance::DropHistory {})
}

/// How a process works, by its settings: on all queues, or only on those named.
pub fn options(
    settings: &Settings,
    kinds: &Kinds,
    only: &[String],
    concurrency: Option<usize>,
) -> anyhow::Result<WorkOptions> {
    let queues = kinds.queues();
    let set = settings.queues.keys().map(|name| (name, "the settings name"));
    let asked = only.iter().map(|name| (name, "--queue names"));
    for (name, place) in set.chain(asked) {
        ensure!(
            queues.contains(&name.as_str()),
            "{place} the queue {name:?}, which nobody works; there are {}",
            queues.join(", ")
        );
    }
    let wanted =
        queues.into_iter().filter(|queue| only.is_empty() || only.iter().any(|o| o == queue));
    let pools = wanted.map(|queue| {
        let concurrency = concurrency.unwrap_or_else(|| settings.concurrency_of(queue));
        Pool { queue: queue.to_owned(), concurrency }
    });
    Ok(WorkOptions {
        lease: Duration::from_secs(settings.work.lease_seconds),
        poll: Duration::from_millis(settings.work.poll_milliseconds),
        shutdown: Duration::from_secs(settings.work.shutdown_seconds),
        pooled: settings.database.pooled,
        ..WorkOptions::new(pools.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(only: &[&str], concurrency: Option<usize>) -> anyhow::Result<WorkOptions> {
        let cx = Context::for_test("2025-03-01T00:00:00Z").await;
        let only: Vec<_> = only.iter().map(|queue| queue.to_string()).collect();
        options(&cx.settings, &fleet(&cx).kinds(), &only, concurrency)
    }

    #[tokio::test]
    async fn a_process_works_on_all_queues_or_on_those_it_is_asked_for() -> anyhow::Result<()> {
        let all = asked(&[], None).await?;
        assert_eq!(all.pools, [Pool { queue: "maintenance".into(), concurrency: 4 }]);
        let one = asked(&["maintenance"], Some(2)).await?;
        assert_eq!(one.pools, [Pool { queue: "maintenance".into(), concurrency: 2 }]);
        Ok(())
    }

    #[tokio::test]
    async fn workers_know_of_a_pooler() -> anyhow::Result<()> {
        let cx = Context::for_test("2025-03-01T00:00:00Z").await;
        let mut settings = (*cx.settings).clone();
        for pooled in [true, false] {
            settings.database.pooled = pooled;
            assert_eq!(options(&settings, &fleet(&cx).kinds(), &[], None)?.pooled, pooled);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_queue_that_nobody_works_is_refused_by_name() {
        let error = asked(&["mantenance"], None).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "--queue names the queue \"mantenance\", which nobody works; there are maintenance"
        );
    }
}
