//! A private PostgreSQL server, as a child process that ends with its owner.

mod child;
mod cluster;
mod log;
mod orphans;

use std::{
    fmt, fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use self::{child::Child, cluster::Cluster, log::Log};
use crate::{Error, Home, Version, account, error::doing, find_tree};

/// The superuser, and the database made at every start if it is missing.
pub const DATABASE: &str = "beadle";

const POLL: Duration = Duration::from_millis(20);
/// Recovery after a crash may take minutes, and would begin anew if it were cut short.
const READY_LIMIT: Duration = Duration::from_secs(600);
/// A free port may be taken between looking and starting; a few more looks settle it.
const PORT_TRIES: u32 = 5;

/// How hard a server is asked to end, and how long each request is given. INT closes all sessions
/// and writes a checkpoint, QUIT leaves recovery to the next start, KILL asks nobody.
const STOPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(10)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// The same without courtesy. Whatever outlives it is ended by the next start.
const CRASH: [(Signal, Duration); 2] = [STOPS[1], STOPS[2]];
const CRASH_TRIES: u32 = 250;

/// What to start.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    pub version: Version,
    /// None takes a free port.
    pub port: Option<u16>,
    /// False trades safety of the data for speed, for data nobody will miss.
    pub durable: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions { version: Version::default(), port: None, durable: true }
    }
}

/// A running server. Dropping it asks the server to end; [`stop`](Postgres::stop) also waits.
pub struct Postgres {
    home: Home,
    options: PostgresOptions,
    child: Child,
    psql: PathBuf,
    port: u16,
    password: String,
}

impl Postgres {
    /// Starts the server of `home`, on 127.0.0.1 alone, and returns when it takes connections.
    /// Makes the data directory when there is none. A server that an owner killed without notice
    /// has left on it is ended first.
    pub async fn start(home: &Home, options: PostgresOptions) -> Result<Postgres, Error> {
        let tree = find_tree(options.version)?;
        let (child, port, password) = boot(home, &tree, options).await?;
        let psql = tree.join("bin/psql");
        let postgres = Postgres { home: home.clone(), options, child, psql, port, password };
        postgres.create_database(DATABASE).await?;
        home.publish_database_url(&postgres.url(DATABASE))?;
        tracing::debug!(port, version = %options.version, "Postgres is ready");
        Ok(postgres)
    }

    /// Where `database` is, with the superuser's name and password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{DATABASE}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// For a pooler, which wants them apart.
    pub fn password(&self) -> &str {
        &self.password
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the server's first process.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Makes the database `name` unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        const SQL: &str = "SELECT format('CREATE DATABASE %I', :'name') \
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec\n";
        let mut psql = self.psql("postgres");
        psql.arg(format!("--set=name={name}"));
        psql.stdin(doing(memory_file(SQL), "write", "a psql script")?);
        run(psql.into(), "psql").await
    }

