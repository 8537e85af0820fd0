//! Hot statements on filled tables: none walks a table from end to end.

use queue::push_many;
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};

use crate::support::{Script, Theatre, named};

async fn filled() -> Theatre {
    let theatre = Theatre::live().await;
    for _ in 0..10 {
        let jobs = (0..2000).map(|n| named(&n.to_string(), Script::Succeed));
        push_many(&*theatre.db, jobs).await.unwrap();
    }
    theatre
        .db
        .execute(
            "INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts)
            SELECT gen_random_uuid(), now() + n * interval '1 s', 'theatre', 0, 1, 3
            FROM generate_series(1, 20000) n",
        )
        .await
        .unwrap();
    theatre
        .db
        .execute(
            "INSERT INTO queue.runs (job, token, attempt, outcome, started_at, ended_at, worker)
            SELECT id, 1, 1, 'done', now(), now(), 0 FROM queue.jobs",
        )
        .await
        .unwrap();
    theatre.db.execute("ANALYZE").await.unwrap();
    theatre
}

/// The plan that the engine's connections keep for a statement, whatever its parameters are.
async fn plan(db: &PgPool, file: &str) -> String {
    let sql = std::fs::read_to_string(format!("sql/{file}.sql")).unwrap();
    let mut connection = db.acquire().await.unwrap();
    sqlx::raw_sql(queue::PLANNING).execute(&mut *connection).await.unwrap();
    let parameters = sqlx::query_scalar::<_, i32>(
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'hot'",
    );
    let prepare = AssertSqlSafe(format!("PREPARE hot AS {sql}"));
    sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    let count = parameters.fetch_one(&mut *connection).await.unwrap();
    let nulls = vec!["NULL"; count as usize].join(", ");
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE hot({nulls})"));
    let lines: Vec<String> = sqlx::raw_sql(explain)
        .fetch_all(&mut *connection)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    sqlx::raw_sql("DEALLOCATE hot; RESET ALL").execute(&mut *connection).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn hot_statements_use_indexes() {
    let theatre = filled().await;
    let day: String = sqlx::query_scalar(
        "SELECT replace(tableoid::regclass::text, 'queue.jobs_', '') FROM queue.jobs LIMIT 1",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    let (jobs, runs) = (format!("jobs_{day}"), format!("runs_{day}"));
    let (jobs, runs) = (jobs.as_str(), runs.as_str());
    for (file, tables) in [
        ("claim", &["ready", jobs][..]),
        ("finish", &[runs][..]),
        ("promote", &["scheduled"][..]),
        ("rescue", &[runs, jobs][..]),
        ("state", &[runs, jobs, "scheduled"][..]),
    ] {
        let plan = plan(&theatre.db, file).await;
        for table in tables {
            assert!(
                !plan.contains(&format!("Seq Scan on {table}")),
                "{file} walks {table}:\n{plan}"
            );
        }
    }
    // The two ways into queue.ready begin where their stretch begins.
    let claim = plan(&theatre.db, "claim").await;
    let searched =
        claim.lines().filter(|line| line.contains("Index Cond:") && line.contains("> ROW("));
    assert_eq!(searched.count(), 2, "a stretch is walked, not searched:\n{claim}");
}
