//! Rules that a queue has while it is measured.

use queue::Push;
use serde_json::{Value, json};

use super::database::Database;
use super::job::QUEUE;

/// A rule in use, one that lets everything pass where it can.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Rule {
    /// A key for each job
    Keys,
    /// A thousand keys, each with its jobs one after the other
    SharedKeys,
    /// Seven tenants take turns
    Tenants,
    /// A hundred thousand tenants take turns
    ManyTenants,
    /// No more run than there are handlers, and those who wait for them
    Concurrency,
    /// A million a second
    Rate,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::SharedKeys => "shared-keys",
            Self::Tenants => "tenants",
            Self::ManyTenants => "many-tenants",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
        }
    }

    pub fn apply(self, job: Push, nth: usize) -> Push {
        match self {
            Self::Keys => job.key(format!("key-{nth}")),
            Self::SharedKeys => job.key(format!("key-{}", nth % 1000)),
            Self::Tenants => job.tenant(format!("tenant-{}", nth % 7)),
            Self::ManyTenants => job.tenant(format!("tenant-{}", nth % 100_000)),
            Self::Concurrency | Self::Rate => job,
        }
    }

    pub async fn set(self, database: &Database) -> anyhow::Result<()> {
        let rules: Value = match self {
            Self::Keys | Self::SharedKeys => json!({}),
            Self::Tenants | Self::ManyTenants => json!({ "fair": true }),
            Self::Concurrency => json!({ "concurrency": 8000 }),
            Self::Rate => json!({ "per_second": 1_000_000 }),
        };
        let set = "-- bench.set_rules\nSELECT queue.set_rules($1, $2)";
        sqlx::query(set).bind(QUEUE).bind(rules).execute(&database.pool).await?;
        Ok(())
    }
}
