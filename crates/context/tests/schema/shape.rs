//! The whole schema as text, as Postgres tells it: what a change of migrations comes to, and that it is
//! the same on every version of Postgres. `UPDATE_SHAPE=1 cargo test -p context --test schema shape`
//! writes it anew.

use crate::{migrator, package};

const SHAPE: &str = include_str!("shape.sql");

#[tokio::test]
async fn the_schema_is_the_one_that_is_written_down() {
    let database = queue::testing::database(&migrator().await).await;
    let found: Vec<String> = sqlx::query_scalar(SHAPE).fetch_all(&database.pool).await.unwrap();
    let found = found.join("\n") + "\n";
    let path = package().join("tests/schema/shape.txt");
    if std::env::var_os("UPDATE_SHAPE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<_> = found.lines().filter(|line| !written.contains(line)).collect();
    let gone: Vec<_> = written.lines().filter(|line| !found.contains(line)).collect();
    assert!(
        new.is_empty() && gone.is_empty() && found == written,
        "the schema is another than shape.txt says; new:\n{}\ngone:\n{}",
        new.join("\n"),
        gone.join("\n")
    );
}
