//! Tells those who wait what has ended, as soon as that is committed.
//!
//! One at a time in a process: while it is at work, more ends gather for its next statement. What it does not
//! come to, or another process has left, upkeep finds.

use std::sync::Arc;

use super::Shared;
use crate::store;

pub(super) async fn settle(shared: Arc<Shared>) {
    loop {
        shared.unsettled.notified().await;
        match store::settle(&shared.pool, shared.clock.for_database(), false).await {
            Ok(true) => {}
            Ok(false) => shared.unsettled.notify_one(),
            Err(error) => tracing::warn!(%error, "jobs that wait for others are told later"),
        }
    }
}
