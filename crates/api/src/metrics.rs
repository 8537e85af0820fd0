//! The metrics page: what this process counted, and how the queues stand now.

use std::time::Duration;

use actix_web::{HttpResponse, web::Data};
use context::Context;
use queue::inspect::{self, QueueView};
use tokio::time::timeout;

use crate::Parts;

/// Read the metrics, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "get_metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
)]
pub async fn render(cx: Data<Context>, parts: Data<Parts>) -> HttpResponse {
    let mut page = parts.metrics.render();
    match timeout(PATIENCE, inspect::queues(&cx.pool)).await {
        Ok(Ok(queues)) => page.push_str(&gauges(queues, &parts.kinds.queues())),
        Ok(Err(error)) => tracing::warn!(?error, "cannot measure the queues"),
        Err(_) => tracing::warn!("cannot measure the queues within {} s", PATIENCE.as_secs()),
    }
    HttpResponse::Ok().content_type(PROMETHEUS_TEXT).body(page)
}

pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Says what the counters of this crate mean, once a process.
pub fn describe() {
    metrics::describe_counter!("beadle_http_requests_total", "Requests answered.");
    metrics::describe_histogram!(
        "beadle_http_request_seconds",
        metrics::Unit::Seconds,
        "Time from a request's head to its answer's head."
    );
}

/// A scrape must not wait for a database in trouble; it is needed most just then.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the queues stand, also those of `known` that are empty. Written out here and not kept as
/// gauges, because a gauge would show its last value when the queue is gone or the database away.
fn gauges(mut queues: Vec<QueueView>, known: &[&str]) -> String {
    for name in known {
        if queues.iter().all(|queue| queue.name != *name) {
            queues.push(QueueView::empty(name));
        }
    }
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    let mut page = String::new();
    for (name, help, value) in GAUGES {
        page.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for queue in &queues {
            // The names of queues are lower-case words: nothing to escape.
            page.push_str(&format!("{name}{{queue=\"{}\"}} {}\n", queue.name, value(queue)));
        }
    }
    page
}

/// Name, meaning and value.
type Gauge = (&'static str, &'static str, fn(&QueueView) -> f64);

const GAUGES: [Gauge; 7] = [
    ("beadle_queue_ready", "Jobs that may start now.", |queue| queue.ready as f64),
    ("beadle_queue_waiting", "Jobs that wait for their key, or for others to end.", |queue| {
        queue.waiting as f64
    }),
    ("beadle_queue_scheduled", "Jobs that may start later.", |queue| queue.scheduled as f64),
    ("beadle_queue_running", "Jobs that run.", |queue| queue.running as f64),
    ("beadle_queue_dead", "Jobs that have died.", |queue| queue.dead as f64),
    (
        "beadle_queue_oldest_ready_seconds",
        "For how long the next job has been ready; 0 when there is none.",
        |queue| queue.oldest_ready_seconds.unwrap_or(0.0),
    ),
    ("beadle_queue_paused", "1 while no job may start.", |queue| f64::from(queue.paused)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_is_shown_too() {
        let media = QueueView {
            paused: true,
            ready: 3,
            waiting: 4,
            scheduled: 1,
            running: 2,
            oldest_ready_seconds: Some(1.5),
            ..QueueView::empty("media")
        };
        let page = gauges(vec![media], &["billing", "media"]);
        let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        insta::assert_snapshot!(samples.join("\n"), @r#"
        beadle_queue_ready{queue="billing"} 0
        beadle_queue_ready{queue="media"} 3
        beadle_queue_waiting{queue="billing"} 0
        beadle_queue_waiting{queue="media"} 4
        beadle_queue_scheduled{queue="billing"} 0
        beadle_queue_scheduled{queue="media"} 1
        beadle_queue_running{queue="billing"} 0
        beadle_queue_running{queue="media"} 2
        beadle_queue_dead{queue="billing"} 0
        beadle_queue_dead{queue="media"} 0
        beadle_queue_oldest_ready_seconds{queue="billing"} 0
        beadle_queue_oldest_ready_seconds{queue="media"} 1.5
        beadle_queue_paused{queue="billing"} 0
        beadle_queue_paused{queue="media"} 1
        "#);
    }
}
