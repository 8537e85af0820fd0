//! Jobs that are told to stop, alone or with their chunk.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use queue::inspect::JobState;
use queue::{Outcome, Pool, Push, Run, WorkOptions, cancel};
use sqlx::Executor;
use tokio::sync::{Notify, mpsc};

use super::{Bakery, Cake, Loaf, Results, Says, all_done, one_place};
use crate::support::outcomes;

#[tokio::test]
async fn one_job_of_a_chunk_can_be_cancelled_while_the_others_go_on() {
    let bakery = Bakery::live().await;
    type Cx = (Says<&'static str>, Arc<Notify>);
    let (says, mut said) = mpsc::unbounded_channel();
    let goes_on = Arc::new(Notify::new());
    let fleet = bakery.fleet((says, goes_on.clone()));
    let fleet = fleet.chunk_worker(3, async |batch: Vec<(Loaf, Run)>, (says, waits): Cx| {
        says.send("begun")?;
        batch[0].1.cancelled().await;
        batch[1].1.cancelled().await;
        says.send("heard")?;
        waits.notified().await;
        ensure!(!batch[2].1.is_cancelled(), "nobody cancelled it");
        // The second was done before it heard.
        Ok(vec![Err(anyhow!("stopped when asked")), Ok(Outcome::Done), Ok(Outcome::Done)])
    });
    let ids = bakery.loaves(3).await;
    let working = fleet.start(one_place());
    assert_eq!(said.recv().await, Some("begun"));
    for &id in &ids[..2] {
        cancel(&bakery.db, id, "ada").await.unwrap();
    }
    assert_eq!(said.recv().await, Some("heard"));
    assert_eq!(bakery.states(&ids).await, [JobState::Running; 3], "somebody works on them");
    goes_on.notify_one();
    bakery.until(&ids[1..], JobState::Done).await;
    bakery.until(&ids[..1], JobState::Cancelled).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_its_chunk_starts_is_not_in_it() {
    let bakery = Bakery::live().await;
    let (bakes, mut baked) = mpsc::unbounded_channel();
    let fleet = bakery
        .fleet(bakes)
        .chunk_worker(4, async |batch: Vec<(Loaf, Run)>, bakes: Says<Vec<usize>>| {
            bakes.send(batch.iter().map(|(loaf, _)| loaf.number).collect())?;
            all_done(&batch)
        })
        .worker(async |_: Cake, _, run: Run| {
            run.cancelled().await;
            Ok(Outcome::Done)
        });
    let loaves = (0..3).map(|number| Push::of(Loaf { number }));
    let ids = bakery.push([Push::of(Cake {})].into_iter().chain(loaves)).await;
    let working = fleet.start(one_place());
    bakery.until(&ids, JobState::Running).await;
    // The cake keeps the only place until it hears, and it hears after the loaf.
    for id in [ids[2], ids[0]] {
        cancel(&bakery.db, id, "ada").await.unwrap();
    }
    assert_eq!(baked.recv().await, Some(vec![0, 2]));
    bakery.until(&ids[2..3], JobState::Cancelled).await;
    working.stop().await.unwrap();
}

#[tokio::test]
async fn at_shutdown_the_jobs_of_a_chunk_end_or_go_back_without_losing_an_attempt() {
    let bakery = Bakery::live().await;
    let (begins, mut begun) = mpsc::unbounded_channel();
    let fleet = bakery.fleet(begins);
    let fleet = fleet.chunk_worker(2, async |batch: Vec<(Loaf, Run)>, begins: Says<()>| {
        begins.send(())?;
        if batch[0].0.number == 0 {
            batch[0].1.cancelled().await;
            return Ok(vec![Ok(Outcome::Done), Err(anyhow!("stopped when asked"))]);
        }
        std::future::pending::<Results>().await
    });
    let ids = bakery.loaves(4).await;
    let pools = vec![Pool { queue: "bakery".into(), concurrency: 2 }];
    let working = fleet.start(WorkOptions { pools, ..one_place() });
    for _chunk in 0..2 {
        begun.recv().await.unwrap();
    }
    working.stop().await.unwrap();
    use JobState::{Done, Ready};
    assert_eq!(bakery.states(&ids).await, [Done, Ready, Ready, Ready]);
    for &id in &ids[1..] {
        let view = bakery.view(id).await;
        assert_eq!((outcomes(&view), view.attempt), (vec!["released"], 1));
    }
}

/// Tells when it is dropped.
struct Told(Says<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send("dropped").ok();
    }
}

#[tokio::test]
async fn a_chunk_whose_lease_is_lost_is_dropped_and_nothing_is_written_of_it() {
    let bakery = Bakery::live().await;
    let (says, mut said) = mpsc::unbounded_channel();
    let fleet = bakery.fleet(says);
    let fleet = fleet.chunk_worker(2, async |_: Vec<(Loaf, Run)>, says: Says<&'static str>| {
        let _told = Told(says.clone());
        says.send("begun")?;
        std::future::pending::<Results>().await
    });
    let ids = bakery.loaves(2).await;
    let working = fleet.start(one_place());
    assert_eq!(said.recv().await, Some("begun"));
    bakery.db.execute("DELETE FROM queue.leases").await.unwrap();
    assert_eq!(said.recv().await, Some("dropped"));
    working.stop().await.unwrap();
    for id in ids {
        assert_eq!(outcomes(&bakery.view(id).await), [""; 0]);
    }
}

#[tokio::test]
async fn a_lease_that_is_lost_stops_its_jobs_and_not_the_others_of_their_chunk() {
    let bakery = Bakery::live().await;
    let (says, mut said) = mpsc::unbounded_channel();
    let fleet = bakery
        .fleet(says)
        .chunk_worker(2, async |batch: Vec<(Loaf, Run)>, says: Says<&'static str>| {
            if let [(_, first), _] = &batch[..] {
                says.send("two loaves")?;
                first.cancelled().await;
            }
            all_done(&batch)
        })
        .worker(async |_: Cake, says: Says<&'static str>, run: Run| {
            says.send("a cake")?;
            run.cancelled().await;
            Ok(Outcome::Done)
        });
    let working = fleet.start(one_place());
    // Behind quick ones, jobs are taken ahead: here by two claims, while the cake keeps the place.
    bakery.until(&bakery.loaves(1).await, JobState::Done).await;
    let cake = bakery.push([Push::of(Cake {})]).await;
    assert_eq!(said.recv().await, Some("a cake"));
    let lost = bakery.loaves(1).await;
    bakery.until(&lost, JobState::Running).await;
    let kept = bakery.loaves(1).await;
    bakery.until(&kept, JobState::Running).await;
    cancel(&bakery.db, cake[0], "ada").await.unwrap();
    assert_eq!(said.recv().await, Some("two loaves"));
    let lose = sqlx::query("DELETE FROM queue.leases WHERE $1 = ANY (jobs)").bind(lost[0]);
    lose.execute(&*bakery.db).await.unwrap();
    bakery.until(&kept, JobState::Done).await;
    working.stop().await.unwrap();
    assert_eq!(outcomes(&bakery.view(lost[0]).await), [""; 0]);
}
