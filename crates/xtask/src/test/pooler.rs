//! PgBouncer in transaction mode, in front of the tests' Postgres.

use std::{
    fs,
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use embedded::{DATABASE, Postgres};
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use crate::{
    install::find_program,
    shell::{Running, Shell},
};

const START_LIMIT: Duration = Duration::from_secs(10);

/// A PgBouncer that ends with the value.
pub struct Pooler {
    address: String,
    _running: Running,
    _directory: TempDir,
}

impl Pooler {
    pub async fn start(shell: &Shell, postgres: &Postgres) -> anyhow::Result<Self> {
        let program = find_program("pgbouncer").context("find pgbouncer")?;
        let directory = TempDir::new().context("create a directory for PgBouncer")?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = port.context("find a free port")?.port();
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings(postgres, port)).context("write the settings of PgBouncer")?;
        let mut command = Command::new(program);
        command.arg("--quiet").arg(&file);
        if geteuid().is_root() {
            // It refuses to be root, and becomes somebody else after it has read its settings.
            command.args(["--user", "nobody"]);
            fs::set_permissions(directory.path(), Permissions::from_mode(0o711))?;
            fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        }
        let running = shell.spawn(command)?;
        let address = format!("127.0.0.1:{port}");
        let limit = Instant::now() + START_LIMIT;
        while TcpStream::connect(&address).await.is_err() {
            if Instant::now() > limit {
                bail!("PgBouncer does not answer; what it says about it stands above");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { address, _running: running, _directory: directory })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// As Debian ships it, but for the mode. Each server is lent for one transaction, and fewer of them
/// than the engine has connections makes sure that they go round.
fn settings(postgres: &Postgres, port: u16) -> String {
    let (server, password) = (postgres.port(), postgres.password());
    format!(
        "[databases]
* = host=127.0.0.1 port={server} user={DATABASE} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 5
ignore_startup_parameters = extra_float_digits
"
    )
}
