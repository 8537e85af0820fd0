use queue::inspect::JobState;
use queue::{Push, pause, push, resume};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, named};

async fn declared() -> Theatre {
    let theatre = Theatre::open().await;
    theatre.fleet.declare().await.unwrap();
    theatre
}

/// One value of type text.
async fn text(theatre: &Theatre, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&*theatre.db).await.unwrap()
}

/// SQLSTATE and message of a refusal.
async fn refusal(connection: &mut PgConnection, sql: &str) -> (String, String) {
    let error = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap_err();
    let error = error.as_database_error().expect("the database refuses");
    (error.code().unwrap().into_owned(), error.message().to_owned())
}

const ACT: &str = r#"'theatre.act', '{"name": "sql", "script": "Succeed"}'"#;

#[tokio::test]
async fn a_trigger_pushes_in_the_transaction_of_its_row() {
    let theatre = declared().await;
    let schema = r#"CREATE TABLE plays (name text PRIMARY KEY);
        CREATE FUNCTION perform() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM queue.push('theatre.act', jsonb_build_object('name', NEW.name, 'script', 'Succeed'));
            RETURN NULL;
        END $$;
        CREATE TRIGGER trg_plays AFTER INSERT ON plays FOR EACH ROW EXECUTE FUNCTION perform()"#;
    sqlx::raw_sql(schema).execute(&*theatre.db).await.unwrap();
    let mut tx = theatre.db.begin().await.unwrap();
    tx.execute("INSERT INTO plays VALUES ('lost')").await.unwrap();
    tx.rollback().await.unwrap();
    theatre.db.execute("INSERT INTO plays VALUES ('kept')").await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(theatre.stage.order(), ["kept"]);
}

