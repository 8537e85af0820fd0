//! `beadle migrate`: brings the database to this release.

use context::db;

use crate::output::Output;
use crate::process;

pub async fn migrate(output: Output) -> anyhow::Result<()> {
    let pool = db::connect_to_migrate(&process::settings()?.database).await?;
    let migrated = db::migrate(&pool).await?;
    output.show(&migrated, |migrated| {
        if migrated.applied.is_empty() {
            return "nothing to do: all migrations are applied".into();
        }
        let lines = migrated.applied.iter();
        let lines = lines.map(|m| format!("applied {} {}", m.version, m.description));
        lines.collect::<Vec<_>>().join("\n")
    })
}
