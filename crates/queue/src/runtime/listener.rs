//! Wakes the fetcher when a job is pushed, and stops a run when somebody cancels it.
//!
//! Nothing depends on it: without notifications the fetcher polls, and the keeper looks for
//! cancellations.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;

use super::Shared;
use crate::operate::CANCEL_CHANNEL;

/// Named in the statements that push.
const READY_CHANNEL: &str = "queue_ready";
const RECONNECT: Duration = Duration::from_secs(1);

pub(super) async fn listen(shared: Arc<Shared>) {
    loop {
        let Err(error) = hear(&shared).await;
        tracing::warn!(%error, "notifications are not heard; polling goes on");
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(shared: &Shared) -> sqlx::Result<std::convert::Infallible> {
    let mut listener = PgListener::connect_with(&shared.pool).await?;
    listener.listen_all([READY_CHANNEL, CANCEL_CHANNEL]).await?;
    // Whatever happened before we listened.
    shared.wake.notify_one();
    loop {
        // Nothing comes back while the connection is renewed: notifications may have been missed.
        let Some(notification) = listener.try_recv().await? else {
            shared.wake.notify_one();
            continue;
        };
        match notification.channel() {
            CANCEL_CHANNEL => {
                if let Ok(job) = notification.payload().parse() {
                    shared.leases.cancel(job);
                }
            }
            _ if shared.options.pools.iter().any(|pool| pool.queue == notification.payload()) => {
                shared.wake.notify_one();
            }
            _ => {}
        }
    }
}
