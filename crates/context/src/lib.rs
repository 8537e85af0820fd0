//! What a process needs before it can work: settings, database, telemetry and clients.

pub mod clients;
pub mod db;
pub mod demo;
pub mod settings;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::sync::Arc;

use anyhow::Context as _;
use sqlx::PgPool;

pub use clients::{mail::Mailer, storage::Storage};
pub use db::MIGRATOR;
pub use queue::Clock;
pub use settings::{Settings, SettingsError};
pub use telemetry::Telemetry;

/// What every part of a process shares. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub pool: PgPool,
    pub clock: Clock,
    pub settings: Arc<Settings>,
    pub storage: Storage,
    pub mail: Mailer,
}

impl Context {
    /// Reaches the database and prepares the clients. The database is not migrated; see [`db`].
    pub async fn connect(settings: Settings) -> anyhow::Result<Context> {
        let storage = Storage::new(&settings.storage).context("set up object storage")?;
        let mail = Mailer::new(&settings.mail).context("set up mail")?;
        let pool = db::connect(&settings.database).await?;
        let settings = Arc::new(settings);
        Ok(Context { pool, clock: Clock::system(), settings, storage, mail })
    }
}
