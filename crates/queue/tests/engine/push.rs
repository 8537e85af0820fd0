use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use queue::inspect::JobState;
use queue::{Error, Held, Placed, Push, Pusher, Trace, Unique, push, push_bulk, push_many};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Act, Script, Theatre, named};

#[tokio::test]
async fn a_job_exists_if_and_only_if_the_transaction_that_pushed_it_committed() {
    let theatre = Theatre::open().await;
    let mut tx = theatre.db.begin().await.unwrap();
    let lost = push(&mut *tx, Act::default()).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = theatre.db.begin().await.unwrap();
    let kept = push(&mut *tx, Act::default()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(queue::inspect::job(&*theatre.db, lost.id).await.unwrap().is_none());
    assert_eq!(theatre.state(kept.id).await, JobState::Ready);
}

#[tokio::test]
async fn jobs_start_by_priority_and_then_in_the_order_they_were_pushed() {
    let theatre = Theatre::open().await;
    let late = Push::of(named("late", Script::Succeed)).priority(5);
    let early = Push::of(named("early", Script::Succeed)).priority(-5);
    let jobs = [
        late,
        named("first", Script::Succeed).into(),
        named("second", Script::Succeed).into(),
        early,
    ];
    push_many(&*theatre.db, jobs).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 4);
    assert_eq!(theatre.stage.order(), ["early", "first", "second", "late"]);
}

#[tokio::test]
async fn a_job_for_later_does_not_start_before_its_time() {
    let theatre = Theatre::live().await;
    let now = theatre.clock.now();
    let at = push(&*theatre.db, Push::of(Act::default()).run_at(now + Duration::from_secs(3600)));
    let at = at.await.unwrap();
    let after = push(&*theatre.db, Push::of(Act::default()).delay(Duration::from_secs(3600)));
    let after = after.await.unwrap();
    let past = push(&*theatre.db, Push::of(Act::default()).run_at(now - Duration::from_secs(3600)));
    let past = past.await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(theatre.state(at.id).await, JobState::Scheduled);
    assert_eq!(theatre.state(after.id).await, JobState::Scheduled);
    assert_eq!(theatre.state(past.id).await, JobState::Done);
    sqlx::query("UPDATE queue.scheduled SET run_at = now()").execute(&*theatre.db).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2);
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_nothing_of_the_batch_is_kept() {
    let theatre = Theatre::open().await;
    let good = || Push::of(Act::default());
    let large = named(&"x".repeat(300 * 1024), Script::Succeed);
    let error = push_many(&*theatre.db, [good(), large.into()]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 262_144, .. }), "{error}");
    let zero = named("zero\0byte", Script::Succeed);
    let error = push_many(&*theatre.db, [good(), zero.into()]).await.unwrap_err();
    assert!(matches!(error, Error::BadArgs(_)), "{error}");
    let error = push_many(&*theatre.db, [good(), good().priority(101)]).await.unwrap_err();
    assert!(error.to_string().contains("ck_jobs_priority"), "{error}");
    let error = push_many(&*theatre.db, [good(), good().max_attempts(0)]).await.unwrap_err();
    assert!(error.to_string().contains("ck_jobs_max_attempts"), "{error}");
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_run_belongs_to_the_trace_of_whoever_pushed_it() {
    let theatre = Theatre::open().await;
    let trace = Trace::new();
    let pushed = trace.clone().scope(push(&*theatre.db, named("traced", Script::Succeed))).await;
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.saw("traced")[0].trace_id, Some(trace.id()));
    assert_eq!(theatre.view(pushed.unwrap().id).await.trace_id, Some(trace.id()));
}

#[tokio::test]
async fn kinds_and_arguments_from_outside_are_checked_before_they_are_stored() {
    let theatre = Theatre::open().await;
    let kinds = theatre.fleet.kinds();
    let unknown = kinds.prepare("theatre.sing", serde_json::json!({})).unwrap_err().to_string();
    assert_eq!(unknown, "unknown kind \"theatre.sing\"; known kinds: theatre.act, theatre.wait");
    let bad = kinds.prepare("theatre.wait", serde_json::json!({"heed": true})).unwrap_err();
    assert!(bad.to_string().contains("missing field `heeds`"), "{bad}");
    let good = kinds.prepare("theatre.act", serde_json::json!({"name": "a", "script": "Fail"}));
    push(&*theatre.db, good.unwrap()).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("failed"), 1);
}

