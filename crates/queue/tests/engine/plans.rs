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
    for fill in [
        // Far more than there ever are: whatever walks them shows.
        "INSERT INTO queue.leases (worker, jobs, attempts, max_attempts, leased_at, expires_at)
        SELECT 1, ARRAY[gen_random_uuid()], '{1}', '{3}', now(), now() + interval '1 h'
        FROM generate_series(1, 5000)",
        "INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
        SELECT id, now(), kind, queue, 'dead', 'exhausted', '' FROM queue.jobs",
        "INSERT INTO queue.outputs (job, output) SELECT id, '1' FROM queue.jobs",
        "INSERT INTO queue.unique_keys (kind, key, job) SELECT kind, id, id FROM queue.jobs",
        "INSERT INTO queue.cancellations (job) SELECT id FROM queue.jobs LIMIT 5000",
    ] {
        theatre.db.execute(fill).await.unwrap();
    }
    theatre.db.execute("ANALYZE").await.unwrap();
    theatre
}

/// The plan that the engine's connections keep for a statement, whatever its parameters are.
async fn plan(db: &PgPool, file: &str) -> String {
    let sql = std::fs::read_to_string(format!("sql/{file}.sql")).unwrap();
    // A pooler lends a server for no longer than a transaction.
    let mut connection = db.begin().await.unwrap();
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
    sqlx::raw_sql("DEALLOCATE hot").execute(&mut *connection).await.unwrap();
    connection.rollback().await.unwrap();
    lines.join("\n")
}

/// Tables that a plan reads from end to end, in whatever order.
fn walked(plan: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut lines = plan.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((how, table)) = line.split_once(" on ") else { continue };
        let conditions: Vec<_> =
            std::iter::from_fn(|| lines.next_if(|l| !l.contains("->"))).collect();
        let searched = conditions.iter().any(|line| line.contains("Index Cond:"));
        let scans = ["Seq Scan", "Index Scan using", "Index Only Scan using"];
        if !searched && scans.iter().any(|scan| how.contains(scan)) {
            found.push(table.split(' ').next().unwrap_or(table));
        }
    }
    found
}

#[tokio::test]
async fn hot_statements_walk_no_table_that_grows() {
    let theatre = filled().await;
    // Queues are few. Leases are as few as batches that run. An index on their end would cost each renewal more
    // than a few looks a second could save. Of what is scheduled a look reads the first.
    for (file, may_walk) in [
        ("push", &["queues"][..]),
        ("push_one", &[]),
        ("claim", &["queues", "cancellations"]),
        ("finish", &["queues"]),
        ("renew", &[]),
        ("promote", &["queues"]),
        ("look", &["leases", "scheduled", "nodes"]),
        ("expired", &["leases"]),
        ("rescue", &["kinds", "leases", "cancellations"]),
    ] {
        let plan = plan(&theatre.db, file).await;
        let mut walked = walked(&plan);
        walked.retain(|table| !is_empty_day(table));
        walked.retain(|table| !may_walk.contains(table));
        assert!(walked.is_empty(), "{file} walks {walked:?}:\n{plan}");
    }
}

/// All that was pushed lies in today's partition.
fn is_empty_day(table: &str) -> bool {
    let today = queue::Clock::system().now().format("%Y%m%d").to_string();
    let day = table.strip_prefix("jobs_").or_else(|| table.strip_prefix("runs_"));
    day.is_some_and(|day| day != today)
}

#[test]
fn a_walk_is_seen_by_index_or_without() {
    let plan = "Limit
  ->  Index Scan using a_key on a  (cost=0.29..1)
        Filter: (x = 1)
  ->  Index Scan using b_key on b  (cost=0.29..1)
        Index Cond: (x = 1)
  ->  Seq Scan on c c_1  (cost=0.29..1)
        Disabled: true
  ->  Tid Scan on d  (cost=0.29..1)";
    assert_eq!(walked(plan), ["a", "c"]);
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
