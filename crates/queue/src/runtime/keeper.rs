//! Keeps leases alive, and passes cancellations on.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::store;

/// Renews three times in the life of a lease, so that one lost answer does not lose it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let lease = shared.options.lease;
    let mut rounds = tokio::time::interval(lease / 3);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut renewed_at = Instant::now();
    loop {
        rounds.tick().await;
        let asked_at = Instant::now();
        match tokio::time::timeout(lease / 3, renew(&shared)).await {
            Ok(Ok(())) => renewed_at = asked_at,
            Ok(Err(error)) => tracing::warn!(%error, "leases cannot be renewed"),
            Err(_) => tracing::warn!("leases cannot be renewed: the database does not answer"),
        }
        if renewed_at.elapsed() >= lease {
            // Others may have taken the jobs. What runs here must not go on beside them.
            shared.leases.tokens().into_iter().for_each(|token| shared.leases.lose(token));
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
