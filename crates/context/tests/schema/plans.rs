//! What frontends read most, as a client with policies in force: by an index, whatever the size of the table.

use context::demo::{self, Plan};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::migrator;

/// A table with fewer rows is read whole, and may be.
const FEW_ROWS: f32 = 500.0;

const READS: [&str; 16] = [
    "SELECT display_name, bio FROM public.profiles WHERE id = $me",
    "SELECT display_name, bio FROM public.profiles WHERE username = 'amina.benali7'",
    "SELECT * FROM public.user_settings WHERE user_id = $me",
    "SELECT * FROM public.user_consents WHERE user_id = $me AND revoked_at IS NULL",
    "SELECT * FROM rbac.user_roles WHERE user_id = $me AND is_active",
    "SELECT * FROM access.user_entitlements WHERE user_id = $me AND status = 'active'",
    "SELECT id, amount_cents FROM billing.payments WHERE user_id = $me ORDER BY created_at DESC LIMIT 20",
    "SELECT id, status FROM billing.subscriptions WHERE user_id = $me",
    "SELECT credits FROM billing.credit_ledger WHERE user_id = $me",
    "SELECT id, title FROM notify.inbox WHERE user_id = $me ORDER BY created_at DESC LIMIT 20",
    "SELECT count(*) FROM notify.inbox WHERE user_id = $me AND read_at IS NULL AND archived_at IS NULL",
    "SELECT id, status FROM notify.outbox WHERE user_id = $me AND channel = 'email' ORDER BY created_at DESC LIMIT 20",
    "SELECT id, title FROM ai.assistant_sessions WHERE user_id = $me ORDER BY created_at DESC LIMIT 20",
    "SELECT role, content FROM ai.assistant_messages WHERE session_id = $me ORDER BY position",
    "SELECT id, title FROM content.lessons WHERE id = $me",
    "SELECT id, title FROM content.lessons WHERE module_id = $me ORDER BY lesson_order",
];

#[tokio::test]
async fn what_people_read_of_their_own_is_found_by_an_index() {
    let database = queue::testing::database(&migrator().await).await;
    let plan = Plan { users: 1200, months: 3, seed: 1 };
    demo::plant(&database.pool, plan, "2025-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    run(&mut connection, "ANALYZE").await;
    let large: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND reltuples > $1",
    )
    .bind(FEW_ROWS)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let me: String = sqlx::query_scalar(
        "SELECT p.id::text FROM public.profiles p JOIN billing.subscriptions s ON s.user_id = p.id
        ORDER BY p.username LIMIT 1",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let claims = format!(r#"{{"sub": "{me}", "role": "authenticated"}}"#);
    run(&mut connection, &format!("SET ROLE authenticated; SET request.jwt.claims = '{claims}'"))
        .await;
    let mut slow = Vec::new();
    for read in READS {
        let explain = format!("EXPLAIN {}", read.replace("$me", &format!("'{me}'")));
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
        let whole = lines.iter().find(|line| {
            let name = line.split("Seq Scan on ").nth(1).and_then(|rest| rest.split(' ').next());
            name.is_some_and(|name| large.iter().any(|table| table == name))
        });
        if whole.is_some() {
            slow.push(format!("{read}\n{}", lines.join("\n")));
        }
    }
    run(&mut connection, "RESET ROLE").await;
    assert!(slow.is_empty(), "read whole:\n{}", slow.join("\n\n"));
}

async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}
