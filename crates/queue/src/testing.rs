//! Databases for tests: each its own, cloned from a template that is migrated once.
//!
//! The same tests also show what the engine does without: `BEADLE_TEST_POOLER`, a host and a port, is a
//! pooler in transaction mode that stands before the server, and with `BEADLE_TEST_DEAF` no
//! notification is ever sent.

use std::ops::Deref;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// A database of its own, dropped with the value. After a failed test it stays to be looked at,
/// until the next run removes it.
pub struct TestDatabase {
    pub pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Deref for TestDatabase {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

/// A database migrated by `migrator`, on the server that `DATABASE_URL` names.
pub async fn database(migrator: &Migrator) -> TestDatabase {
    let server = server();
    let name = format!("beadle_test_{}_{}", std::process::id(), next_number());
    let mut connection = connect(&server).await;
    let template = template(&mut connection, &server, migrator).await;
    // Copying files is quicker than logging every page, and nobody replays this server's log.
    run(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        .await;
    connection.close().await.expect("close the connection that clones");
    let direct = server.clone().database(&name);
    if std::env::var_os("BEADLE_TEST_DEAF").is_some() {
        silence(&direct).await;
    }
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect_with(through_pooler(direct))
        .await
        .expect("connect to the test database");
    TestDatabase { pool, name, server }
}

/// Whether a pooler stands between the tests and the server.
pub fn is_pooled() -> bool {
    pooler().is_some()
}

impl TestDatabase {
    /// For a second pool, or another process.
    pub fn url(&self) -> String {
        use sqlx::ConnectOptions;
        through_pooler(self.server.clone().database(&self.name)).to_url_lossy().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the database {} stays for a look", self.name);
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A destructor cannot wait in the test's own runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut connection = connect(&server).await;
                run(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        if dropped.join().is_err() {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}

fn server() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names a Postgres for tests; `cargo xtask test` starts one");
    PgConnectOptions::from_str(&url).expect("DATABASE_URL is a Postgres URL")
}

fn pooler() -> Option<String> {
    std::env::var("BEADLE_TEST_POOLER").ok()
}

fn through_pooler(options: PgConnectOptions) -> PgConnectOptions {
    let Some(pooler) = pooler() else { return options };
    let (host, port) = pooler.rsplit_once(':').expect("BEADLE_TEST_POOLER is a host and a port");
    let port = port.parse().expect("BEADLE_TEST_POOLER ends with a port");
    options.host(host).port(port).statement_cache_capacity(0)
}

/// Takes the voice from all of this database, whatever statement calls it. A function that only had
/// another body would not be called: Postgres knows its own by their numbers.
async fn silence(database: &PgConnectOptions) {
    const SILENT: &str = "ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_notify_unheard;
        CREATE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'";
    let mut connection = connect(database).await;
    run(&mut connection, SILENT.into()).await;
    connection.close().await.expect("close the connection that silences");
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The migrated template; made by whoever comes first, and made anew when migrations have changed.
async fn template(
    connection: &mut PgConnection,
    server: &PgConnectOptions,
    migrator: &Migrator,
) -> String {
    let fingerprint = migrator.iter().flat_map(|migration| migration.checksum.iter());
    let fingerprint = fingerprint
        .fold(0u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let name = format!("beadle_template_{fingerprint:016x}");
    if exists(connection, &name).await {
        return name;
    }
    // One builder at a time, across processes; the name appears only when the template is whole.
    run(connection, "SELECT pg_advisory_lock(hashtext('beadle_template'))".into()).await;
    if !exists(connection, &name).await {
        remove_leftovers(connection).await;
        let half = format!("{name}_half");
        run(connection, format!("DROP DATABASE IF EXISTS {half} WITH (FORCE)")).await;
        run(connection, format!("CREATE DATABASE {half}")).await;
        let mut migrated = connect(&server.clone().database(&half)).await;
        migrator.run(&mut migrated).await.expect("migrate the template");
        migrated.close().await.expect("close the template");
        run(connection, format!("ALTER DATABASE {half} RENAME TO {name}")).await;
    }
    run(connection, "SELECT pg_advisory_unlock(hashtext('beadle_template'))".into()).await;
    name
}

/// Databases that failed tests left behind, and templates of earlier migrations.
async fn remove_leftovers(connection: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database d
        WHERE datname ~ '^beadle_(test|template)_'
            AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("list leftover databases");
    for name in names.iter().filter(|name| !belongs_to_a_running_test(name)) {
        run(connection, format!("DROP DATABASE IF EXISTS \"{name}\"")).await;
    }
}

/// Another test process may have cloned it and not yet connected.
fn belongs_to_a_running_test(name: &str) -> bool {
    let number = name.strip_prefix("beadle_test_").and_then(|rest| rest.split('_').next());
    number.is_some_and(|process| std::path::Path::new("/proc").join(process).exists())
}

async fn exists(connection: &mut PgConnection, database: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(connection)
        .await
        .expect("look for the template")
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.expect("connect to the Postgres of DATABASE_URL")
}

async fn run(connection: &mut PgConnection, statement: String) {
    let result = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await;
    result.unwrap_or_else(|error| panic!("{statement}: {error}"));
}
