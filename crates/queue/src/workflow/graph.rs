//! A workflow as rows, if it can be meant.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Due, Node, What, Workflow};
use crate::store::{PushRows, WorkflowRows};
use crate::{Error, Trace};

const MAX_NAME_CHARS: usize = 120;

/// Refuses names that are unknown or not unique, keys that others might hold, and circles.
pub(crate) fn rows(workflow: Workflow) -> Result<WorkflowRows, Error> {
    let Workflow { name, nodes, wrong } = workflow;
    let bad = |reason: String| Error::BadWorkflow { name: name.clone(), reason };
    if let Some(reason) = wrong {
        return Err(bad(reason));
    }
    let edges = edges(&nodes).map_err(bad)?;
    if let Some(node) = find_cycle(nodes.len(), &edges) {
        return Err(bad(format!("{} needs itself through others", nodes[node].name)));
    }
    let trace = Trace::current().map(|trace| trace.traceparent());
    let mut rows = WorkflowRows::default();
    let mut ids = Vec::with_capacity(nodes.len());
    let needs: Vec<_> = nodes.iter().map(|node| node.needs.clone()).collect();
    for node in nodes {
        ids.push(add(&mut rows, node, trace.as_deref(), &bad)?);
    }
    if rows.names.is_empty() {
        return Err(bad("it has no job".into()));
    }
    let mut edges = edges.into_iter();
    for (_, after) in needs.into_iter().flatten() {
        let Some((from, to)) = edges.next() else { break };
        rows.edge_needs.push(ids[from]);
        rows.edge_jobs.push(ids[to]);
        rows.edge_afters.push(after.name());
    }
    Ok(rows)
}

fn add(
    rows: &mut WorkflowRows,
    node: Node,
    trace: Option<&str>,
    bad: &impl Fn(String) -> Error,
) -> Result<Uuid, Error> {
    if !(1..=MAX_NAME_CHARS).contains(&node.name.chars().count()) || node.name.contains('\0') {
        return Err(bad(format!("a node's name has 1 to {MAX_NAME_CHARS} characters")));
    }
    let (sort, due, lapses) = match node.what {
        What::Job(push) if push.unique.is_some() => {
            let reason = "the job that holds its unique key would not be part of the workflow";
            return Err(bad(format!("{}: {reason}", node.name)));
        }
        What::Job(push) => {
            rows.names.push(node.name);
            rows.jobs.add(*push, trace)?;
            return Ok(last(&rows.jobs));
        }
        What::Signal(None) => ("signal", None, false),
        What::Signal(Some(deadline)) => ("signal", Some(deadline.due), deadline.lapses),
        What::Timer(due) => ("timer", Some(due), false),
    };
    let id = Uuid::now_v7();
    rows.signals.push(id);
    rows.signal_names.push(node.name);
    rows.sorts.push(sort);
    rows.lapses.push(lapses);
    rows.dues.push(match due {
        Some(Due::At(at)) => Some(at),
        _ => None,
    });
    rows.due_seconds.push(match due {
        Some(Due::In(wait)) => Some(wait.as_secs_f64()),
        _ => None,
    });
    Ok(id)
}

fn last(jobs: &PushRows) -> Uuid {
    jobs.ids.last().copied().unwrap_or_default()
}

/// Pairs of places: who is needed, and by whom.
fn edges(nodes: &[Node]) -> Result<Vec<(usize, usize)>, String> {
    let mut places = HashMap::with_capacity(nodes.len());
    for (place, node) in nodes.iter().enumerate() {
        if places.insert(node.name.as_str(), place).is_some() {
            return Err(format!("two nodes are named {}", node.name));
        }
    }
    let mut edges = Vec::new();
    // Of each node, by whom it was last found to be needed.
    let mut needed_by = vec![usize::MAX; nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        for (name, _) in &node.needs {
            let Some(&needed) = places.get(name.as_str()) else {
                return Err(format!("{} needs {name}, which is no node", node.name));
            };
            if std::mem::replace(&mut needed_by[needed], place) == place {
                return Err(format!("{} needs {name}, and says so twice", node.name));
            }
            edges.push((needed, place));
        }
    }
    Ok(edges)
}

/// A node that needs itself through others, if one does: takes away those that need nobody, and those that
/// needed only them, until nothing is left or only circles and what hangs on them.
fn find_cycle(nodes: usize, edges: &[(usize, usize)]) -> Option<usize> {
    let mut needs = vec![0usize; nodes];
    let mut needed_by = vec![Vec::new(); nodes];
    for &(from, to) in edges {
        needs[to] += 1;
        needed_by[from].push(to);
    }
    let mut free: Vec<_> = (0..nodes).filter(|&node| needs[node] == 0).collect();
    while let Some(node) = free.pop() {
        for &next in &needed_by[node] {
            needs[next] -= 1;
            if needs[next] == 0 {
                free.push(next);
            }
        }
    }
    // Who is left needs somebody who is left: going back long enough leads onto a circle.
    let mut back = vec![None; nodes];
    for &(from, to) in edges.iter().filter(|(from, to)| needs[*from] > 0 && needs[*to] > 0) {
        back[to] = Some(from);
    }
    let left = back.iter().position(Option::is_some)?;
    Some((0..nodes).fold(left, |node, _| back[node].unwrap_or(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_wherever_it_lies_and_its_node_is_on_it() {
        assert_eq!(find_cycle(0, &[]), None);
        assert_eq!(find_cycle(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]), None);
        assert_eq!(find_cycle(2, &[(1, 1)]), Some(1));
        // 0 → 1 ⇄ 2 → 3: what comes before and after the circle is not on it.
        let node = find_cycle(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]);
        assert!(matches!(node, Some(1 | 2)), "{node:?}");
    }
}
