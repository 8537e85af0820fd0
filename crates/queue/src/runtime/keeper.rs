//! Keeps leases alive, and passes cancellations on.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use crate::store;

/// Renews three times in the life of a lease, and more often once that has failed. A lease that
/// could not be renewed in time is given up before others may have it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let lease = shared.options.lease;
    let mut renewed_at = Instant::now();
    let mut healthy = true;
    loop {
        sleep(if healthy { lease / 3 } else { lease / 12 }).await;
        let asked_at = Instant::now();
        let left = (renewed_at + lease).saturating_duration_since(asked_at);
        let renewed = timeout(left.min(lease / 4), renew(&shared)).await;
        healthy = matches!(renewed, Ok(Ok(())));
        match renewed {
            Ok(Ok(())) => renewed_at = asked_at,
            Ok(Err(error)) => tracing::warn!(%error, "leases cannot be renewed"),
            Err(_) => tracing::warn!("leases cannot be renewed: the database does not answer"),
        }
        if renewed_at.elapsed() > lease.mul_f64(0.9) {
            shared.leases.tokens().into_iter().for_each(|token| shared.leases.lose(token));
            renewed_at = Instant::now();
        }
    }
}

async fn renew(shared: &Shared) -> sqlx::Result<()> {
    let tokens = shared.leases.tokens();
    if tokens.is_empty() {
        return Ok(());
    }
    let now = shared.clock.for_database();
    let lease_seconds = shared.options.lease.as_secs_f64();
    let alive = store::renew(&shared.pool, now, &tokens, lease_seconds).await?;
    for lost in tokens.into_iter().filter(|token| !alive.contains(token)) {
        shared.leases.lose(lost);
    }
    for job in store::cancellations(&shared.pool, &shared.leases.jobs()).await? {
        shared.leases.cancel(job);
    }
    Ok(())
}
