//! `beadle up`: everything in one process, with a Postgres, an object store and a mail directory of its own.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use api::keys::{self, NewKey, Permission};
use context::demo::{self, Inhabitants, Plan};
use context::{Context, Settings, db, telemetry};
use embedded::{Home, Postgres, PostgresOptions, Storage, StorageOptions, Version};
use queue::schedule;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::process;

/// Kept in the home: what other commands of this machine need to speak to this process.
const ENVIRONMENT: &str = "environment";
/// Kept in the home: an API key for whoever sits at this machine.
const API_KEY: &str = "api_key";
/// How far back the demo goes.
const DEMO_MONTHS: u32 = 6;

pub async fn up(output: Output) -> anyhow::Result<()> {
    let stop = process::hear_signals()?;
    let mut settings = Settings::load()?;
    let telemetry = telemetry::init(&settings.telemetry)?;
    // First: a second one on the same home should hear that, and not that its port is taken.
    let home = Home::open(home(&settings))?;
    let listener = process::listen(&settings)?;
    let address = listener.local_addr()?;
    let stack = Stack::start(&home, &mut settings).await?;

    let parts = Parts { settings, metrics: telemetry.metrics(), listener, stop };
    let result = run(&home, parts, &stack, |cx, key| {
        let welcome = json!({
            "api": format!("http://{address}"),
            "docs": format!("http://{address}/docs/"),
            "api_key": key,
            "home": home.path(),
            "mail": cx.settings.mail.directory,
        });
        output.show(&welcome, |_| welcome_text(&format!("http://{address}"), key, &home))
    })
    .await;
    let stopped = stack.stop().await;
    result.and(stopped)
}

/// The variables with which a command of this machine speaks to the process that is up.
pub fn environment_of_running(settings: &Settings) -> Option<Vec<(OsString, OsString)>> {
    let text = Home::secret_of_owner(home(settings), ENVIRONMENT)?;
    let variables = text.lines().filter_map(|line| line.split_once('='));
    Some(variables.map(|(name, value)| (name.into(), value.into())).collect())
}

fn home(settings: &Settings) -> Option<PathBuf> {
    let home = &settings.embedded.home;
    (!home.is_empty()).then(|| PathBuf::from(home))
}

/// What was started beside this process, unless the settings name something else.
struct Stack {
    postgres: Option<Postgres>,
    storage: Option<Storage>,
}

impl Stack {
    /// Starts what the settings do not name, and writes it into them.
    async fn start(home: &Home, settings: &mut Settings) -> anyhow::Result<Self> {
        let mut variables = Vec::new();
        let mut postgres = None;
        if settings.database.url.is_none() {
            let started = Postgres::start(home, postgres_options(settings)).await?;
            let url = started.url(embedded::DATABASE);
            variables.push(format!("BEADLE__DATABASE__URL={url}"));
            variables.push("BEADLE__DATABASE__POOLED=false".to_owned());
            settings.database.url = Some(url.into());
            (settings.database.pooled, settings.database.direct_url) = (false, None);
            postgres = Some(started);
        }
        let mut storage = None;
        if settings.storage.bucket.is_empty() {
            let port = Some(settings.embedded.storage_port).filter(|port| *port != 0);
            let started = Storage::start(home, StorageOptions { port }).await?;
            settings.storage.endpoint = started.endpoint().to_owned();
            settings.storage.bucket = started.bucket().to_owned();
            settings.storage.access_key_id = started.access_key().to_owned();
            settings.storage.secret_access_key = Some(started.secret_key().to_owned().into());
            settings.storage.path_style = true;
            variables.extend([
                format!("BEADLE__STORAGE__ENDPOINT={}", started.endpoint()),
                format!("BEADLE__STORAGE__BUCKET={}", started.bucket()),
                "BEADLE__STORAGE__PATH_STYLE=true".to_owned(),
                format!("BEADLE__STORAGE__ACCESS_KEY_ID={}", started.access_key()),
                format!("BEADLE__STORAGE__SECRET_ACCESS_KEY={}", started.secret_key()),
            ]);
            storage = Some(started);
        }
        if settings.mail.directory.is_empty() {
            settings.mail.directory = home.mail_dir().display().to_string();
            variables.push(format!("BEADLE__MAIL__DIRECTORY={}", settings.mail.directory));
        }
        home.keep_key(ENVIRONMENT, &variables.join("\n"))?;
        Ok(Self { postgres, storage })
    }

