use std::time::{Duration, Instant};

use context::Context;
use context::testing::TestContext;
use serde_json::json;

use crate::support::{Answer, answer, beadle, beadle_on};

pub async fn database() -> TestContext {
    Context::for_test("2025-03-01T00:00:00Z").await
}

pub fn run(cx: &TestContext, args: &[&str]) -> Answer {
    answer(beadle_on(cx, args))
}

pub fn refused(cx: &TestContext, args: &[&str]) -> String {
    let answer = run(cx, args);
    assert!(!answer.ok, "{args:?} should be refused, but said {}", answer.out);
    answer.err.trim_end().to_owned()
}

#[tokio::test]
async fn a_job_can_be_pushed_listed_shown_cancelled_and_tried_again() {
    let cx = database().await;
    let pushed =
        run(&cx, &["jobs", "push", "maintenance.drop_history", "--priority", "-5", "--json"]);
    let id = pushed.json()["ids"][0].as_str().unwrap().to_owned();
    let listed = run(&cx, &["jobs", "list", "--json"]).json();
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(id), &json!("ready")));
    assert_eq!(run(&cx, &["jobs", "cancel", &id]).out, format!("{id} is cancelled\n"));
    assert_eq!(refused(&cx, &["jobs", "cancel", &id]), format!("beadle: {id} had already ended"));
    assert_eq!(run(&cx, &["jobs", "retry", &id]).out, format!("{id} is ready again\n"));
    let shown = run(&cx, &["jobs", "show", &id]).out;
    for part in ["maintenance.drop_history", "ready, attempt 2 of 6", "priority -5", "retried"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let queues = run(&cx, &["queues", "--json"]).json();
    assert_eq!((&queues[0]["name"], &queues[0]["ready"]), (&json!("maintenance"), &json!(1)));
}

