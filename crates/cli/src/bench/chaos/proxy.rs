//! A proxy between workers and Postgres: it cuts connections, also in the middle of an answer, and
//! holds bytes back.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Listens until it is dropped; connections end with it.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

/// What happens to a connection's bytes. Holding is over by itself.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Pass,
    HoldUntil(Instant),
    /// Pass on half of the server's next answer, then cut.
    CutInside,
    Cut,
}

/// What has been done to connections.
#[derive(Default)]
pub struct Done {
    pub cuts: AtomicU64,
    pub cuts_inside: AtomicU64,
    /// Stretches of bytes, in either direction.
    pub holds: AtomicU64,
    /// The same for longer than a lease.
    pub long_holds: AtomicU64,
}

struct Shared {
    host: String,
    port: u16,
    connections: Mutex<BTreeMap<u64, watch::Sender<Order>>>,
    entered: AtomicU64,
    lease: Duration,
    done: Done,
}

impl Proxy {
    /// `lease` is what a long hold outlasts.
    pub async fn start(server: &PgConnectOptions, lease: Duration) -> anyhow::Result<Self> {
        ensure!(
            server.get_socket().is_none() && !server.get_host().starts_with('/'),
            "chaos stands between workers and a server with a TCP address"
        );
        let shared = Arc::new(Shared {
            host: server.get_host().to_owned(),
            port: server.get_port(),
            connections: Mutex::default(),
            entered: AtomicU64::new(0),
            lease,
            done: Done::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen as a proxy")?;
        let port = listener.local_addr()?.port();
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared.clone())));
        Ok(Self { port, shared, _accepting: accepting })
    }

    /// The same database through this proxy.
    pub fn before(&self, server: &PgConnectOptions) -> PgConnectOptions {
        server.clone().host("127.0.0.1").port(self.port)
    }

    pub fn connections(&self) -> Vec<u64> {
        self.shared.connections().keys().copied().collect()
    }

    /// A connection that has ended meanwhile obeys nobody.
    pub fn order(&self, connection: u64, order: Order) {
        if let Some(orders) = self.shared.connections().get(&connection) {
            orders.send_replace(order);
        }
    }

    pub fn done(&self) -> &Done {
        &self.shared.done
    }

    /// From now on everything passes.
    pub fn calm(&self) {
        for orders in self.shared.connections().values() {
            orders.send_replace(Order::Pass);
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, watch::Sender<Order>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut carried = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            // Too many open files, for example: the next one may be luckier.
            Ok((client, _)) = listener.accept() => {
                let shared = shared.clone();
                carried.spawn(async move {
                    let connection = shared.entered.fetch_add(1, Ordering::Relaxed);
                    // Whoever is cut off, by us or by the server, notices by himself.
                    let _ = carry(&shared, connection, client).await;
                    shared.connections().remove(&connection);
                });
            }
            Some(_) = carried.join_next() => {}
            else => tokio::task::yield_now().await,
        }
    }
}

async fn carry(shared: &Shared, connection: u64, mut client: TcpStream) -> io::Result<()> {
    let mut server = TcpStream::connect((shared.host.as_str(), shared.port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (sender, mut orders) = watch::channel(Order::Pass);
    shared.connections().insert(connection, sender);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let asked = pass(shared, from_client, to_server, orders.clone(), false);
    let answered = pass(shared, from_server, to_client, orders.clone(), true);
    tokio::select! {
        end = asked => end,
        end = answered => end,
        _ = orders.wait_for(|order| matches!(order, Order::Cut)) => {
            shared.done.cuts.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

async fn pass(
    shared: &Shared,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    orders: watch::Receiver<Order>,
    answers: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let order = *orders.borrow();
        match order {
            Order::HoldUntil(until) if until > Instant::now() => {
                let long = until - Instant::now() > shared.lease;
                let done = &shared.done;
                let counter = if long { &done.long_holds } else { &done.holds };
                counter.fetch_add(1, Ordering::Relaxed);
                sleep_until(until).await;
            }
            Order::CutInside if answers => {
                to.write_all(&buffer[..count / 2]).await?;
                shared.done.cuts_inside.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            _ => {}
        }
        to.write_all(&buffer[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(2);

    /// A server that says everything twice, and a client before it.
    async fn stage() -> (Proxy, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = server.accept().await {
                let mut heard = [0; 4];
                while client.read_exact(&mut heard).await.is_ok() {
                    client.write_all(&[heard, heard].concat()).await.unwrap();
                }
            }
        });
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
        let proxy = Proxy::start(&options, LEASE).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        assert_eq!(say(&mut client).await, b"noonnoon");
        (proxy, client)
    }

    /// Says four bytes; answers what comes back, up to eight bytes.
    async fn say(client: &mut TcpStream) -> Vec<u8> {
        client.write_all(b"noon").await.unwrap();
        let mut answer = Vec::new();
        while answer.len() < 8 {
            let mut buffer = [0; 8];
            match client.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend(&buffer[..count]),
            }
        }
        answer
    }

    fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn an_answer_is_cut_in_half_and_the_next_connection_is_whole() {
        let (proxy, mut client) = stage().await;
        proxy.order(proxy.connections()[0], Order::CutInside);
        assert_eq!(say(&mut client).await, b"noon");
        assert_eq!(count(&proxy.done().cuts_inside), 1);
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        assert_eq!(say(&mut client).await, b"noonnoon");
    }

    #[tokio::test]
    async fn a_cut_connection_ends_although_nobody_speaks() {
        let (proxy, mut client) = stage().await;
        proxy.order(proxy.connections()[0], Order::Cut);
        let ended = tokio::time::timeout(Duration::from_secs(10), client.read(&mut [0; 1])).await;
        assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));
        assert_eq!(count(&proxy.done().cuts), 1);
    }

    #[tokio::test]
    async fn held_bytes_arrive_late_and_whole() {
        let (proxy, mut client) = stage().await;
        let until = Instant::now() + Duration::from_millis(100);
        proxy.order(proxy.connections()[0], Order::HoldUntil(until));
        assert_eq!(say(&mut client).await, b"noonnoon");
        assert!(Instant::now() >= until);
        assert_eq!((count(&proxy.done().holds), count(&proxy.done().long_holds)), (1, 0));
    }
}
