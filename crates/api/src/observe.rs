//! What a process without an API tells the machines around it: `/healthz` and `/metrics`.

use std::{io, net::TcpListener};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    web::{self, Data, resource},
};
use context::telemetry::Metrics;

use crate::{health, routes};

/// One machine asks, four times a minute.
const THREADS: usize = 1;

/// Answers on `listener`. Await the server to run it; signals are the caller's.
pub fn observe(metrics: Metrics, listener: TcpListener) -> io::Result<Server> {
    let metrics = Data::new(metrics);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(metrics.clone())
            .service(resource("/healthz").get(health::alive).head(health::alive))
            .service(resource("/metrics").get(render))
            .default_service(web::to(routes::nowhere))
    });
    server.workers(THREADS).disable_signals().listen(listener).map(HttpServer::run)
}

/// What this process counted. How the queues stand is told by the API, once for all processes.
async fn render(metrics: Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok().content_type(crate::metrics::PROMETHEUS_TEXT).body(metrics.render())
}
