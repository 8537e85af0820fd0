//! The time, passed in, so that a test can set it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Where domain code reads the time.
///
/// Machines compare leases and run times by the database's clock. [`Clock::for_database`] is
/// therefore empty in production, and the fixed time in tests.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is told otherwise.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where everybody else asks")]
    pub fn now(&self) -> DateTime<Utc> {
        self.for_database().unwrap_or_else(Utc::now)
    }

    /// Moves a fixed clock on; the machine's own clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// What queue statements take as their time: nothing, for the database's own.
    pub fn for_database(&self) -> Option<DateTime<Utc>> {
        self.0.as_ref().map(|at| *at.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
