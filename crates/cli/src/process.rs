//! What long-running commands share: settings, a database that fits this release, signals.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, anyhow, bail};
use context::db::MigrationState;
use context::{Context, Settings, Telemetry, db, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The settings of this process. Without a database of its own it speaks to this machine's `up`.
pub fn settings() -> anyhow::Result<Settings> {
    let settings = Settings::load()?;
    #[cfg(feature = "embedded")]
    if settings.database.url.is_none()
        && let Some(environment) = crate::up::environment_of_running(&settings)
    {
        return Ok(Settings::load_from(environment.into_iter().chain(std::env::vars_os()))?);
    }
    Ok(settings)
}

/// For a command that does one thing. A newer release's database has all that it needs.
pub async fn connect() -> anyhow::Result<Context> {
    let cx = Context::connect(settings()?).await?;
    match db::migrations(&cx.pool).await? {
        MigrationState::Current | MigrationState::Newer { .. } => Ok(cx),
        state => bail!("{state}"),
    }
}

/// For a command that stays: logs, metrics, and a database that fits this release.
pub async fn start(settings: Settings) -> anyhow::Result<(Context, Telemetry)> {
    let telemetry = telemetry::init(&settings.telemetry)?;
    let cx = Context::connect(settings).await?;
    let state = db::migrations(&cx.pool).await?;
    if state != MigrationState::Current {
        bail!("{state}");
    }
    Ok((cx, telemetry))
}

/// Takes the API's address before anything else is started.
pub fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    bind(settings.http.bind, "BEADLE__HTTP__BIND")
}

/// The same of the address where a process without an API tells how it does, if it does.
pub fn listen_for_metrics(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let address = settings.telemetry.metrics_bind;
    address.map(|address| bind(address, "BEADLE__TELEMETRY__METRICS_BIND")).transpose()
}

fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}; choose another address with {variable}")
    })
}

/// Answers `/metrics` and `/healthz` until the process ends. Returns when it cannot any more, and
/// never where nobody is to be answered.
pub async fn observe(telemetry: &Telemetry, listener: Option<TcpListener>) -> anyhow::Error {
    let Some(listener) = listener else { return std::future::pending().await };
    let serve = async {
        let address = listener.local_addr()?;
        let server = api::observe(telemetry.metrics(), listener)?;
        tracing::info!(%address, "the metrics are at hand");
        server.await
    };
    anyhow!("the metrics' server ended by itself: {:?}", serve.await)
}

/// From now on a request to end is heard: it cancels the token. Asked again, the process ends at
/// once.
pub fn hear_signals() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let asked = CancellationToken::new();
    let stop = asked.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                tracing::warn!("stopped at once");
                std::process::exit(1);
            }
            tracing::info!("stopping; ask again to stop at once");
            asked.cancel();
        }
    });
    Ok(stop)
}
