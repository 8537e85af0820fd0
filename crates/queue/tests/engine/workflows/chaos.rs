//! Graphs that nobody has thought out, run by several workers at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use queue::inspect::{JobState, NodeView, WorkflowView};
use queue::{
    After, Push, Workflow, Working, cancel, cancel_workflow, push_workflow, retry_workflow,
};

use super::{leftovers, view};
use crate::support::{Script, Theatre, named};

const GRAPHS: usize = 30;
const NODES: usize = 25;
const WORKERS: usize = 3;

/// Each node needs some of those before it, and one in four fails.
fn graph() -> Workflow {
    let mut workflow = Workflow::named("random");
    for place in 0..NODES {
        let script = match rand::random_range(0..8) {
            0 => Script::Fail,
            1 => Script::Discard,
            _ => Script::Succeed,
        };
        let job = Push::from(named("random", script)).max_attempts(1);
        workflow = workflow.add(place.to_string(), job);
        let needed = |share| (0..place).filter(move |_| rand::random_bool(share));
        let mut taken = Vec::new();
        for (after, share) in [(After::Done, 0.1), (After::Ended, 0.05), (After::Failed, 0.05)] {
            let new: Vec<_> = needed(share).filter(|name| !taken.contains(name)).collect();
            taken.extend(&new);
            let names = new.iter().map(usize::to_string);
            workflow = match after {
                After::Done => workflow.after(names),
                After::Ended => workflow.after_end_of(names),
                After::Failed => workflow.after_failure_of(names),
            };
        }
    }
    workflow
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Done,
    Failed,
    Unneeded,
}

fn end(node: &NodeView) -> Option<End> {
    match node.state {
        JobState::Done => Some(End::Done),
        JobState::Cancelled if node.note.as_deref() == Some("not needed") => Some(End::Unneeded),
        JobState::Dead | JobState::Discarded | JobState::Cancelled => Some(End::Failed),
        _ => None,
    }
}

/// Whether a node may have ended as it did, since those that it needed ended as they did.
fn fits(node: &NodeView, ends: &HashMap<&str, End>) -> bool {
    let of = |after| node.needs.iter().filter(move |need| need.after == after);
    let any = |after, end| of(after).any(|need| ends[need.name.as_str()] == end);
    let watches = of(After::Failed).next().is_some();
    let idles = watches && !any(After::Failed, End::Failed);
    match (node.state, end(node)) {
        (JobState::Cancelled, Some(End::Failed)) => any(After::Done, End::Failed),
        (JobState::Cancelled, Some(End::Unneeded)) => idles || any(After::Done, End::Unneeded),
        _ => of(After::Done).all(|need| ends[need.name.as_str()] == End::Done) && !idles,
    }
}

fn check(workflow: &WorkflowView) {
    let ends = workflow.nodes.iter().map(|node| (node.name.as_str(), end(node).expect("it ended")));
    let ends: HashMap<_, _> = ends.collect();
    for node in &workflow.nodes {
        assert!(fits(node, &ends), "{node:?} does not follow from {ends:?}");
    }
}

#[tokio::test]
async fn random_graphs_end_as_their_edges_say_whoever_runs_them() {
    let theatre = Theatre::live().await;
    let mut pushed = Vec::new();
    for _ in 0..GRAPHS {
        pushed.push(push_workflow(&*theatre.db, graph()).await.unwrap().id);
    }
    let workers = workers(&theatre);
    settled(&theatre, workers).await;
    for id in pushed {
        check(&view(&theatre, id).await);
    }
}

#[tokio::test]
async fn operators_who_cancel_and_retry_meanwhile_leave_nobody_waiting() {
    const DEEDS: usize = 150;
    let theatre = Theatre::live().await;
    let workers = workers(&theatre);
    let mut pushed = Vec::new();
    for _ in 0..GRAPHS {
        pushed.push(push_workflow(&*theatre.db, graph()).await.unwrap());
    }
    let operator = async || {
        for _ in 0..DEEDS {
            let workflow = &pushed[rand::random_range(0..GRAPHS)];
            let job = workflow.jobs[&rand::random_range(0..NODES).to_string()];
            match rand::random_range(0..4) {
                0 => drop(cancel_workflow(&theatre.db, workflow.id, "chaos").await.unwrap()),
                1 => drop(cancel(&theatre.db, job, "chaos").await.unwrap()),
                _ => drop(retry_workflow(&theatre.db, workflow.id, "chaos").await.unwrap()),
            }
        }
    };
    tokio::join!(operator(), operator(), operator());
    settled(&theatre, workers).await;
    for workflow in pushed {
        let view = view(&theatre, workflow.id).await;
        assert!(view.nodes.iter().all(|node| end(node).is_some()), "{view:?}");
    }
}

fn workers(theatre: &Theatre) -> Vec<Working> {
    let start = |_| {
        Theatre::fleet(&theatre.db, &theatre.clock, &theatre.stage).start(crate::support::work(4))
    };
    (0..WORKERS).map(start).collect()
}

/// Waits until nobody waits.
async fn settled(theatre: &Theatre, workers: Vec<Working>) {
    let limit = Instant::now() + Duration::from_secs(60);
    while leftovers(theatre).await > 0 {
        assert!(Instant::now() < limit, "{} rows still wait", leftovers(theatre).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    // What needed nobody, and nobody needed, may have ended last.
    theatre.fleet.drain().await.unwrap();
}
