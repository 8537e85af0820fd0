//! Data that comes with a release: its migrations may run again, and change nothing that is there.

use sqlx::{AssertSqlSafe, PgPool};

use crate::migrator;

#[tokio::test]
async fn seeds_may_run_again_and_change_nothing() {
    let migrator = migrator().await;
    let database = queue::testing::database(&migrator).await;
    let before = contents(&database.pool).await;
    for migration in migrator.iter().filter(|m| m.description.ends_with("seed")) {
        let again = sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str().to_owned()));
        let done = again.execute(&database.pool).await;
        done.unwrap_or_else(|error| panic!("{} again: {error}", migration.description));
    }
    assert_eq!(contents(&database.pool).await, before);
}

/// Every table with how many rows it has and a digest of them.
async fn contents(pool: &PgPool) -> Vec<(String, i64, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema$'
        ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut contents = Vec::new();
    for table in tables {
        let digest = format!(
            "SELECT count(*), coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t"
        );
        let (count, digest): (i64, String) =
            sqlx::query_as(AssertSqlSafe(digest)).fetch_one(pool).await.unwrap();
        contents.push((table, count, digest));
    }
    contents
}