#[tokio::test]
async fn many_callers_share_a_statement_and_each_has_its_own_job_when_it_is_answered() {
    const CALLERS: usize = 300;
    let theatre = Theatre::open().await;
    let pusher = Pusher::new(theatre.db.pool.clone());
    let one = async |n: usize| {
        let name = n.to_string();
        let trace = Trace::new();
        let pushed = trace.clone().scope(pusher.push(named(&name, Script::Succeed))).await.unwrap();
        let view = theatre.view(pushed.id).await;
        assert_eq!(view.args["name"], serde_json::json!(name));
        assert_eq!((pushed.placed, view.trace_id), (Placed::New, Some(trace.id())));
        pushed.id
    };
    let ids: HashSet<_> = join_all((0..CALLERS).map(one)).await.into_iter().collect();
    assert_eq!(ids.len(), CALLERS);
    let (jobs, transactions): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT xmin::text) FROM queue.jobs")
            .fetch_one(&*theatre.db)
            .await
            .unwrap();
    assert_eq!(jobs, CALLERS as i64);
    assert!(transactions < 30, "{transactions} transactions for {jobs} jobs");
}

#[tokio::test]
async fn a_value_that_cannot_be_stored_fails_its_caller_and_nobody_else() {
    let theatre = Theatre::open().await;
    let pusher = Pusher::new(theatre.db.pool.clone());
    let large = "x".repeat(300 * 1024);
    let names = ["first", "zero\0byte", "second", &large, "third"];
    let pushed = join_all(names.map(|name| pusher.push(named(name, Script::Succeed)))).await;
    let refused: Vec<_> = pushed
        .iter()
        .map(|pushed| match pushed {
            Ok(_) => "stored",
            Err(Error::BadArgs(_)) => "bad",
            Err(Error::TooLarge { .. }) => "large",
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(refused, ["stored", "bad", "stored", "large", "stored"]);
    for (name, pushed) in names.iter().zip(&pushed) {
        let Ok(pushed) = pushed else { continue };
        assert_eq!(theatre.view(pushed.id).await.args["name"], serde_json::json!(name));
    }
    let alone = pusher.push(named("zero\0byte", Script::Succeed)).await.unwrap_err();
    assert!(matches!(alone, Error::BadArgs(_)), "{alone}");
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 3);
}

#[tokio::test]
async fn of_many_callers_with_one_key_one_wins_and_the_others_hear_of_it() {
    let theatre = Theatre::open().await;
    let pusher = Pusher::new(theatre.db.pool.clone());
    let keyed = || Push::of(named("keyed", Script::Succeed)).unique(Unique::key("k"));
    let pushed = join_all((0..20).map(|_| pusher.push(keyed()))).await;
    let pushed: Vec<_> = pushed.into_iter().map(Result::unwrap).collect();
    let won: Vec<_> = pushed.iter().filter(|pushed| pushed.placed == Placed::New).collect();
    assert_eq!(won.len(), 1);
    for pushed in pushed.iter().filter(|pushed| pushed.placed != Placed::New) {
        assert_eq!(pushed.placed, Placed::Duplicate(Held::UntilEnded));
        assert_eq!(pushed.id, won[0].id);
    }
}

#[tokio::test]
async fn without_a_database_callers_hear_of_it_and_with_it_pushes_go_on() {
    let theatre = Theatre::open().await;
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(500))
        .connect_with((*theatre.db.connect_options()).clone());
    let pusher = Pusher::new(pool.await.unwrap());
    pusher.push(Act::default()).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&*theatre.db)
        .await
        .unwrap();
    let elsewhere = (*theatre.db.connect_options()).clone().database("postgres");
    let mut operator = PgConnection::connect_with(&elsewhere).await.unwrap();
    let mut open = async |open: bool| {
        let statement = format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {open};
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE NOT {open} AND datname = '{name}'"
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut operator).await.unwrap();
    };
    open(false).await;
    for pushed in join_all((0..3).map(|_| pusher.push(Act::default()))).await {
        let error = pushed.unwrap_err();
        assert!(matches!(error, Error::Group(_)), "{error}");
    }
    open(true).await;
    pusher.push(Act::default()).await.unwrap();
}

