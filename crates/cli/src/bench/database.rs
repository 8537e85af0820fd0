//! Where a measurement takes place: a durable Postgres of its own, or a database on a given server.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use embedded::{Home, Postgres, PostgresOptions};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::Mutex;

/// The server; none of ours when `DATABASE_URL` names one.
pub struct Server {
    postgres: Option<Mutex<Postgres>>,
    options: PgConnectOptions,
    made: AtomicU32,
}

/// A new, migrated database. Every measurement has its own, so none vacuums up after another.
pub struct Database {
    pub pool: PgPool,
    pub options: PgConnectOptions,
}

/// Pushers, the probe, and whoever looks at the tables.
const MAX_CONNECTIONS: u32 = 16;

impl Server {
    pub async fn start() -> anyhow::Result<Self> {
        let made = AtomicU32::new(0);
        if let Ok(url) = std::env::var("DATABASE_URL") {
            let options = PgConnectOptions::from_str(&url).context("read DATABASE_URL")?;
            return Ok(Self { postgres: None, options, made });
        }
        let home = Home::throwaway()?;
        let durable = PostgresOptions { durable: true, ..PostgresOptions::default() };
        let postgres = Postgres::start(&home, durable).await?;
        let options = PgConnectOptions::from_str(&postgres.url(embedded::DATABASE))?;
        let server = Self { postgres: Some(Mutex::new(postgres)), options, made };
        // A checkpoint in the middle of a measurement would be one of chance.
        server.execute("ALTER SYSTEM SET max_wal_size = '4GB'").await?;
        server.execute("SELECT pg_reload_conf()").await?;
        Ok(server)
    }

    pub async fn database(&self) -> anyhow::Result<Database> {
        let name = self.name(self.made.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}")).await?;
        let options = self.options.clone().database(&name).application_name("beadle bench");
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .connect_with(options.clone())
            .await
            .context("connect to the bench's database")?;
        context::MIGRATOR.run(&pool).await.context("migrate the bench's database")?;
        Ok(Database { pool, options })
    }

    /// Whether [`crash`](Self::crash) can do anything.
    pub fn is_ours(&self) -> bool {
        self.postgres.is_some()
    }

    /// Cuts our server off and starts it again; somebody else's is left alone.
    pub async fn crash(&self) -> anyhow::Result<()> {
        match &self.postgres {
            Some(postgres) => postgres.lock().await.crash().await.context("restart Postgres"),
            None => Ok(()),
        }
    }

    pub async fn drop_databases(&self) -> anyhow::Result<()> {
        for number in 0..self.made.load(Ordering::Relaxed) {
            let name = self.name(number);
            self.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        }
        Ok(())
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        // Also after a run that was cut off.
        self.drop_databases().await?;
        match self.postgres {
            Some(postgres) => postgres.into_inner().stop().await.context("stop Postgres"),
            None => Ok(()),
        }
    }

    fn name(&self, number: u32) -> String {
        format!("beadle_bench_{}_{number}", std::process::id())
    }

    async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = self.options.connect().await.context("connect to the server")?;
        let done =
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
        done.with_context(|| statement.to_owned())?;
        Ok(connection.close().await?)
    }
}

impl Database {
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    /// A connection with the engine's own settings, outside of any pool.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let mut connection = self.options.connect().await.context("connect")?;
        sqlx::raw_sql(queue::PLANNING).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Starts a measurement on even ground: statistics are fresh, and nothing is left to be written.
    pub async fn settle(&self) -> anyhow::Result<()> {
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            sqlx::raw_sql(statement).execute(&self.pool).await.context(statement)?;
        }
        Ok(())
    }

    /// How many attempts have been recorded.
    pub async fn ended(&self) -> anyhow::Result<i64> {
        let count = "-- bench.ended
            SELECT count(*) FROM queue.runs";
        Ok(sqlx::query_scalar(count).fetch_one(&self.pool).await?)
    }

    /// Waits until so many attempts have been recorded.
    pub async fn until_ended(&self, jobs: usize) -> anyhow::Result<()> {
        const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
        while (self.ended().await? as usize) < jobs {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
