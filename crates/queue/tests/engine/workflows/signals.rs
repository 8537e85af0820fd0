use std::time::Duration;

use queue::inspect::JobState;
use queue::{Error, PushedWorkflow, Signalled, Workflow, push_workflow, signal};
use serde_json::json;
use uuid::Uuid;

use super::{leftovers, ok, state};
use crate::support::Theatre;

/// Longer than the distance between the test's clock and the database's.
const AGES: Duration = Duration::from_secs(20 * 365 * 86400);

async fn approval(theatre: &Theatre) -> PushedWorkflow {
    let workflow = Workflow::named("w").add("draft", ok("draft")).signal("approved");
    let workflow = workflow.add("publish", ok("publish")).after(["draft", "approved"]);
    push_workflow(&*theatre.db, workflow).await.unwrap()
}

#[tokio::test]
async fn a_signal_starts_what_waits_for_it_whether_it_comes_before_or_after_the_rest() {
    let theatre = Theatre::open().await;
    for early in [true, false] {
        let pushed = approval(&theatre).await;
        let given = async || {
            signal(&*theatre.db, pushed.id, "approved", &json!({"by": "ada"})).await.unwrap()
        };
        if early {
            assert_eq!(given().await, Signalled::Given);
        }
        theatre.fleet.drain().await.unwrap();
        if !early {
            assert_eq!(state(&theatre, &pushed, "publish").await, JobState::Waiting);
            assert_eq!(given().await, Signalled::Given);
            theatre.fleet.drain().await.unwrap();
        }
        assert_eq!(given().await, Signalled::AlreadyGiven);
        assert_eq!(state(&theatre, &pushed, "publish").await, JobState::Done);
        assert_eq!(state(&theatre, &pushed, "approved").await, JobState::Done);
    }
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_signal_that_nobody_knows_is_an_error() {
    let theatre = Theatre::open().await;
    let pushed = approval(&theatre).await;
    for (workflow, name) in
        [(pushed.id, "aproved"), (pushed.id, "draft"), (Uuid::now_v7(), "approved")]
    {
        let error = signal(&*theatre.db, workflow, name, &()).await.unwrap_err();
        assert!(matches!(error, Error::NoSignal { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_timer_starts_what_waits_for_it_when_its_time_has_come() {
    let theatre = Theatre::open().await;
    let soon = theatre.clock.now() + Duration::from_secs(60);
    let workflow = Workflow::named("w")
        .timer_at("soon", soon)
        .timer("later", Duration::from_secs(3600))
        .add("first", ok("first"))
        .after(["soon"])
        .add("second", ok("second"))
        .after(["later", "first"]);
    push_workflow(&*theatre.db, workflow).await.unwrap();
    for (advance, done) in [(Duration::ZERO, 0), (Duration::from_secs(60), 1), (AGES, 1)] {
        theatre.clock.advance(advance);
        assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), done, "{advance:?} later");
    }
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_signal_that_nobody_gives_in_time_counts_as_given_or_as_failed() {
    let theatre = Theatre::open().await;
    let hour = Duration::from_secs(3600);
    let workflow = Workflow::named("w")
        .signal("objection")
        .or_after(hour)
        .add("proceed", ok("proceed"))
        .after(["objection"])
        .signal("approval")
        .or_lapse_after(hour)
        .add("publish", ok("publish"))
        .after(["approval"])
        .add("remind", ok("remind"))
        .after_failure_of(["approval"]);
    let pushed = push_workflow(&*theatre.db, workflow).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert!(theatre.stage.order().is_empty());
    theatre.clock.advance(AGES);
    theatre.fleet.drain().await.unwrap();
    for (name, expected) in [
        ("proceed", JobState::Done),
        ("approval", JobState::Cancelled),
        ("publish", JobState::Cancelled),
        ("remind", JobState::Done),
    ] {
        assert_eq!(state(&theatre, &pushed, name).await, expected, "{name}");
    }
    let late = signal(&*theatre.db, pushed.id, "approval", &()).await.unwrap();
    assert_eq!(late, Signalled::TooLate);
}