    /// Returns when Postgres has ended by itself; never when it is somebody else's.
    async fn broken(&self) -> anyhow::Error {
        match &self.postgres {
            Some(postgres) => {
                let status = postgres.exited().await;
                anyhow::anyhow!("Postgres ended by itself ({status}); its log says why")
            }
            None => std::future::pending().await,
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        if let Some(storage) = self.storage {
            storage.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await.context("stop Postgres")?;
        }
        Ok(())
    }
}

fn postgres_options(settings: &Settings) -> PostgresOptions {
    let version =
        if settings.embedded.postgres_version == 16 { Version::Pg16 } else { Version::Pg18 };
    let port = Some(settings.embedded.postgres_port).filter(|port| *port != 0);
    PostgresOptions { version, port, ..PostgresOptions::default() }
}

/// What a run starts with.
struct Parts {
    settings: Settings,
    metrics: telemetry::Metrics,
    listener: TcpListener,
    stop: CancellationToken,
}

/// Serves, works and watches the clock until somebody asks to stop, or a part breaks.
async fn run(
    home: &Home,
    parts: Parts,
    stack: &Stack,
    welcome: impl FnOnce(&Context, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Parts { settings, metrics, listener, stop } = parts;
    let cx = Context::connect(settings).await?;
    db::migrate(&db::connect_to_migrate(&cx.settings.database).await?).await?;
    if stack.postgres.is_some() {
        plant_demo(&cx).await.context("make the demo")?;
    }
    let key = api_key(home, &cx).await.context("make an API key")?;

    let fleet = workers::fleet(&cx);
    let options = workers::options(&cx.settings, &fleet.kinds(), &[], None)?;
    schedule::declare(&cx.pool, &cx.clock, fleet.schedules()).await.context("declare schedules")?;
    let mut working = fleet.start(options);

    let kinds = fleet.kinds();
    let parts = api::Parts { kinds: kinds.clone(), heartbeat: Some(working.heartbeat()), metrics };
    let server = api::start(cx.clone(), parts, listener).context("start the API")?;
    let handle = server.handle();
    let mut server = tokio::spawn(server);
    welcome(&cx, &key)?;

    tokio::select! {
        // It returns when `stop` is cancelled.
        () = schedule::run(&cx.pool, &cx.clock, &kinds, stop) => {}
        broken = working.broken() => return Err(broken.into()),
        broken = stack.broken() => bail!(broken),
        server = &mut server => bail!("the API ended by itself: {server:?}"),
    }
    let ((), worked) = tokio::join!(handle.stop(true), working.stop());
    worked.context("stop working")?;
    server.await?.context("the API ended")?;
    cx.pool.close().await;
    Ok(())
}

/// An own database without people gets some, once. Somebody else's may be about to get real ones.
async fn plant_demo(cx: &Context) -> anyhow::Result<()> {
    let users = cx.settings.embedded.demo_users;
    if users == 0 || demo::inhabitants(&cx.pool).await? != Inhabitants::Nobody {
        return Ok(());
    }
    let plan = Plan { users, months: DEMO_MONTHS, seed: 1 };
    demo::plant(&cx.pool, plan, cx.clock.now()).await?;
    Ok(())
}

/// The key of this home, made anew when it was revoked.
async fn api_key(home: &Home, cx: &Context) -> anyhow::Result<String> {
    if let Some(key) = home.key(API_KEY)? {
        // One from before a permission was added is replaced too.
        let known = keys::verify(&cx.pool, &key, cx.clock.now()).await?;
        if known.is_some_and(|known| Permission::ALL.iter().all(|needed| known.may(*needed))) {
            return Ok(key);
        }
    }
    let name = "beadle up".to_owned();
    let new = NewKey { name, permissions: Permission::ALL.to_vec(), expires_at: None };
    let key = keys::create(&cx.pool, &new).await?.1.reveal();
    home.keep_key(API_KEY, &key)?;
    Ok(key)
}

fn welcome_text(api: &str, key: &str, home: &Home) -> String {
    format!(
        "\nBeadle is up.

  API            {api}
  documentation  {api}/docs/
  API key        {key}
  home           {}

Push a job:

  curl -X POST {api}/v1/jobs -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{{\"kind\": \"maintenance.drop_history\", \"args\": {{}}}}'

or, in another terminal: beadle jobs push maintenance.drop_history && beadle jobs list
Stop with Ctrl-C.\n",
        home.path().display()
    )
}
