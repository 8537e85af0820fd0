use queue::inspect::JobState;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use super::{leftovers, node, view};
use crate::support::Theatre;

const GRAPH: &str = r#"{"name": "etl", "nodes": [
    {"name": "extract", "kind": "theatre.act", "args": {"name": "extract", "script": "Succeed"}, "priority": 3},
    {"name": "approved", "signal": true, "or_lapse_after": "1 day"},
    {"name": "night", "timer": "1 hour"},
    {"name": "load", "kind": "theatre.act", "args": {"name": "load", "script": "Succeed"}, "key": "k",
        "after": ["extract", "approved"]},
    {"name": "undo", "kind": "theatre.act", "args": {"name": "undo", "script": "Succeed"},
        "after_failure_of": ["load"]},
    {"name": "report", "kind": "theatre.act", "args": {"name": "report", "script": "Succeed"},
        "after_end_of": ["load", "undo"]}
]}"#;

async fn declared() -> Theatre {
    let theatre = Theatre::open().await;
    theatre.fleet.declare().await.unwrap();
    theatre
}

#[tokio::test]
async fn a_workflow_is_pushed_signalled_cancelled_and_retried_by_sql() {
    let theatre = declared().await;
    let push = AssertSqlSafe(format!("SELECT queue.push_workflow('{GRAPH}')"));
    let id: Uuid = sqlx::query_scalar(push).fetch_one(&*theatre.db).await.unwrap();
    assert_eq!(view(&theatre, id).await.nodes.len(), 6);
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["extract"]);
    let call = async |sql: &str| -> String {
        let call = AssertSqlSafe(format!("SELECT ({sql})::text"));
        sqlx::query_scalar(call).bind(id).fetch_one(&*theatre.db).await.unwrap()
    };
    assert_eq!(call("queue.cancel_workflow($1)").await, "5");
    assert_eq!(call("queue.signal($1, 'approved')").await, "too_late");
    assert_eq!(call("queue.retry_workflow($1)").await, "3");
    assert_eq!(call("queue.signal($1, 'approved', '{\"by\": \"ada\"}')").await, "given");
    assert_eq!(call("queue.signal($1, 'approved')").await, "already_given");
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.order(), ["extract", "load", "report"]);
    assert_eq!(node(&theatre, id, "undo").await.state, JobState::Cancelled);
    assert_eq!(node(&theatre, id, "night").await.state, JobState::Waiting);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_sql_too() {
    let theatre = declared().await;
    let job =
        |name: &str, more: &str| format!(r#"{{"name": "{name}", "kind": "theatre.act"{more}}}"#);
    for (nodes, said) in [
        (vec![], "at least one has a kind"),
        (vec![job("a", ""), job("a", "")], "two nodes are named a"),
        (vec![job("a", r#", "after": ["b"]"#)], "a needs b, which is no node"),
        (vec![job("a", ""), job("b", r#", "after": ["a", "a"]"#)], "b needs a, and says so twice"),
        (vec![job("a", r#", "after": ["a"]"#)], "node a needs itself through others"),
        (
            vec![
                job("x", ""),
                job("a", r#", "after": ["b", "x"]"#),
                job("b", r#", "after_end_of": ["a"]"#),
            ],
            "needs itself through others",
        ),
        (vec![job("a", r#", "unique_key": "k""#)], "a node has no option unique_key"),
        (vec![job("a", r#", "or_after": "1 hour""#)], "node a has no name, or is not one of"),
        (vec![job("a", ""), r#"{"name": "s", "signal": true, "after": ["a"]}"#.into()], "node s"),
        (vec![r#"{"name": "a", "kind": "theatre.sing"}"#.into()], "unknown kind theatre.sing"),
    ] {
        let graph = format!(r#"{{"name": "w", "nodes": [{}]}}"#, nodes.join(", "));
        let push = AssertSqlSafe(format!("SELECT queue.push_workflow('{graph}')"));
        let error = theatre.db.execute(sqlx::query(push)).await.unwrap_err();
        let message = error.as_database_error().unwrap().message().to_owned();
        assert!(message.contains(said), "{message}, and not {said}");
    }
    let missing = "SELECT queue.signal(queue.new_id(), 'go')";
    let error = theatre.db.execute(missing).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42704"));
}
