use sqlx::AssertSqlSafe;

use super::*;
use crate::{Context, testing::TestContext};

const PLAN: Plan = Plan { users: 60, months: 3, seed: 1 };

#[tokio::test]
async fn the_same_plan_makes_the_same_rows_and_adds_nothing_the_second_time() {
    let (one, other) = (a_day().await, a_day().await);
    let planted = plant(&one.pool, PLAN, one.clock.now()).await.expect("plant");
    assert!(planted.areas.iter().all(|area| area.rows > 0), "{planted:?}");
    plant(&other.pool, PLAN, other.clock.now()).await.expect("plant elsewhere");
    let once = contents(&one.pool).await;
    assert_eq!(once, contents(&other.pool).await);
    plant(&one.pool, PLAN, one.clock.now()).await.expect("plant again");
    assert_eq!(once, contents(&one.pool).await);
    assert_eq!(inhabitants(&one.pool).await.expect("look"), Inhabitants::OfADemo);
}

#[tokio::test]
async fn a_plan_without_people_or_of_too_many_months_is_refused() {
    let cx = a_day().await;
    for plan in [Plan { users: 0, ..PLAN }, Plan { months: 21, ..PLAN }] {
        assert!(plant(&cx.pool, plan, cx.clock.now()).await.is_err(), "{plan:?}");
    }
    assert_eq!(inhabitants(&cx.pool).await.expect("look"), Inhabitants::Nobody);
}

async fn a_day() -> TestContext {
    Context::for_test("2025-03-01T09:00:00Z").await
}

/// Every table's rows as one digest, but for what a trigger or a default writes at the moment itself.
async fn contents(pool: &PgPool) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text !~ '^pg_|^information_schema$'
            AND c.relname NOT IN ('_sqlx_migrations', 'role_grants_log', 'partitioned_tables')
        ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .expect("list the tables");
    let mut contents = Vec::new();
    for table in tables {
        let digest = format!(
            "SELECT coalesce(md5(string_agg(row, ',' ORDER BY row)), '')
            FROM (SELECT (to_jsonb(t) - '{{id,created_at,updated_at}}'::text[])::text AS row FROM {table} t) r"
        );
        let digest = sqlx::query_scalar(AssertSqlSafe(digest)).fetch_one(pool).await;
        contents.push((table, digest.expect("read a table")));
    }
    contents
}
