//! What the engine relies on in sqlx, where we changed it: `third_party/README.md`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::support::Theatre;

/// Of one `begin()`, with a pool that asks its connection whether it lives. More than there are.
const MOMENTS: usize = 12;

/// Gives a future up when it has waited so many times; None then.
async fn up_to<T>(moments: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut waited) = (pin!(work), 0);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waited == moments => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

async fn transaction(connection: &mut PgConnection) -> String {
    let number = sqlx::query_scalar("SELECT pg_current_xact_id()::text");
    number.fetch_one(connection).await.unwrap()
}

async fn only_connection(theatre: &Theatre) -> PgPool {
    let options = theatre.db.pool.options().clone().max_connections(1);
    options.acquire_timeout(Duration::from_secs(20)).connect(&theatre.db.url()).await.unwrap()
}

#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_transaction_to_whoever_comes_next() {
    let theatre = Theatre::open().await;
    let pool = only_connection(&theatre).await;
    let mut given_up = 0;
    for moments in 0..MOMENTS {
        given_up += usize::from(up_to(moments, pool.begin()).await.is_none());
        let mut connection = pool.acquire().await.unwrap();
        let one = transaction(&mut connection).await;
        assert_ne!(one, transaction(&mut connection).await, "given up at {moments}");
    }
    assert!((1..MOMENTS).contains(&given_up), "{given_up}");
}

#[tokio::test]
async fn a_savepoint_that_is_given_up_takes_nothing_else_back() {
    let theatre = Theatre::open().await;
    let pool = only_connection(&theatre).await;
    sqlx::query("CREATE TABLE kept (moments integer)").execute(&pool).await.unwrap();
    let (mut given_up, mut kept) = (0, Vec::new());
    for moments in 0..MOMENTS as i32 {
        let mut tx = pool.begin().await.unwrap();
        let keep = sqlx::query("INSERT INTO kept VALUES ($1)").bind(moments);
        keep.execute(&mut *tx).await.unwrap();
        given_up += usize::from(up_to(moments as usize, tx.begin()).await.is_none());
        let before = transaction(&mut tx).await;
        assert_eq!(before, transaction(&mut tx).await, "given up at {moments}");
        tx.commit().await.unwrap();
        kept.push(moments);
        let found: Vec<i32> =
            sqlx::query_scalar("TABLE kept ORDER BY 1").fetch_all(&pool).await.unwrap();
        assert_eq!(found, kept);
    }
    assert!((1..MOMENTS).contains(&given_up), "{given_up}");
}
