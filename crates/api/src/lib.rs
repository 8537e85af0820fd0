//! The HTTP API: takes jobs in and tells how they are doing. Knows nothing of how a job runs.

mod auth;
mod body;
mod docs;
mod error;
mod health;
mod jobs;
pub mod keys;
mod metrics;
mod observe;
mod queues;
mod request;
mod routes;

use std::{io, net::TcpListener};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web::Data};
use context::{Context, telemetry::Metrics};
use queue::{Heartbeat, Kinds, Pusher};
use sqlx::{AssertSqlSafe, Executor};

pub use docs::openapi;
pub use error::Problem;
pub use observe::observe;

/// What the API tells of, besides what is in the context.
#[derive(Clone)]
pub struct Parts {
    /// What may be pushed.
    pub kinds: Kinds,
    /// Of the worker loop in this process, if there is one.
    pub heartbeat: Option<Heartbeat>,
    pub metrics: Metrics,
}

/// Serves the API on `listener`. Await the server to run it; stop it by its handle, because
/// signals are the caller's. A graceful stop lets requests end for `http.shutdown_seconds`.
pub fn start(cx: Context, parts: Parts, listener: TcpListener) -> io::Result<Server> {
    metrics::describe();
    let http = cx.settings.http.clone();
    // A connection lives on the runtime that opened it. The server's threads have their own
    // runtimes and end before the workers do, so they may not share a pool with them.
    let mut pool = cx.pool.options().clone();
    // What a request that was given up asked of the database ends there too. A pooler would lend the
    // limit on to others.
    if !cx.settings.database.pooled {
        let limit = format!("SET statement_timeout = '{}s'", http.request_timeout_seconds);
        pool = pool.after_connect(move |connection, _| {
            let limit = AssertSqlSafe(limit.clone());
            Box::pin(async move { connection.execute(limit).await.map(drop) })
        });
    }
    let pool = pool.connect_lazy_with((*cx.pool.connect_options()).clone());
    let (cx, parts) = (Data::new(Context { pool, ..cx }), Data::new(parts));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(cx.clone())
            .app_data(parts.clone())
            // Each thread its own: its statements then run where its connections live.
            .app_data(Data::new(Pusher::new(cx.pool.clone())))
            .configure(routes::refusals(http.body_limit_bytes))
            .configure(routes::map)
            .wrap(from_fn(request::follow))
    });
    server
        .workers(http.workers)
        .shutdown_timeout(http.shutdown_seconds)
        .disable_signals()
        .listen(listener)
        .map(HttpServer::run)
}