#[tokio::test]
async fn a_job_is_shown_with_what_its_runs_said() {
    let cx = database().await;
    let pushed = run(&cx, &["jobs", "push", "maintenance.drop_history", "--json"]);
    let id = pushed.json()["ids"][0].as_str().unwrap().to_owned();
    let shown = run(&cx, &["jobs", "show", &id, "--json"]).json();
    assert_eq!((&shown["progress"], &shown["logs"]), (&json!(null), &json!([])));
    // No kind of this binary says all of it.
    let said = format!(
        "INSERT INTO queue.progress VALUES ('{id}', 1, 2, 40, 'day 4 of 10', now());
        INSERT INTO queue.steps VALUES ('{id}', 'count', '10', 1);
        INSERT INTO queue.costs VALUES
            ('{id}', 1, 1, 'maintenance.drop_history', 'calls', 3, 1000150, 'USD', now()),
            ('{id}', 2, 1, 'maintenance.drop_history', 'calls', 1, 50, 'USD', now());
        INSERT INTO queue.logs
        SELECT '{id}', 1, n, 1, 'warn', 'line ' || n, now() FROM generate_series(1, 25) n"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(said)).execute(&cx.pool).await.unwrap();
    let shown = run(&cx, &["jobs", "show", &id]).out;
    for part in [
        "progress  40 % in attempt 2: day 4 of 10",
        "step      count is kept",
        "cost      1.000200 USD for 4 calls",
        "warn  in attempt 1: line 6\n",
        "warn  in attempt 1: line 25\n",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(!shown.contains("line 5\n"), "only the last are shown");
    let shown = run(&cx, &["jobs", "show", &id, "--json"]).json();
    assert_eq!(shown["progress"]["percent"], 40);
    assert_eq!(shown["costs"][0]["amount_micro"], 1_000_200);
    assert_eq!(
        (&shown["logs"][19]["message"], &shown["steps"][0]["result"]),
        (&json!("line 25"), &json!(10))
    );
}

#[tokio::test]
async fn many_jobs_are_pushed_together_and_for_later() {
    let cx = database().await;
    let push = [
        "jobs",
        "push",
        "maintenance.drop_history",
        "{}",
        "--count",
        "2500",
        "--delay-seconds",
        "60",
    ];
    assert_eq!(run(&cx, &push).out.lines().count(), 2500);
    let queues = run(&cx, &["queues", "--json"]).json();
    assert_eq!(queues[0]["scheduled"], 2500);
    let listed =
        run(&cx, &["jobs", "list", "--state", "scheduled", "--limit", "5", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn wrong_input_is_refused_with_a_reason_and_stores_nothing() {
    let cx = database().await;
    let nobody = "01a1fd81-99fe-70a3-b74c-2fc73885a3e0";
    for (args, reason) in [
        (
            &["jobs", "push", "media.sing"][..],
            "unknown kind \"media.sing\"; known kinds: maintenance.drop_history",
        ),
        (&["jobs", "push", "maintenance.drop_history", "{\"a\":1}"][..], "unknown field `a`"),
        (&["jobs", "push", "maintenance.drop_history", "{"][..], "the arguments are not JSON"),
        (
            &["jobs", "push", "maintenance.drop_history", "--max-attempts", "101"][..],
            "101 is not in 1..=100",
        ),
        (
            &["jobs", "push", "maintenance.drop_history", "--priority", "200"][..],
            "200 is not in -100..=100",
        ),
        (&["jobs", "push", "maintenance.drop_history", "[]"][..], "they must be a JSON object"),
        (
            &["jobs", "push", "maintenance.drop_history", "--run-at", "9999-01-01T00:00:00Z"][..],
            "at most ten years ahead",
        ),
        (&["jobs", "show", nobody][..], "no job has the id"),
        (&["jobs", "retry", nobody][..], "no job has the id"),
        (&["jobs", "cancel", nobody][..], "no job has the id"),
        (&["jobs", "redrive"][..], "say which: by --queue"),
        (&["jobs", "redrive", "--dry-run"][..], "say which: by --queue"),
        (&["jobs", "redrive", "--all", "--kind", "media.sing"][..], "--all alone"),
        (
            &["jobs", "redrive", "--all", "--per-second", "0"][..],
            "--per-second is 0.001 to 1000000",
        ),
        (&["jobs", "redrive", "--all", "--limit", "0"][..], "0 is not in 1.."),
        (&["jobs", "dead", "--cause", "boredom"][..], "exhausted, permanent, poison, lost"),
        (
            &["queues", "pause", "mantenance"][..],
            "no queue is named \"mantenance\"; there are maintenance",
        ),
        (
            &["queues", "resume", "mantenance"][..],
            "no queue is named \"mantenance\"; there are maintenance",
        ),
        (&["queues", "keep", "maintenance", "0"][..], "days are a number from 1 to 3650"),
        (
            &["jobs", "list", "--state", "asleep"][..],
            "\"asleep\" is no state; there are scheduled, ready",
        ),
        (&["cron", "run", "nobody"][..], "no schedule is named \"nobody\""),
        (&["cron", "show", "nobody"][..], "no schedule is named \"nobody\""),
        (&["cron", "reset", "nobody"][..], "no schedule is named \"nobody\""),
        (&["cron", "pause", "nobody"][..], "no schedule is named \"nobody\""),
        (&["keys", "create", "x", "--permission", "jobs.fly"][..], "unknown permission `jobs.fly`"),
        (&["keys", "revoke", "nobody"][..], "no key has this prefix or id"),
        (
            &["work", "--queue", "mantenance"][..],
            "--queue names the queue \"mantenance\", which nobody works",
        ),
        (&["work", "--concurrency", "0"][..], "--concurrency is 1 to 1024"),
    ] {
        let error = refused(&cx, args);
        assert!(error.contains(reason), "{args:?} said {error:?}");
    }
    assert_eq!(run(&cx, &["jobs", "list", "--json"]).json(), json!([]));
    let json = answer(beadle_on(&cx, &["--json", "jobs", "show", nobody]));
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(error["error"], format!("no job has the id {nobody}"));
}

/// What `beadle schedule` does when it starts.
async fn declare(cx: &TestContext) {
    let fleet = workers::fleet(cx);
    queue::schedule::declare(&cx.pool, &queue::Clock::system(), fleet.schedules()).await.unwrap();
}

#[tokio::test]
async fn schedules_are_listed_paused_resumed_and_run() {
    let cx = database().await;
    let name = "maintenance.drop_history";
    assert_eq!(run(&cx, &["cron", "list", "--json"]).json(), json!([]), "looking declares nothing");
    declare(&cx).await;
    let paused = || run(&cx, &["cron", "list", "--json"]).json()[0]["paused"].clone();
    assert_eq!(paused(), false);
    assert_eq!(run(&cx, &["cron", "pause", name]).out, format!("{name} is paused\n"));
    assert_eq!(paused(), true);
    assert_eq!(run(&cx, &["cron", "resume", name]).out, format!("{name} ticks again\n"));
    let job = run(&cx, &["cron", "run", name]).out;
    let shown = run(&cx, &["jobs", "show", job.trim(), "--json"]).json();
    assert_eq!((&shown["kind"], &shown["state"]), (&json!(name), &json!("ready")));
}

#[tokio::test]
async fn a_schedule_is_shown_edited_and_reset() {
    let cx = database().await;
    declare(&cx).await;
    let name = "maintenance.drop_history";
    let show = || run(&cx, &["cron", "show", name, "--json"]).json();
    let declared = show();
    assert_eq!(declared["next_ticks"].as_array().unwrap().len(), 10);
    assert_eq!(declared["schedule"]["edited"], json!([]));
    let edit = [
        "cron",
        "edit",
        name,
        "--cron",
        "0 4 * * 1",
        "--zone",
        "Europe/Paris",
        "--overlap",
        "skip",
    ];
    let edited = run(&cx, &edit).out;
    for part in ["on, edited", "0 4 * * 1 in Europe/Paris", "overlap  skip", "missed   latest"] {
        assert!(edited.contains(part), "{part:?} in {edited}");
    }
    assert!(run(&cx, &["cron", "edit", name, "--missed", "all:5"]).ok);
    let shown = show();
    assert_eq!(shown["schedule"]["edited"], json!(["cron", "zone", "overlap", "missed"]));
    assert_eq!(shown["schedule"]["missed"], "all:5");
    assert!(run(&cx, &["cron", "reset", name]).ok);
    assert_eq!(show(), declared);
    for (args, reason) in [
        (&["--missed", "all:101"][..], "all:N with N from 1 to 100"),
        (&["--overlap", "perhaps"][..], "allow, skip or queue"),
        (&["--zone", "Mars/Base"][..], "unknown time zone"),
        (&["--cron", "61 * * * *"][..], "cron expression"),
        (&["--args", "{\"a\":1}"][..], "unknown field `a`"),
        (&["--args", "{"][..], "EOF while parsing"),
        (&[][..], "required"),
    ] {
        let error = refused(&cx, &[&["cron", "edit", name], args].concat());
        assert!(error.contains(reason), "{args:?} said {error:?}");
    }
    assert_eq!(show(), declared);
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let cx = database().await;
    let create = ["keys", "create", "shop", "--permission", "jobs.enqueue", "--json"];
    let created = run(&cx, &create).json();
    let key = created["key"].as_str().unwrap();
    let secret = key.rsplit('_').next().unwrap();
    let listed = run(&cx, &["keys", "list"]).out;
    assert!(listed.contains(created["prefix"].as_str().unwrap()) && !listed.contains(secret));
    let unknown = refused(&cx, &["keys", "revoke", "bdl_000000000000_tellnobody"]);
    assert!(!unknown.contains("tellnobody"), "{unknown}");
    let revoked = run(&cx, &["keys", "revoke", key]);
    assert!(revoked.ok && !revoked.out.contains(secret), "{}", revoked.out);
}

#[tokio::test]
async fn a_database_that_does_not_fit_this_release_is_refused_and_left_alone() {
    let cx = database().await;
    assert_eq!(run(&cx, &["migrate"]).out, "nothing to do: all migrations are applied\n");
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (20991231235959, 'from the future', true, '', 0)";
    sqlx::query(newer).execute(&cx.pool).await.unwrap();
    for command in ["serve", "work", "schedule", "migrate"] {
        let error = answer({
            let mut command = beadle_on(&cx, &[command]);
            command.env("BEADLE__HTTP__BIND", "127.0.0.1:0");
            command
        });
        assert!(error.err.contains("20991231235959 (from the future)"), "{command}: {}", error.err);
    }
    let doctor = run(&cx, &["doctor"]);
    assert!(!doctor.ok && doctor.out.contains("migrations        FAILED"), "{}", doctor.out);
}

#[tokio::test]
async fn an_empty_database_is_brought_to_this_release_once() {
    let cx = database().await;
    sqlx::raw_sql(
        "DO $$
        DECLARE
            name text;
        BEGIN
            FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' LOOP
                EXECUTE format('DROP SCHEMA %I CASCADE', name);
            END LOOP;
            CREATE SCHEMA public;
        END $$",
    )
    .execute(&cx.pool)
    .await
    .unwrap();
    for command in ["work", "queues", "doctor"] {
        let answer = run(&cx, &[command]);
        let said = answer.out + &answer.err;
        assert!(!answer.ok && said.contains("run `beadle migrate`"), "{command}: {said}");
    }
    let began = Instant::now();
    assert!(run(&cx, &["migrate"]).out.starts_with("applied 20261121090000 queue create"));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(run(&cx, &["migrate", "--json"]).json(), json!({ "applied": [] }));
}

#[test]
fn settings_that_cannot_be_meant_are_refused_before_anything_starts() {
    for (name, value, reason) in [
        ("BEADLE__HTTP__BNID", "127.0.0.1:1", "did you mean `BEADLE__HTTP__BIND`?"),
        ("BEADLE__WORK__LEASE_SECONDS", "soon", "BEADLE__WORK__LEASE_SECONDS"),
        (
            "DATABASE_URL",
            "postgres://ada:secret@127.0.0.1:1/learning",
            "cannot reach the database `learning` at 127.0.0.1:1",
        ),
    ] {
        let mut command = beadle(&["queues"]);
        command.env(name, value).env("BEADLE_HOME", "/nonexistent");
        let answer = answer(command);
        assert!(!answer.ok && answer.err.contains(reason), "{}", answer.err);
        assert!(!answer.err.contains("secret"), "{}", answer.err);
    }
    let mut command = beadle(&["queues"]);
    command.env("BEADLE_HOME", "/nonexistent");
    assert!(answer(command).err.contains("no database is set"));
}

#[tokio::test]
async fn doctor_says_how_to_mend_what_is_missing() {
    let cx = database().await;
    let findings = run(&cx, &["doctor", "--json"]).json();
    let of = |check: &str| {
        findings.as_array().unwrap().iter().find(|f| f["check"] == check).cloned().unwrap()
    };
    assert_eq!(of("database")["verdict"], "ok");
    assert_eq!(of("migrations")["verdict"], "ok");
    assert_eq!(of("ffmpeg")["verdict"], "ok");
    assert_eq!(of("object store")["verdict"], "warning");
    assert!(of("object store")["detail"].as_str().unwrap().contains("not configured"));
    let mut command = beadle_on(&cx, &["doctor", "--json"]);
    command.env("PATH", "/nonexistent").env("BEADLE__QUEUES__MEDAI__CONCURRENCY", "1");
    let answer = answer(command);
    assert!(!answer.ok && answer.out.contains("apt-get install ffmpeg"), "{}", answer.out);
    assert!(answer.out.contains("the settings name the queue \\\"medai\\\""), "{}", answer.out);
}

#[test]
fn help_names_every_command() {
    let help = answer(beadle(&["--help"])).out;
    for command in [
        "up", "serve", "work", "schedule", "migrate", "jobs", "queues", "cron", "keys", "bench",
        "doctor",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in {help}");
    }
}
