//! A database with people, and a row of every table that belongs to one of them.

use queue::testing::TestDatabase;
use sqlx::AssertSqlSafe;

use crate::{AREAS, file, migrator, package};

pub async fn build() -> TestDatabase {
    let database = queue::testing::database(&migrator().await).await;
    let people = std::fs::read_to_string(package().join("tests/schema/world.sql")).unwrap();
    let areas = AREAS.iter().filter_map(|area| Some((*area, file(area, "world.sql")?)));
    for (area, sql) in std::iter::once(("people", people)).chain(areas) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.pool).await;
        done.unwrap_or_else(|error| panic!("the world of {area}: {error}"));
    }
    database
}
