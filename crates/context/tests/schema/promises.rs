//! What functions, policies and constraints of each area promise, one after the other in one world.
//! A promise is a block of SQL under a line `-- promise: …`; it leaves nothing behind.

use sqlx::{AssertSqlSafe, Connection};

use crate::{AREAS, file, world};

#[tokio::test]
async fn every_promise_of_every_area_is_kept() {
    let database = world::build().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let (mut kept, mut broken) = (0, Vec::new());
    let only = std::env::var("ONLY").ok();
    for area in AREAS.iter().filter(|area| only.as_deref().is_none_or(|only| only == **area)) {
        let Some(text) = file(area, "promises.sql") else { continue };
        for (name, sql) in blocks(&text) {
            let mut tx = connection.begin().await.unwrap();
            match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await {
                Ok(_) => kept += 1,
                Err(error) => broken.push(format!("{area}: {name}: {error}")),
            }
            tx.rollback().await.unwrap();
        }
    }
    println!("{kept} promises are kept");
    assert!(broken.is_empty(), "broken:\n{}", broken.join("\n"));
}

fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("-- promise: ") {
            Some(name) => found.push((name.to_owned(), String::new())),
            None => {
                if let Some((_, sql)) = found.last_mut() {
                    sql.push_str(line);
                    sql.push('\n');
                }
            }
        }
    }
    found
}
