//! `beadle seed`: a demo where nobody lives, and nowhere else unasked.

use crate::commands::{database, run};

#[tokio::test]
async fn a_demo_is_made_once_and_not_among_real_people() {
    let cx = database().await;
    let seed = ["seed", "--users", "30", "--months", "2", "--json"];
    let planted = run(&cx, &seed).json();
    let areas: Vec<_> =
        planted["areas"].as_array().unwrap().iter().map(|area| &area["name"]).collect();
    assert_eq!(areas, ["people", "content", "billing", "notify", "ai", "analytics"]);
    let people = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM public.profiles");
        count.fetch_one(&cx.pool).await.unwrap()
    };
    assert_eq!(people().await, 30);
    assert!(run(&cx, &seed).ok, "the same again");
    assert_eq!(people().await, 30);

    let sign_up = "INSERT INTO auth.users (email) VALUES ('somebody@example.org')";
    sqlx::query(sign_up).execute(&cx.pool).await.unwrap();
    let refused = run(&cx, &["seed", "--users", "40"]);
    assert!(!refused.ok && refused.err.contains("real people"), "{}", refused.err);
    assert_eq!(people().await, 31);
    assert!(run(&cx, &["seed", "--users", "40", "--months", "2", "--force"]).ok);
    assert_eq!(people().await, 41);
}

#[tokio::test]
async fn a_demo_of_nobody_or_of_too_long_is_refused() {
    let cx = database().await;
    for wrong in [["--users", "0"], ["--months", "21"], ["--seed", "one"]] {
        let refused = run(&cx, &[&["seed"], &wrong[..]].concat());
        assert!(!refused.ok && refused.err.contains(wrong[0]), "{}", refused.err);
    }
    let none: i64 = sqlx::query_scalar("SELECT count(*) FROM public.profiles")
        .fetch_one(&cx.pool)
        .await
        .unwrap();
    assert_eq!(none, 0);
}
