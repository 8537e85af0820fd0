//! Wakes the fetcher when a job is pushed, and stops a run when somebody cancels it.
//!
//! Nothing depends on it: where notifications do not arrive the fetcher polls, and the keeper looks
//! for cancellations. Whether they arrive is tried out: a pooler may take a LISTEN and lose it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use crate::operate::CANCEL_CHANNEL;

/// Named in the statements that push.
const READY_CHANNEL: &str = "queue_ready";
/// Named in the statements that end members of workflows.
const SETTLE_CHANNEL: &str = "queue_settle";
const ECHO_CHANNEL: &str = "queue_echo";
const RECONNECT: Duration = Duration::from_secs(1);
/// How long an echo may take.
const ECHO_LIMIT: Duration = Duration::from_secs(5);
/// A worker that hears nothing tries again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(60);

pub(super) async fn listen(shared: Arc<Shared>) {
    if shared.options.pooled {
        return std::future::pending().await;
    }
    loop {
        match hear(&shared).await {
            Ok(()) => {
                tracing::warn!(
                    "notifications do not arrive; polling instead. If a pooler stands before the \
                    database, the settings must say so"
                );
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => {
                shared.hears.store(false, Ordering::Relaxed);
                tracing::warn!(%error, "notifications are not heard; polling goes on");
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }
}

/// Listens until the connection breaks; returns when nothing can be heard.
async fn hear(shared: &Shared) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(&shared.pool).await?;
    listener.listen_all([READY_CHANNEL, CANCEL_CHANNEL, SETTLE_CHANNEL, ECHO_CHANNEL]).await?;
    sqlx::query!("-- queue.echo\nSELECT pg_notify('queue_echo', $1)", shared.name)
        .execute(&shared.pool)
        .await?;
    let limit = Instant::now() + ECHO_LIMIT;
    while !shared.hears.load(Ordering::Relaxed) {
        match timeout_at(limit, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => heed(shared, &notification),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
    loop {
        // Nothing comes back while the connection is renewed: notifications may have been missed.
        match listener.try_recv().await? {
            Some(notification) => heed(shared, &notification),
            None => shared.wake.notify_one(),
        }
    }
}

fn heed(shared: &Shared, notification: &PgNotification) {
    // Whatever it says, it has arrived.
    if !shared.hears.swap(true, Ordering::Relaxed) {
        shared.wake.notify_one();
    }
    match notification.channel() {
        CANCEL_CHANNEL => {
            if let Ok(job) = notification.payload().parse() {
                shared.leases.cancel(job);
            }
        }
        SETTLE_CHANNEL => shared.unsettled.notify_one(),
        READY_CHANNEL
            if shared.options.pools.iter().any(|pool| pool.queue == notification.payload()) =>
        {
            shared.wake.notify_one();
        }
        _ => {}
    }
}
