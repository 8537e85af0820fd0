//! What an owner of a home may rely on, seen from outside, with real servers.

mod home;
mod orphans;
mod postgres;
mod storage;

use std::{future::Future, time::Duration};

use embedded::{Home, Postgres, PostgresOptions, Version};
use sqlx::{Connection as _, PgConnection};

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

const THROWAWAY: PostgresOptions =
    PostgresOptions { version: Version::Pg18, port: None, durable: false };

/// An empty home in a directory that its owner may leave and open again.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> anyhow::Result<Place> {
        Ok(Place(tempfile::tempdir()?))
    }

    fn open(&self) -> Result<Home, embedded::Error> {
        Home::open(Some(self.0.path().to_owned()))
    }

    fn join(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

async fn query(postgres: &Postgres, sql: &'static str) -> anyhow::Result<String> {
    query_at(&postgres.url(embedded::DATABASE), sql).await
}

async fn query_at(url: &str, sql: &'static str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    let value = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(value)
}

async fn execute(postgres: &Postgres, sql: &'static str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&postgres.url(embedded::DATABASE)).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn in_time<F: Future>(work: F) -> anyhow::Result<F::Output> {
    Ok(tokio::time::timeout(LIMIT, work).await?)
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    while !condition() {
        anyhow::ensure!(started.elapsed() < LIMIT, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn runs(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).join("exe").read_link().is_ok()
}
