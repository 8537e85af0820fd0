//! The pool, and the one list of migrations.

mod migrate;
#[cfg(test)]
mod tests;

use std::{fmt::Display, io, str::FromStr, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions, Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use migrate::{Applied, Migrated, MigrationState, migrate, migrations};

use crate::settings;

/// Every migration of this release.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

const APPLICATION_NAME: &str = "beadle";

/// Opens the pool once the database has answered.
pub async fn connect(settings: &settings::Database) -> anyhow::Result<PgPool> {
    open(settings, options(settings)?).await
}

/// Opens a pool that [`migrate`] can use: migrations take a lock that belongs to a session, which a
/// pooler in transaction mode would hand to somebody else.
pub async fn connect_to_migrate(settings: &settings::Database) -> anyhow::Result<PgPool> {
    let options = match &settings.direct_url {
        Some(url) => parse("database.direct_url", url)?,
        None if settings.pooled => bail!(
            "`database.pooled` is set, and migrations cannot go through a pooler: set \
             BEADLE__DATABASE__DIRECT_URL to the address of Postgres itself"
        ),
        None => options(settings)?,
    };
    open(settings, options).await
}

async fn open(settings: &settings::Database, options: PgConnectOptions) -> anyhow::Result<PgPool> {
    let patience = Duration::from_secs(settings.connect_timeout_seconds);
    // The pool would try again until its time is up and then only say that it is up.
    let attempt = async { options.connect().await?.close().await };
    match tokio::time::timeout(patience, attempt).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(unreachable(&options, explain(&error, &options))),
        Err(_) => {
            let reason = format!("no answer within {} s", patience.as_secs());
            return Err(unreachable(&options, (reason, ADDRESS.to_owned())));
        }
    }
    Ok(PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(patience)
        .connect_lazy_with(options))
}

fn options(settings: &settings::Database) -> anyhow::Result<PgConnectOptions> {
    let url = settings.url.as_ref().context(
        "no database is set: set DATABASE_URL to a Postgres, \
         or start `beadle up`, which brings its own",
    )?;
    let options = parse("the database URL", url)?;
    // Without a cache nothing is prepared that the next transaction would expect of its connection.
    Ok(if settings.pooled { options.statement_cache_capacity(0) } else { options })
}

fn parse(what: &str, url: &SecretString) -> anyhow::Result<PgConnectOptions> {
    // Percent-decoding and the like: nothing in these errors quotes the URL.
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|error| anyhow!("{what} is not valid: {}", bare(&error)))?;
    Ok(options.application_name(APPLICATION_NAME))
}

/// What to mend when the server does not answer at all.
const ADDRESS: &str = "start it, or correct the address in DATABASE_URL";

/// Says what went wrong and how to mend it.
fn explain(error: &sqlx::Error, options: &PgConnectOptions) -> (String, String) {
    let database = options.get_database().unwrap_or(options.get_username());
    let code = error.as_database_error().and_then(|error| error.code());
    let mend = match (error, code.as_deref()) {
        (sqlx::Error::Io(error), _) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return ("nobody listens there".to_owned(), ADDRESS.to_owned());
        }
        (sqlx::Error::Io(_), _) => ADDRESS.to_owned(),
        (sqlx::Error::Tls(_), _) => "correct `sslmode` in DATABASE_URL".to_owned(),
        (_, Some("28P01" | "28000")) => {
            "correct the user and the password in DATABASE_URL, or pg_hba.conf".to_owned()
        }
        (_, Some("3D000")) => format!("create it with `createdb {database}`"),
        (_, Some("53300")) => {
            "lower `database.max_connections`, or raise `max_connections` of Postgres".to_owned()
        }
        (_, Some("57P03")) => "wait until it has started".to_owned(),
        _ => "look into the log of Postgres".to_owned(),
    };
    (bare(error), mend)
}

fn unreachable(
    options: &PgConnectOptions,
    (reason, mend): (impl Display, impl Display),
) -> anyhow::Error {
    let database = options.get_database().unwrap_or(options.get_username());
    let server = match options.get_socket() {
        Some(directory) => format!("socket {}", directory.display()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    anyhow!("cannot reach the database `{database}` at {server}: {reason}; {mend}")
}

/// The message without the frame that sqlx puts around it.
fn bare(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) | sqlx::Error::Configuration(error) => error.to_string(),
        other => other.to_string(),
    }
}