#[tokio::test]
async fn options_of_a_push_are_kept_and_the_kind_gives_the_others() {
    let theatre = declared().await;
    let owner = Uuid::now_v7();
    let id: Uuid = sqlx::query_scalar(
        "SELECT queue.push('theatre.act', '{\"a\": 1}', priority => -3, delay => '1 hour', owner => $1,
            trace => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')",
    )
    .bind(owner)
    .fetch_one(&*theatre.db)
    .await
    .unwrap();
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    let view = theatre.view(id).await;
    assert_eq!(view.state, JobState::Scheduled);
    assert_eq!((view.queue.as_str(), view.priority, view.max_attempts), ("theatre", -3, 3));
    assert_eq!((view.args, view.owner), (json!({"a": 1}), Some(owner)));
    assert_eq!(view.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    let wait = view.run_at.unwrap() - view.created_at;
    assert_eq!(wait.num_seconds(), 3600);
}

#[tokio::test]
async fn many_jobs_are_pushed_in_order_and_equal_keys_answer_the_first() {
    let theatre = declared().await;
    let act = |name: &str| json!({"name": name, "script": "Succeed"});
    let jobs = json!([
        {"kind": "theatre.act", "args": act("one"), "unique_key": "k"},
        {"kind": "theatre.act", "args": act("two"), "max_attempts": 7},
        {"kind": "theatre.act", "args": act("three"), "unique_key": "k"},
    ]);
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT queue.push_many($1)")
        .bind(jobs)
        .fetch_all(&*theatre.db)
        .await
        .unwrap();
    assert!(ids.len() == 3 && ids[0] == ids[2] && ids[0] != ids[1], "{ids:?}");
    assert_eq!(theatre.view(ids[1]).await.max_attempts, 7);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
    assert_eq!(theatre.stage.order(), ["one", "two"]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_code_and_nothing_is_kept() {
    let theatre = Theatre::open().await;
    let mut connection = theatre.db.acquire().await.unwrap();
    let early = refusal(&mut connection, "SELECT queue.push('theatre.act')").await;
    assert_eq!(early, ("42704".into(), "unknown kind theatre.act".into()));
    theatre.fleet.declare().await.unwrap();
    let long =
        format!("SELECT queue.push('theatre.act', to_jsonb('{}'::text))", "x".repeat(300_000));
    for (sql, code, message) in [
        ("SELECT queue.push('theatre.sing')", "42704", "unknown kind theatre.sing"),
        (r#"SELECT queue.push_many('[{"kind": "theatre.act"}, {}]')"#, "42704", "(none)"),
        (
            r#"SELECT queue.push_many('[{"kind": "theatre.act", "prio": 1}]')"#,
            "22023",
            "option prio",
        ),
        (
            r#"SELECT queue.push_many('{"kind": "theatre.act"}')"#,
            "22023",
            "a JSON array of objects",
        ),
        ("SELECT queue.push_many('[1]')", "22023", "a JSON array of objects"),
        ("SELECT queue.push('theatre.act', priority => 101)", "23514", "ck_jobs_priority"),
        ("SELECT queue.push('theatre.act', unique_key => '')", "23514", "ck_unique_keys_key"),
        ("SELECT queue.pause('No Queue')", "23514", "ck_queues_name"),
        ("SELECT util.enqueue('theatre.act', ordering_key => '')", "23514", "ck_jobs_key"),
        (&long, "54000", "262144 bytes"),
    ] {
        let (got, said) = refusal(&mut connection, sql).await;
        assert!(got == code && said.contains(message), "{sql:.80}: {got} {said}");
    }
    let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM queue.jobs")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(jobs, 0);
}

#[tokio::test]
async fn a_role_may_call_what_it_is_granted_and_nothing_else() {
    let theatre = declared().await;
    // Roles belong to the whole server; the transaction takes this one away again.
    let mut tx = theatre.db.begin().await.unwrap();
    let role = format!("beadle_test_{}", Uuid::now_v7().simple());
    let grants = format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA queue TO {role}; SET LOCAL ROLE {role}; SAVEPOINT s"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut *tx).await.unwrap();
    for sql in [
        format!("SELECT queue.push({ACT})"),
        "SELECT queue.push_many('[]')".into(),
        "SELECT queue.store(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)".into(),
        "SELECT queue.cancel(queue.new_id())".into(),
        "SELECT queue.pause('theatre')".into(),
        "SELECT * FROM queue.jobs".into(),
    ] {
        assert_eq!(refusal(&mut tx, &sql).await.0, "42501", "{sql}");
        tx.execute("ROLLBACK TO s").await.unwrap();
    }
    let grant = format!(
        "RESET ROLE; GRANT EXECUTE ON FUNCTION queue.push TO {role}; SET LOCAL ROLE {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut *tx).await.unwrap();
    let push = format!("SELECT queue.push({ACT})");
    let id: Uuid = sqlx::query_scalar(AssertSqlSafe(push)).fetch_one(&mut *tx).await.unwrap();
    tx.execute("SAVEPOINT s").await.unwrap();
    assert_eq!(refusal(&mut tx, "SELECT * FROM queue.jobs").await.0, "42501");
    tx.execute("ROLLBACK TO s; RESET ROLE").await.unwrap();
    assert!(queue::inspect::job(&mut *tx, id).await.unwrap().is_some());
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let theatre = declared().await;
    let job = push(&*theatre.db, named("later", Script::Succeed)).await.unwrap();
    theatre.db.execute("SELECT queue.pause('theatre')").await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
    assert_eq!(theatre.state(job.id).await, JobState::Ready);
    theatre.db.execute("SELECT queue.resume('theatre')").await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    pause(&*theatre.db, "theatre").await.unwrap();
    push(&*theatre.db, Act::default()).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
    resume(&*theatre.db, "theatre").await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
}

#[tokio::test]
async fn a_job_is_looked_at_cancelled_and_retried_by_sql() {
    let theatre = declared().await;
    let job = push(&*theatre.db, Push::of(named("a", Script::Succeed))).await.unwrap().id;
    let state =
        async || text(&theatre, &format!("SELECT max(state) FROM queue.status('{job}')")).await;
    let cancel = format!("SELECT queue.cancel('{job}')");
    assert_eq!(state().await.as_deref(), Some("ready"));
    assert_eq!(text(&theatre, &cancel).await.as_deref(), Some("now"));
    assert_eq!(text(&theatre, &cancel).await.as_deref(), Some("already_ended"));
    assert_eq!(state().await.as_deref(), Some("cancelled"));
    let retry = format!("SELECT result FROM queue.retry('{job}')");
    assert_eq!(text(&theatre, &retry).await.as_deref(), Some("now"));
    assert_eq!(text(&theatre, &retry).await.as_deref(), Some("not"));
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(state().await.as_deref(), Some("done"));
    let nobody = "SELECT queue.cancel(queue.new_id())";
    assert_eq!(text(&theatre, nobody).await.as_deref(), Some("no_such_job"));
}

#[tokio::test]
async fn an_idempotency_key_is_used_once_and_the_views_show_it() {
    let theatre = declared().await;
    let enqueue = format!("SELECT util.enqueue({ACT}, idempotency_key => 'order 1')::text");
    let first = text(&theatre, &enqueue).await;
    theatre.fleet.drain().await.unwrap();
    assert_eq!(text(&theatre, &enqueue).await, first, "what is done is not done again");
    let row = sqlx::query("SELECT queue, status, idempotency_key, id::text FROM util.job_queue")
        .fetch_one(&*theatre.db)
        .await
        .unwrap();
    let column = |n: usize| row.get::<String, _>(n);
    assert_eq!([column(0), column(1), column(2)], ["theatre.act", "completed", "order 1"]);
    assert_eq!(Some(column(3)), first);
    let runs = "SELECT string_agg(outcome || ' ' || attempt, ',') FROM util.job_runs";
    assert_eq!(text(&theatre, runs).await.as_deref(), Some("done 1"));
}

#[tokio::test]
async fn whoever_calls_a_function_cannot_slip_it_types_of_their_own() {
    let theatre = Theatre::open().await;
    // Postgres looks for types in pg_temp first, unless it is named.
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE pronamespace IN ('queue'::regnamespace, 'util'::regnamespace)
            AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))",
    )
    .fetch_all(&*theatre.db)
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
}
