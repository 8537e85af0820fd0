//! Brings a database to this release, and refuses one that a newer release has touched.

use std::{collections::BTreeSet, fmt, time::Duration};

use anyhow::{Context as _, bail};
use sqlx::{Connection, PgConnection, PgPool, migrate::Migrator};
use tokio::time::Instant;

use super::MIGRATOR;

/// How the database stands to this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationState {
    Current,
    /// So many migrations are still to be applied.
    Pending(usize),
    /// The database knows a migration that this release does not.
    Newer {
        version: i64,
        description: String,
    },
    /// A migration was edited after it had been applied.
    Changed {
        version: i64,
    },
    /// A migration that runs without a transaction stopped half-way.
    HalfDone {
        version: i64,
    },
}

/// What one call of [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migrated {
    pub applied: Vec<Applied>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    pub version: i64,
    pub description: String,
}

/// Applies what is pending. Processes that start together take turns.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<Migrated> {
    migrate_by(&MIGRATOR, pool).await
}

/// Compares the database with this release and changes nothing.
pub async fn migrations(pool: &PgPool) -> anyhow::Result<MigrationState> {
    let mut connection = pool.acquire().await.context("connect to look at the migrations")?;
    state_of(&MIGRATOR, &mut connection).await
}

impl MigrationState {
    pub fn is_current(&self) -> bool {
        *self == MigrationState::Current
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrationState::Current => write!(f, "all migrations are applied"),
            MigrationState::Pending(1) => write!(f, "1 migration is pending; run `beadle migrate`"),
            MigrationState::Pending(count) => {
                write!(f, "{count} migrations are pending; run `beadle migrate`")
            }
            MigrationState::Newer { version, description } => write!(
                f,
                "the database was migrated by another release: it holds {version} ({description}), \
                 which this one does not know; start a release that does"
            ),
            MigrationState::Changed { version } => write!(
                f,
                "migration {version} differs from what was applied to the database; \
                 start the release that applied it, or restore the file"
            ),
            MigrationState::HalfDone { version } => write!(
                f,
                "migration {version} stopped half-way; undo what it did by hand, \
                 delete its row from _sqlx_migrations and run `beadle migrate`"
            ),
        }
    }
}

/// Ours alone among advisory locks: the letters of "beadle".
const LOCK: i64 = 0x62_65_61_64_6c_65;
/// A process that has migrated for longer than this hangs or builds an enormous index.
const LOCK_PATIENCE: Duration = Duration::from_secs(600);
const LOCK_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn migrate_by(migrator: &Migrator, pool: &PgPool) -> anyhow::Result<Migrated> {
    // Out of the pool, and closed: a failed migration would leave sqlx's lock with the session.
    let mut connection = pool.acquire().await.context("connect to migrate")?.detach();
    let migrated = take_turn(migrator, &mut connection).await;
    let closed = connection.close().await;
    let migrated = migrated?;
    closed.context("close the connection that migrated")?;
    Ok(migrated)
}

async fn take_turn(migrator: &Migrator, connection: &mut PgConnection) -> anyhow::Result<Migrated> {
    lock(connection).await?;
    match state_of(migrator, connection).await? {
        MigrationState::Current | MigrationState::Pending(_) => {}
        refused => bail!("{refused}"),
    }
    let before = applied(connection).await?;
    let before: BTreeSet<i64> = before.into_iter().map(|row| row.version).collect();
    migrator.run(&mut *connection).await.context("migrate the database")?;
    let applied = forward(migrator)
        .filter(|migration| !before.contains(&migration.version))
        .map(|migration| Applied {
            version: migration.version,
            description: migration.description.to_string(),
        })
        .collect();
    Ok(Migrated { applied })
}

/// Waits without a snapshot, which `pg_advisory_lock` would hold: an index that is built
/// concurrently waits for every snapshot, and the two would wait for each other.
async fn lock(connection: &mut PgConnection) -> anyhow::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await
            .context("ask for the migration lock")?;
        if locked {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "another process has been migrating for {} s; look into pg_stat_activity",
                LOCK_PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

pub(super) async fn state_of(
    migrator: &Migrator,
    connection: &mut PgConnection,
) -> anyhow::Result<MigrationState> {
    let rows = applied(connection).await?;
    let mut pending = forward(migrator).count();
    for row in rows {
        let version = row.version;
        match forward(migrator).find(|migration| migration.version == version) {
            None => return Ok(MigrationState::Newer { version, description: row.description }),
            Some(_) if !row.success => return Ok(MigrationState::HalfDone { version }),
            Some(migration) if *migration.checksum != *row.checksum => {
                return Ok(MigrationState::Changed { version });
            }
            Some(_) => pending -= 1,
        }
    }
    Ok(if pending == 0 { MigrationState::Current } else { MigrationState::Pending(pending) })
}

#[derive(sqlx::FromRow)]
struct Row {
    version: i64,
    description: String,
    success: bool,
    checksum: Vec<u8>,
}

/// The rows of sqlx's own table, latest first: a newer release is named by its last word.
async fn applied(connection: &mut PgConnection) -> anyhow::Result<Vec<Row>> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .context("look for the table of migrations")?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT version, description, success, checksum FROM _sqlx_migrations \
         ORDER BY version DESC",
    )
    .fetch_all(&mut *connection)
    .await
    .context("read the table of migrations")
}

fn forward(migrator: &Migrator) -> impl Iterator<Item = &sqlx::migrate::Migration> {
    migrator.iter().filter(|migration| !migration.migration_type.is_down_migration())
}
