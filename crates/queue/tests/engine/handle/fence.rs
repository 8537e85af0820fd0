use std::sync::{Arc, Mutex};

use queue::{Error, Level, Outcome, Run, push, push_many};
use tokio::sync::Notify;

use super::{Encore, WAIT, count, fleet, part, tokens};
use crate::support::{Theatre, outcomes};

/// What a stale run was told, with another run in its place in the meantime.
async fn stale<F, Fut>(theatre: &Theatre, late: F) -> Vec<String>
where
    F: Fn(Run, Arc<Scene>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let scene = Arc::new(Scene::default());
    let (theirs, late) = (scene.clone(), Arc::new(late));
    let first = fleet(&theatre.db, &theatre.clock, move |_, run| {
        let (scene, late) = (theirs.clone(), late.clone());
        async move {
            if let Err(error) = late(run, scene.clone()).await {
                scene.told.lock().unwrap().push(error.to_string());
            }
            std::future::pending().await
        }
    });
    let second = fleet(&theatre.db, &theatre.clock, async |_, _| Ok(Outcome::Done));
    let job = push(&*theatre.db, part("")).await.unwrap();
    let rescue = async {
        scene.started.notified().await;
        theatre.clock.advance(WAIT);
        assert_eq!(second.drain().await.unwrap().of("done"), 1);
        scene.rescued.notify_one();
    };
    let (drained, ()) = tokio::join!(first.drain(), rescue);
    assert_eq!(drained.unwrap(), Default::default(), "a stale run has no outcome");
    assert_eq!(outcomes(&theatre.view(job.id).await), ["lost", "done"]);
    scene.told.lock().unwrap().clone()
}

#[derive(Default)]
struct Scene {
    started: Notify,
    rescued: Notify,
    told: Mutex<Vec<String>>,
}

impl Scene {
    async fn lose_the_lease(&self) {
        self.started.notify_one();
        self.rescued.notified().await;
    }
}

#[tokio::test]
async fn a_run_that_has_lost_its_lease_keeps_pushes_and_spends_nothing_and_stops() {
    let theatre = Theatre::open().await;
    let lost = ["the lease of this run is lost"];
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.step("late", async {
            scene.told.lock().unwrap().push("the step ran".into());
            Ok(1)
        })
        .await
        .map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        let slow = async {
            scene.lose_the_lease().await;
            Ok(1)
        };
        run.step("slow", slow).await.map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.push(Encore {}).await.map(drop)
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.cost(tokens(1, 1)).await
    });
    assert_eq!(told.await, lost);
    let told = stale(&theatre, async |run, scene| {
        scene.lose_the_lease().await;
        run.progress(50.0, "half");
        run.log(Level::Info, "half");
        Ok(())
    });
    assert!(told.await.is_empty(), "nobody waits for these");
    for table in ["steps", "costs", "progress", "logs"] {
        assert_eq!(count(&theatre, table).await, 0, "{table}");
    }
    assert_eq!(count(&theatre, "jobs").await, 5, "no child");
}

#[tokio::test]
async fn a_task_that_a_handler_left_behind_writes_nothing_for_it() {
    let theatre = Theatre::open().await;
    let left = Arc::new(Mutex::new(None::<Run>));
    let fleet = fleet(&theatre.db, &theatre.clock, move |part, run| {
        let left = left.clone();
        async move {
            if part == "leaves" {
                *left.lock().unwrap() = Some(run);
                return Ok(Outcome::Done);
            }
            loop {
                let ended = left.lock().unwrap().clone();
                let cost = async |run: Run| run.cost(tokens(1, 1)).await;
                if let Some(ended) = ended
                    && matches!(cost(ended).await, Err(Error::LeaseLost))
                {
                    // Their lease is the same one, and lives.
                    cost(run).await?;
                    return Ok(Outcome::Done);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    push_many(&*theatre.db, [part("leaves"), part("stays")]).await.unwrap();
    assert_eq!(fleet.drain().await.unwrap().of("done"), 2);
}