#[tokio::test]
async fn a_bulk_is_stored_whole_in_order_and_as_it_was_pushed() {
    const JOBS: usize = 2500;
    let theatre = Theatre::open().await;
    let (trace, owner) = (Trace::new(), Uuid::now_v7());
    let name = |n: usize| format!("\"{n}\"\t\\N é");
    let jobs = (0..JOBS).map(|n| {
        let push = Push::of(named(&name(n), Script::Succeed)).max_attempts(3);
        match n {
            1000 => push.priority(-7).owner(owner),
            _ => push,
        }
    });
    let mut connection = theatre.db.acquire().await.unwrap();
    let pushed = trace.clone().scope(push_bulk(&mut connection, jobs)).await.unwrap();
    assert_eq!(pushed.len(), JOBS);
    assert!(pushed.iter().all(|pushed| pushed.placed == Placed::New));
    let first = theatre.view(pushed[1000].id).await;
    assert_eq!((first.priority, first.owner, first.trace_id), (-7, Some(owner), Some(trace.id())));
    assert_eq!((first.max_attempts, first.args["name"].as_str().unwrap()), (3, &*name(1000)));
    assert_eq!(theatre.view(pushed[999].id).await.owner, None);
    theatre.fleet.drain().await.unwrap();
    let rest = (0..JOBS).filter(|n| *n != 1000);
    let expected: Vec<_> = std::iter::once(1000).chain(rest).map(name).collect();
    assert_eq!(theatre.stage.order(), expected);
}

#[tokio::test]
async fn a_bulk_that_is_refused_leaves_nothing_and_the_transaction_of_its_caller_whole() {
    let theatre = Theatre::open().await;
    let mut tx = theatre.db.begin().await.unwrap();
    let kept = push(&mut *tx, named("kept", Script::Succeed)).await.unwrap();
    let zero = |n| named(if n == 400 { "zero\0byte" } else { "good" }, Script::Succeed);
    let error = push_bulk(&mut tx, (0..2500).map(zero)).await.unwrap_err();
    assert!(matches!(error, Error::BadArgs(_)), "{error}");
    let high = |n| Push::of(Act::default()).priority(if n == 400 { 101 } else { 0 });
    let error = push_bulk(&mut tx, (0..2500).map(high)).await.unwrap_err();
    assert!(error.to_string().contains("ck_jobs_priority"), "{error}");
    tx.commit().await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
    assert_eq!(theatre.view(kept.id).await.state, JobState::Done);
    let mut tx = theatre.db.begin().await.unwrap();
    push_bulk(&mut tx, (0..2500).map(|_| Act::default())).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_bulk_with_keys_and_times_is_what_push_many_makes_of_it() {
    let theatre = Theatre::open().await;
    let mut connection = theatre.db.acquire().await.unwrap();
    let job = |n: u64| match n {
        0 | 1 => Push::of(named("keyed", Script::Succeed)).unique(Unique::key("one")),
        2 => Push::of(named("later", Script::Succeed)).delay(Duration::from_secs(60)),
        _ => Push::of(Act::default()),
    };
    let pushed = push_bulk(&mut connection, (0..2500).map(job)).await.unwrap();
    assert_eq!(pushed[1].placed, Placed::Duplicate(Held::UntilEnded));
    assert_eq!(pushed[1].id, pushed[0].id);
    assert_eq!(theatre.view(pushed[2].id).await.state, JobState::Scheduled);
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 2498);
}

#[tokio::test]
async fn a_bulk_wakes_a_worker_that_is_idle() {
    let theatre = Theatre::live().await;
    let working = theatre.fleet.start(queue::WorkOptions {
        // It does not find them by looking.
        poll: Duration::from_secs(60),
        pooled: queue::testing::is_pooled(),
        ..queue::WorkOptions::new(vec![queue::Pool { queue: "theatre".into(), concurrency: 4 }])
    });
    let first = push(&*theatre.db, named("first", Script::Succeed)).await.unwrap();
    theatre.until(first.id, JobState::Done).await;
    let mut connection = theatre.db.acquire().await.unwrap();
    let bulk = push_bulk(&mut connection, (0..2500).map(|_| Act::default())).await.unwrap();
    theatre.until(bulk[2499].id, JobState::Done).await;
    working.stop().await.unwrap();
}