    /// This server's `psql`, connected to `database`, stopping at the first error. The caller adds
    /// what to run.
    pub fn psql(&self, database: &str) -> std::process::Command {
        let mut psql = account::command(&self.psql, None, Signal::TERM);
        psql.env("PGPASSWORD", &self.password)
            .args(["--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
            .args([&format!("--username={DATABASE}"), &format!("--dbname={database}")])
            .stdin(Stdio::null());
        psql
    }

    /// Returns when the server has ended. Before [`stop`](Self::stop) that is a crash, or somebody
    /// else's doing.
    pub async fn exited(&self) -> ExitStatus {
        self.child.exited().await
    }

    /// Cuts all sessions off, as a loss of power would, and starts the server again on the same port
    /// and data. Returns when it has recovered and takes connections.
    pub async fn crash(&mut self) -> Result<(), Error> {
        for (signal, patience) in CRASH {
            self.child.signal(signal);
            if timeout(patience, self.child.exited()).await.is_ok() {
                break;
            }
        }
        let tree = find_tree(self.options.version)?;
        let options = PostgresOptions { port: Some(self.port), ..self.options };
        let mut tries = 1;
        loop {
            match boot(&self.home, &tree, options).await {
                Ok((child, ..)) => {
                    self.child = child;
                    return Ok(());
                }
                // Somebody's outgoing connection may have been given the port meanwhile.
                Err(Error::PortInUse(_)) if tries < CRASH_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            sleep(POLL).await;
        }
    }

    /// Ends the server and returns when it has ended.
    pub async fn stop(self) -> Result<(), Error> {
        self.home.withdraw_database_url();
        for (signal, patience) in STOPS {
            self.child.signal(signal);
            if let Ok(status) = timeout(patience, self.child.exited()).await {
                if !status.success() {
                    tracing::warn!(%status, "Postgres did not end cleanly; it recovers when started");
                }
                return Ok(());
            }
        }
        Err(Error::Stuck { pid: self.child.pid() })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.home.withdraw_database_url();
    }
}

/// Leaves out the password.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (home, pid) = (self.home.path(), self.pid());
        f.debug_struct("Postgres")
            .field("home", &home)
            .field("port", &self.port)
            .field("pid", &pid)
            .finish_non_exhaustive()
    }
}

/// Starts a server on the data of `home`; answers with its port and its password.
async fn boot(
    home: &Home,
    tree: &Path,
    options: PostgresOptions,
) -> Result<(Child, u16, String), Error> {
    let claim = home.claim_postgres()?;
    let cluster = Cluster::prepare(home, tree, options.version, options.durable).await?;
    let log = Log::open(home)?;
    let (child, port) = launch(&cluster, tree, &log, options, claim).await?;
    Ok((child, port, cluster.password))
}

/// Starts the server process, on another port when a free one was taken meanwhile, and waits until
/// it is ready.
async fn launch(
    cluster: &Cluster,
    tree: &Path,
    log: &Log,
    options: PostgresOptions,
    claim: crate::home::PostgresClaim,
) -> Result<(Child, u16), Error> {
    let claim = std::sync::Arc::new(claim);
    let mut tries = 1;
    loop {
        let port = free_port(options.port)?;
        let from = log.len();
        let child = spawn(cluster, tree, log, port, options.durable, claim.clone())?;
        match wait_until_ready(&child, cluster, log, from).await {
            Ok(()) => return Ok((child, port)),
            Err(error) if !log.since(from).contains("Address already in use") => return Err(error),
            Err(_) if options.port.is_some() => return Err(Error::PortInUse(port)),
            Err(error) if tries == PORT_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

/// The wanted port if nobody listens there, else one that is free now.
fn free_port(wanted: Option<u16>) -> Result<u16, Error> {
    let port = wanted.unwrap_or(0);
    match TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()) {
        Ok(address) => Ok(address.port()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse(port)),
        Err(error) => doing(Err(error), "listen on", format!("127.0.0.1:{port}")),
    }
}

fn spawn(
    cluster: &Cluster,
    tree: &Path,
    log: &Log,
    port: u16,
    durable: bool,
    keep: impl Send + 'static,
) -> Result<Child, Error> {
    let program = tree.join("bin/postgres");
    let mut command = account::command(&program, cluster.account.as_ref(), Signal::INT);
    command.arg("-D").arg(&cluster.data).arg("-p").arg(port.to_string());
    let fast = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
    let settings = [
        "listen_addresses=127.0.0.1",
        // A path below the data directory may be too long for a socket; TCP always works.
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=128MB",
        "timezone=UTC",
        "log_timezone=UTC",
        "logging_collector=off",
        "log_destination=stderr",
    ];
    for setting in settings.into_iter().chain(fast.into_iter().filter(|_| !durable)) {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(log.handle()?).stderr(log.handle()?);
    doing(Child::spawn(command, keep), "start", program)
}

/// Watches the status line that the server keeps in `postmaster.pid`.
async fn wait_until_ready(
    child: &Child,
    cluster: &Cluster,
    log: &Log,
    from: u64,
) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.status() {
            let (log, tail) = (log.path().to_owned(), log.tail(from));
            return Err(Error::Ended { status, log, tail });
        }
        if is_ready(&cluster.data, child.pid()) {
            return Ok(());
        }
        if started.elapsed() > READY_LIMIT {
            let (log, tail) = (log.path().to_owned(), log.tail(from));
            return Err(Error::NotReady { waited: READY_LIMIT, log, tail });
        }
        sleep(POLL).await;
    }
}

fn is_ready(data: &Path, pid: i32) -> bool {
    let Ok(file) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = file.lines();
    let ours = lines.next().is_some_and(|line| line.trim() == pid.to_string());
    // The status is the eighth and last line.
    ours && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// Runs a short program to its end; what it complained about is part of the error when it fails.
async fn run(mut command: tokio::process::Command, program: &'static str) -> Result<(), Error> {
    let output = doing(command.kill_on_drop(true).output().await, "run", program)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { program, status: output.status, output: complaint })
}

/// A file that exists only as long as somebody reads it.
fn memory_file(content: &str) -> io::Result<fs::File> {
    use std::io::{Seek as _, Write as _};
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = fs::File::from(rustix::fs::memfd_create("script", flags)?);
    file.write_all(content.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
