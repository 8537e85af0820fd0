//! `beadle queues`: how much each queue holds.

use queue::inspect;

use crate::output::{Output, or_dash, table};
use crate::process;

pub async fn show(output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let mut queues = inspect::queues(&cx.pool).await?;
    for name in workers::fleet(&cx).kinds().queues() {
        if !queues.iter().any(|queue| queue.name == name) {
            queues.push(inspect::QueueView::empty(name));
        }
    }
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    output.show(&queues, |queues| {
        let head = ["QUEUE", "READY", "SCHEDULED", "RUNNING", "DEAD", "OLDEST READY"];
        let rows: Vec<_> = queues
            .iter()
            .map(|queue| {
                [
                    queue.name.clone(),
                    queue.ready.to_string(),
                    queue.scheduled.to_string(),
                    queue.running.to_string(),
                    queue.dead.to_string(),
                    or_dash(queue.oldest_ready_seconds.map(|seconds| format!("{seconds:.0} s"))),
                ]
            })
            .collect();
        table(head, &rows)
    })
}
