//! What the engine relies on in sqlx, where we changed it: `third_party/README.md`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::support::Theatre;

/// At which a `begin()` may wait, with a pool that asks its connection whether it lives.
const MOMENTS: usize = 4;
/// It does not always wait: the answer may be there before anybody looks. So it is tried until it was given
/// up so often.
const GIVEN_UP: usize = 50;
const MAX_ROUNDS: usize = 20_000;

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
    let (mut given_up, mut rounds) = (0, 0);
    while given_up < GIVEN_UP {
        let moments = rounds % MOMENTS;
        given_up += usize::from(up_to(moments, pool.begin()).await.is_none());
        let mut connection = pool.acquire().await.unwrap();
        let one = transaction(&mut connection).await;
        assert_ne!(one, transaction(&mut connection).await, "given up at {moments}");
        rounds += 1;
        assert!(rounds < MAX_ROUNDS, "given up {given_up} times");
    }
}

#[tokio::test]
async fn a_savepoint_that_is_given_up_takes_nothing_else_back() {
    let theatre = Theatre::open().await;
    let pool = only_connection(&theatre).await;
    sqlx::query("CREATE TABLE kept (round bigint)").execute(&pool).await.unwrap();
    let (mut given_up, mut rounds) = (0, 0);
    while given_up < GIVEN_UP {
        let moments = rounds % MOMENTS;
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("INSERT INTO kept VALUES (1)").execute(&mut *tx).await.unwrap();
        given_up += usize::from(up_to(moments, tx.begin()).await.is_none());
        let before = transaction(&mut tx).await;
        assert_eq!(before, transaction(&mut tx).await, "given up at {moments}");
        tx.commit().await.unwrap();
        rounds += 1;
        assert!(rounds < MAX_ROUNDS, "given up {given_up} times");
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, rounds as i64);
}
