//! An S3 endpoint in this process, over plain files.

mod guard;

use std::{fmt, fs, io, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use self::guard::Guard;
use crate::{Error, Home, error::doing, home::random_word};

const BUCKET: &str = "beadle";
const KEY: &str = "storage";
const ACCESS_KEY_LENGTH: usize = 20;
const SECRET_KEY_LENGTH: usize = 40;

const MAX_CONNECTIONS: usize = 512;
/// Accepting fails when the process is out of file descriptors; trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests in progress may go on after a stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How to serve objects.
#[derive(Debug, Clone, Copy, Default)]
pub struct StorageOptions {
    /// None takes a free port.
    pub port: Option<u16>,
}

/// A running endpoint, for path-style requests. Dropping it ends it at once.
///
/// Objects are files named by their keys, so a key and one that continues it after a slash (`a` and
/// `a/b`) exclude each other, and a key of the bucket has at most 129 bytes. What does not fit is
/// refused with the reason.
pub struct Storage {
    endpoint: String,
    access_key: String,
    secret_key: String,
    stop: oneshot::Sender<()>,
    server: AbortOnDrop,
}

impl Storage {
    /// Serves the objects of `home` on 127.0.0.1, with one bucket ready.
    pub async fn start(home: &Home, options: StorageOptions) -> Result<Storage, Error> {
        let (access_key, secret_key) = credentials(home)?;
        let root = home.storage_dir();
        let bucket = root.join(BUCKET);
        doing(fs::create_dir_all(&bucket), "create", bucket)?;
        let service = service(&root, &access_key, &secret_key)?;
        let listener = listen(options.port.unwrap_or(0)).await?;
        let address = doing(listener.local_addr(), "listen on", "127.0.0.1")?;
        let (stop, stopped) = oneshot::channel();
        let server = AbortOnDrop(tokio::spawn(serve(listener, service, stopped, home.clone())));
        tracing::debug!(%address, "the object store is ready");
        let endpoint = format!("http://{address}");
        Ok(Storage { endpoint, access_key, secret_key, stop, server })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Takes no more requests and returns when those in progress are answered, or the limit is up.
    pub async fn stop(self) {
        let Storage { stop, mut server, .. } = self;
        // A server that has ended already needs no word.
        let _ = stop.send(());
        if let Err(error) = (&mut server.0).await {
            tracing::error!(%error, "the object store broke");
        }
    }
}

/// Leaves out the secret.
impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The kept pair of access key and secret, or a new one.
fn credentials(home: &Home) -> Result<(String, String), Error> {
    if let Some(kept) = home.key(KEY)?
        && let Some((access, secret)) = kept.split_once(':')
    {
        return Ok((access.to_owned(), secret.to_owned()));
    }
    let (access, secret) = (random_word(ACCESS_KEY_LENGTH), random_word(SECRET_KEY_LENGTH));
    home.keep_key(KEY, &format!("{access}:{secret}"))?;
    Ok((access, secret))
}

fn service(root: &Path, access_key: &str, secret_key: &str) -> Result<S3Service, Error> {
    let files = FileSystem::new(root).map_err(|error| Error::Io {
        action: "serve",
        path: root.to_owned(),
        source: io::Error::other(format!("{error:?}")),
    })?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.set_access(Guard::new(root));
    Ok(builder.build())
}

async fn listen(port: u16) -> Result<TcpListener, Error> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse(port)),
        result => doing(result, "listen on", format!("127.0.0.1:{port}")),
    }
}

/// Answers until `stopped`. Keeps `_home`, so that nobody else opens it as long as files are served.
async fn serve(
    listener: TcpListener,
    service: S3Service,
    mut stopped: oneshot::Receiver<()>,
    _home: Home,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (http, graceful) = (Builder::new(TokioExecutor::new()), GracefulShutdown::new());
    let mut connections = JoinSet::new();
    loop {
        let (place, socket) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut stopped => break,
        };
        let connection = http.serve_connection(TokioIo::new(socket), service.clone());
        let connection = graceful.watch(connection.into_owned());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the object store broke");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("ending requests to the object store that take too long");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (tokio::sync::OwnedSemaphorePermit, TcpStream) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return (place, socket),
            Err(error) => {
                tracing::warn!(%error, "the object store cannot take a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
