use queue::inspect::JobState;
use queue::{Batch, Push, push_workflow};

use super::{bad, leftovers, node, ok, state};
use crate::support::Theatre;

fn batch(members: Vec<Push>) -> Batch {
    Batch::new(members)
        .on_first_failure(ok("first failure"))
        .on_success(ok("success"))
        .on_completion(ok("completion"))
}

#[tokio::test]
async fn a_batch_of_which_all_are_done_calls_success_and_completion() {
    let theatre = Theatre::open().await;
    let members = (0..12).map(|_| ok("member")).collect();
    let pushed = push_workflow(&*theatre.db, batch(members)).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 14);
    assert_eq!(state(&theatre, &pushed, "on_success").await, JobState::Done);
    assert_eq!(state(&theatre, &pushed, "on_completion").await, JobState::Done);
    let failure = node(&theatre, pushed.id, "on_first_failure").await;
    assert_eq!((failure.state, failure.note.as_deref()), (JobState::Cancelled, Some("not needed")));
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_batch_calls_at_the_first_failure_once_and_at_the_end() {
    let theatre = Theatre::open().await;
    // The last member is still to come when the first two have failed.
    let later = ok("late").delay(std::time::Duration::from_secs(3600));
    let members = vec![bad("one"), ok("two"), bad("three"), later];
    let pushed = push_workflow(&*theatre.db, batch(members)).await.unwrap();
    theatre.fleet.drain().await.unwrap();
    assert_eq!(theatre.stage.saw("first failure").len(), 1);
    assert_eq!(state(&theatre, &pushed, "on_success").await, JobState::Cancelled);
    assert_eq!(state(&theatre, &pushed, "on_completion").await, JobState::Waiting);
    theatre.clock.advance(std::time::Duration::from_secs(20 * 365 * 86400));
    theatre.fleet.drain().await.unwrap();
    assert_eq!(state(&theatre, &pushed, "on_completion").await, JobState::Done);
    assert_eq!(theatre.stage.saw("first failure").len(), 1);
    assert_eq!(leftovers(&theatre).await, 0);
}

#[tokio::test]
async fn a_batch_without_members_is_complete() {
    let theatre = Theatre::open().await;
    let batch = Batch::new(Vec::<Push>::new()).on_completion(ok("completion"));
    push_workflow(&*theatre.db, batch).await.unwrap();
    assert_eq!(theatre.fleet.drain().await.unwrap().of("done"), 1);
}
