use std::{borrow::Cow, net::TcpListener, time::Instant};

use queue::testing::TestDatabase;
use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType},
};

use super::{
    migrate::{migrate_by, state_of},
    *,
};
use crate::{Context, Settings};

const NOON: &str = "2025-03-01T12:00:00Z";

async fn refusal(url: &str) -> String {
    let settings = Settings::load_from([
        ("DATABASE_URL".into(), url.into()),
        ("BEADLE__DATABASE__CONNECT_TIMEOUT_SECONDS".into(), "1".into()),
    ]);
    let result = Context::connect(settings.unwrap()).await;
    let message = format!("{:#}", result.err().expect("there is no such database"));
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[tokio::test]
async fn a_database_that_nobody_serves_is_named_and_its_password_is_not() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(
        refusal(&format!("postgres://beadle:hunter2@127.0.0.1:{port}/errands")).await,
        format!(
            "cannot reach the database `errands` at 127.0.0.1:{port}: nobody listens there; \
             start it, or correct the address in DATABASE_URL"
        )
    );
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_given_up_within_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    assert_eq!(
        refusal(&format!("postgres://beadle:hunter2@127.0.0.1:{port}/errands")).await,
        format!(
            "cannot reach the database `errands` at 127.0.0.1:{port}: no answer within 1 s; \
             start it, or correct the address in DATABASE_URL"
        )
    );
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn what_the_server_refuses_is_said_with_its_cure() {
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres for tests");
    let options = PgConnectOptions::from_str(&server).unwrap();
    let wrong_database = options.clone().database("no_such_errands");
    let message = refusal(wrong_database.to_url_lossy().as_str()).await;
    assert!(
        message.ends_with(
            "database \"no_such_errands\" does not exist; create it with `createdb no_such_errands`"
        ),
        "{message}"
    );
    let wrong_user = options.username("nobody_at_all").password("hunter2");
    let message = refusal(wrong_user.to_url_lossy().as_str()).await;
    assert!(message.contains("nobody_at_all"), "{message}");
    assert!(message.contains("; correct the user and the password in DATABASE_URL"), "{message}");
}

#[tokio::test]
async fn a_url_that_is_missing_or_broken_is_refused_without_quoting_it() {
    assert_eq!(
        refusal("").await,
        "no database is set: set DATABASE_URL to a Postgres, \
         or start `beadle up`, which brings its own"
    );
    assert_eq!(
        refusal("postgres://beadle:hunter2@localhost:port/errands").await,
        "the database URL is not valid: invalid port number"
    );
    assert_eq!(
        refusal("hunter2").await,
        "the database URL is not valid: relative URL without a base"
    );
}

#[tokio::test]
async fn a_context_connects_under_its_own_name() {
    let cx = Context::for_test(NOON).await;
    let context = Context::connect((*cx.settings).clone()).await.unwrap();
    let name: String =
        sqlx::query_scalar("SHOW application_name").fetch_one(&context.pool).await.unwrap();
    assert_eq!(name, "beadle");
    context.pool.close().await;
}

#[tokio::test]
async fn a_migrated_database_is_current_and_migrating_again_does_nothing() {
    let database = queue::testing::database(&MIGRATOR).await;
    assert_eq!(migrations(&database).await.unwrap(), MigrationState::Current);
    assert_eq!(migrate(&database).await.unwrap(), Migrated { applied: vec![] });
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_and_left_alone() {
    let database = queue::testing::database(&MIGRATOR).await;
    execute(
        &database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99991231235959, 'far future', true, '', 0)",
    )
    .await;
    execute(&database, "DELETE FROM _sqlx_migrations WHERE version < 99991231235959").await;

    let state = migrations(&database).await.unwrap();
    let description = "far future".to_owned();
    assert_eq!(state, MigrationState::Newer { version: 99991231235959, description });
    assert_eq!(
        format!("{:#}", migrate(&database).await.unwrap_err()),
        "the database was migrated by another release: it holds 99991231235959 (far future), \
         which this one does not know; start a release that does"
    );
    assert_eq!(rows(&database).await, 1);
}

#[tokio::test]
async fn an_edited_and_a_half_done_migration_are_refused() {
    let database = queue::testing::database(&MIGRATOR).await;
    let version = MIGRATOR.iter().next().expect("there are migrations").version;
    execute(&database, "UPDATE _sqlx_migrations SET checksum = 'edited'").await;
    assert!(matches!(migrations(&database).await.unwrap(), MigrationState::Changed { .. }));
    let error = format!("{:#}", migrate(&database).await.unwrap_err());
    assert!(error.contains("differs from what was applied"), "{error}");

    execute(
        &database,
        AssertSqlSafe(format!(
            "UPDATE _sqlx_migrations SET success = false WHERE version = {version};
            DELETE FROM _sqlx_migrations WHERE version <> {version}"
        )),
    )
    .await;
    assert_eq!(migrations(&database).await.unwrap(), MigrationState::HalfDone { version });
    let error = format!("{:#}", migrate(&database).await.unwrap_err());
    assert!(error.contains("stopped half-way"), "{error}");
}

#[tokio::test]
async fn processes_that_start_together_apply_each_migration_once() {
    let (_database, pool) = empty().await;
    let migrator = migrator(&["CREATE TABLE one ()", "CREATE TABLE two ()"]);
    assert_eq!(state(&migrator, &pool).await, MigrationState::Pending(2));

    let (left, right) = tokio::join!(migrate_by(&migrator, &pool), migrate_by(&migrator, &pool));
    let (left, right) = (left.unwrap().applied, right.unwrap().applied);
    assert_eq!(left.len() + right.len(), 2, "{left:?} {right:?}");
    assert!(left.is_empty() || right.is_empty());
    assert_eq!(state(&migrator, &pool).await, MigrationState::Current);
}

#[tokio::test]
async fn a_failed_migration_names_itself_and_holds_nobody_up() {
    let (_database, pool) = empty().await;
    let broken = migrator(&["CREATE TABLE one ()", "CREATE TABLE one ()"]);
    let error = format!("{:#}", migrate_by(&broken, &pool).await.unwrap_err());
    assert!(error.contains("migration 2: "), "{error}");
    assert!(error.contains("relation \"one\" already exists"), "{error}");
    assert_eq!(state(&broken, &pool).await, MigrationState::Pending(1));

    // From another session, while the first pool still lives.
    let other = PgPool::connect_with((*pool.connect_options()).clone()).await.unwrap();
    let mended = migrator(&["CREATE TABLE one ()", "CREATE TABLE two ()"]);
    let migrated = tokio::time::timeout(Duration::from_secs(10), migrate_by(&mended, &other));
    let applied = migrated.await.expect("nobody holds the lock").unwrap().applied;
    assert_eq!(applied, [Applied { version: 2, description: "number 2".to_owned() }]);
}

#[test]
fn every_migration_says_what_it_is() {
    for migration in MIGRATOR.iter() {
        let (version, name) = (migration.version, &migration.description);
        assert_eq!(version.to_string().len(), 14, "{version} {name} starts with its time");
        assert!(name.contains(' '), "{version} {name} names its area and its change");
        let sql = migration.sql.as_str();
        let header = sql.lines().take_while(|line| line.starts_with("--"));
        let header = header.collect::<Vec<_>>().join("\n");
        for part in ["Owner: ", "Locks: ", "Undo: "] {
            assert!(header.contains(part), "{version} {name} lacks `{part}` at its top");
        }
    }
}

#[tokio::test]
async fn nothing_is_prepared_behind_a_pooler() {
    let database = queue::testing::database(&MIGRATOR).await;
    let mut settings = at(&database.url());
    for (pooled, expected) in [(false, 1), (true, 0)] {
        settings.pooled = pooled;
        let pool = connect(&settings).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let one: i32 =
            sqlx::query_scalar("SELECT $1 + 1").bind(0).fetch_one(&mut *connection).await.unwrap();
        let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1 + 1'";
        let prepared: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
        assert_eq!((one, prepared), (1, expected));
    }
}

#[tokio::test]
async fn migrations_go_past_a_pooler_or_not_at_all() {
    let database = queue::testing::database(&MIGRATOR).await;
    let mut settings = at("postgres://nobody@127.0.0.1:1/pooler");
    settings.pooled = true;
    assert_eq!(
        connect_to_migrate(&settings).await.unwrap_err().to_string(),
        "`database.pooled` is set, and migrations cannot go through a pooler: set \
         BEADLE__DATABASE__DIRECT_URL to the address of Postgres itself"
    );
    settings.direct_url = Some(database.url().into());
    let pool = connect_to_migrate(&settings).await.unwrap();
    assert_eq!(migrate(&pool).await.unwrap(), Migrated { applied: vec![] });
    settings.direct_url = Some("postgres://u:hunter2@h:port/d".into());
    assert_eq!(
        connect_to_migrate(&settings).await.unwrap_err().to_string(),
        "database.direct_url is not valid: invalid port number"
    );
}

fn at(url: &str) -> settings::Database {
    Settings::load_from([("DATABASE_URL".into(), url.into())]).unwrap().database
}

/// A pool that sees an empty schema, and the database that it lives in.
async fn empty() -> (TestDatabase, PgPool) {
    let database = queue::testing::database(&MIGRATOR).await;
    execute(&database, "CREATE SCHEMA empty").await;
    let options = PgConnectOptions::from_str(&database.url()).unwrap();
    let options = options.options([("search_path", "empty")]);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    (database, pool)
}

fn migrator(statements: &[&'static str]) -> Migrator {
    let migrations = statements.iter().zip(1..).map(|(statement, version)| {
        let description = Cow::Owned(format!("number {version}"));
        let sql = statement.into_sql_str();
        Migration::new(version, description, MigrationType::Simple, sql, false)
    });
    Migrator { migrations: migrations.collect(), ..Migrator::DEFAULT }
}

async fn state(migrator: &Migrator, pool: &PgPool) -> MigrationState {
    state_of(migrator, &mut pool.acquire().await.unwrap()).await.unwrap()
}

async fn execute(database: &TestDatabase, sql: impl SqlSafeStr) {
    sqlx::raw_sql(sql).execute(&database.pool).await.unwrap();
}

async fn rows(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(&database.pool)
        .await
        .unwrap()
}
