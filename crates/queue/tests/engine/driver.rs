//! What the engine relies on in sqlx, where we changed it: `third_party/README.md`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

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

/// A pool of one connection, whose answers pass through this thread: they are never there before somebody
/// has waited for them, however busy the machine is.
async fn only_connection(theatre: &Theatre) -> PgPool {
    let options = (*theatre.db.pool.connect_options()).clone();
    let server = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = options.host("127.0.0.1").port(listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let pool = theatre.db.pool.options().clone().max_connections(1);
    pool.acquire_timeout(Duration::from_secs(20)).connect_with(options).await.unwrap()
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
    sqlx::query("CREATE TABLE kept (moments bigint)").execute(&pool).await.unwrap();
    let mut given_up = 0;
    for moments in 0..MOMENTS {
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("INSERT INTO kept VALUES ($1)")
            .bind(moments as i64)
            .execute(&mut *tx)
            .await
            .unwrap();
        given_up += usize::from(up_to(moments, tx.begin()).await.is_none());
        let before = transaction(&mut tx).await;
        assert_eq!(before, transaction(&mut tx).await, "given up at {moments}");
        tx.commit().await.unwrap();
    }
    assert!((1..MOMENTS).contains(&given_up), "{given_up}");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, MOMENTS as i64);
}
