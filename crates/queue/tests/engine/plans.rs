//! Hot statements on filled tables: none walks a table from end to end.

use queue::push_many;
use sqlx::{AssertSqlSafe, Executor, PgPool};

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
            "INSERT INTO queue.runs (job, token, leased_at, attempt, outcome, started_at, ended_at, worker)
            SELECT id, 1, now(), 1, 'done', now(), now(), 'w' FROM queue.jobs",
        )
        .await
        .unwrap();
    theatre.db.execute("ANALYZE").await.unwrap();
    theatre
}

/// The plan of a statement file, its parameters replaced by literals.
async fn plan(db: &PgPool, file: &str, literals: &[&str]) -> String {
    let mut sql = std::fs::read_to_string(format!("sql/{file}.sql")).unwrap();
    for (n, literal) in literals.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", n + 1), literal);
    }
    // `AS "name!: Type"` speaks to the macros alone.
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {sql}"))).fetch_all(db).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn hot_statements_use_indexes() {
    let theatre = filled().await;
    let (id, day): (uuid::Uuid, String) = sqlx::query_as(
        "SELECT id, replace(tableoid::regclass::text, 'queue.jobs_', '') FROM queue.jobs LIMIT 1",
    )
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    // The other days are empty, and reading nothing needs no index.
    let (jobs, runs) = (format!("jobs_{day}"), format!("runs_{day}"));
    let (jobs_today, runs_today) = (jobs.as_str(), runs.as_str());
    let job = format!("'{id}'::uuid");
    let claim = ["NULL::timestamptz", "'{theatre}'", "'{10}'", "'w'", "10"];
    let ended = format!("'{{{id}}}'");
    let finish = [
        "NULL::timestamptz",
        "'{1}'",
        &ended,
        "'{theatre}'",
        "'{0}'",
        "'{1}'",
        "'{3}'",
        "'{done}'",
        "'{NULL}'",
        "'{0}'",
        "'{NULL}'",
        "'{}'",
        "'{}'",
    ];
    for (file, literals, tables) in [
        ("claim", &claim[..], &["ready", jobs_today][..]),
        ("finish", &finish[..], &[runs_today][..]),
        ("promote", &["NULL::timestamptz", "100"][..], &["scheduled"][..]),
        ("rescue", &["NULL::timestamptz", "'{1}'"][..], &[runs_today, jobs_today][..]),
        ("state", &[&job, "200"][..], &[runs_today, jobs_today, "scheduled"][..]),
    ] {
        let plan = plan(&theatre.db, file, literals).await;
        for table in tables {
            assert!(
                !plan.contains(&format!("Seq Scan on {table}")),
                "{file} walks {table}:\n{plan}"
            );
        }
    }
}
