//! The diagram of states in the README says what the database allows.

use std::collections::BTreeSet;

use queue::inspect::JobState;
use sqlx::PgPool;

use crate::support::Theatre;

const README: &str = include_str!("../../README.md");
/// What takes a job along an arrow and is no outcome of a run.
const VERBS: [&str; 9] =
    ["push", "for", "later", "due", "claim", "cancel", "drop", "held", "freed"];

type Words = BTreeSet<String>;

fn words(text: &str) -> Words {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn diagram() -> &'static str {
    let states = README.split("\n## States\n").nth(1).expect("a section of states");
    states.split("```").nth(1).and_then(|block| block.strip_prefix("text")).expect("a diagram")
}

/// The texts that the definition of a constraint or a view names.
async fn named(db: &PgPool, definition: &'static str) -> Words {
    let definition: String = sqlx::query_scalar(definition).fetch_one(db).await.unwrap();
    definition.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

async fn outcomes(db: &PgPool) -> Words {
    let check = "SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conname = 'ck_runs_outcome' AND conrelid = 'queue.runs'::regclass";
    named(db, check).await
}

#[tokio::test]
async fn the_diagram_has_the_states_and_outcomes_of_the_database_and_no_others() {
    let theatre = Theatre::open().await;
    let outcomes = outcomes(&theatre.db).await;
    let states = named(&theatre.db, "SELECT pg_get_viewdef('queue.job_states'::regclass)").await;
    assert!(outcomes.len() > 5 && states.len() > 5, "{outcomes:?} {states:?}");
    let drawn = words(diagram());
    let verbs: Words = VERBS.map(str::to_owned).into();
    assert_eq!(drawn.intersection(&verbs).count(), VERBS.len(), "all verbs are drawn");
    let drawn: Words = drawn.difference(&verbs).cloned().collect();
    assert_eq!(drawn, states.union(&outcomes).cloned().collect());
    for state in &states {
        assert_eq!(state.parse::<JobState>().unwrap().to_string(), *state);
    }
}

#[tokio::test]
async fn the_diagram_ends_where_runs_end_and_retries_what_has_a_dead_letter() {
    let theatre = Theatre::open().await;
    let check = "SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conname = 'ck_dead_letters_outcome'";
    let letters = named(&theatre.db, check).await;
    let (_, rest) = diagram().split_once("retried").expect("retries are drawn");
    let row = rest.lines().nth(1).expect("a row below").split('◄').nth(1).expect("an arrow");
    assert_eq!(words(row.split('►').next().unwrap()), letters);
    // Whatever ends a job is done, or leaves a letter; the last line above holds it.
    let ends = diagram().lines().find(|line| line.contains("done,")).expect("an end of runs");
    let mut ended = letters.clone();
    ended.insert("done".to_owned());
    assert_eq!(words(ends), ended);
    // Every state that is no outcome comes before an end, or after it.
    let states = named(&theatre.db, "SELECT pg_get_viewdef('queue.job_states'::regclass)").await;
    let outcomes = outcomes(&theatre.db).await;
    assert_eq!(states.intersection(&outcomes).cloned().collect::<Words>(), ended);
}
