//! The history that triggers append to, and how it is read back. Nothing of the engine is used here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use sqlx::PgPool;
use uuid::Uuid;

/// What is known of a run of the bench, once it is over.
#[derive(Debug, Default)]
pub struct History {
    /// In the order of `seq`.
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    /// Jobs whose push was answered.
    pub acknowledged: Vec<Uuid>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub seq: i64,
    /// The transaction it happened in.
    pub xact: i64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Pushed { job: Uuid, leaves_effect: bool, key: Option<String> },
    Leased { token: i64, jobs: Vec<Uuid>, at_micros: i64 },
    Closed { token: i64 },
    Ended { job: Uuid, token: i64, outcome: String },
}

/// What a handler left behind.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Effect {
    pub job: Uuid,
    pub xact: i64,
}

/// Jobs of this kind leave an effect in the transaction that ends them.
pub const EFFECT_KIND: &str = "chaos.effect";
/// A job that has ended like this does not go on.
pub const FINAL: [&str; 4] = ["done", "discarded", "dead", "cancelled"];

/// Makes the tables and triggers in a database without jobs.
pub async fn install(pool: &PgPool) -> anyhow::Result<()> {
    let install = sqlx::raw_sql(include_str!("install.sql"));
    install.execute(pool).await.context("install the history")?;
    Ok(())
}

/// How far it has come.
#[derive(Debug, sqlx::FromRow)]
pub struct Progress {
    pub jobs: i64,
    /// Those that have ended for good.
    pub ended: i64,
}

pub async fn progress(pool: &PgPool) -> sqlx::Result<Progress> {
    let progress = "-- chaos.progress
        SELECT count(DISTINCT job) AS jobs,
            count(DISTINCT job) FILTER (WHERE outcome = ANY ($1)) AS ended
        FROM chaos.history WHERE job IS NOT NULL";
    sqlx::query_as(progress).bind(FINAL).fetch_one(pool).await
}

/// How many jobs have not, in a fraction of the time; less if some have ended for good twice.
pub async fn about_open(pool: &PgPool) -> sqlx::Result<i64> {
    let open = "-- chaos.about_open
        SELECT count(*) FILTER (WHERE what = 'pushed') - count(*) FILTER (WHERE outcome = ANY ($1))
        FROM chaos.history";
    sqlx::query_scalar(open).bind(FINAL).fetch_one(pool).await
}

/// How many attempts ended how.
pub async fn outcomes(pool: &PgPool) -> sqlx::Result<BTreeMap<String, i64>> {
    let outcomes = "-- chaos.outcomes
        SELECT outcome, count(*) FROM chaos.history WHERE what = 'ended' GROUP BY outcome";
    Ok(sqlx::query_as(outcomes).fetch_all(pool).await?.into_iter().collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    xact: i64,
    what: String,
    token: Option<i64>,
    job: Option<Uuid>,
    jobs: Option<Vec<Uuid>>,
    kind: Option<String>,
    key: Option<String>,
    at_micros: Option<i64>,
    outcome: Option<String>,
}

impl History {
    /// `acknowledged` is a file with a job's id in each line.
    pub async fn read(pool: &PgPool, acknowledged: &Path) -> anyhow::Result<Self> {
        let events = "-- chaos.events
            SELECT seq, xact::text::bigint AS xact, what, token, job, jobs, kind, key, outcome,
                (extract(epoch FROM leased_at) * 1000000)::bigint AS at_micros
            FROM chaos.history ORDER BY seq";
        let rows: Vec<Row> = sqlx::query_as(events).fetch_all(pool).await?;
        let effects = "-- chaos.effects
            SELECT job, xact::text::bigint AS xact FROM chaos.effects ORDER BY id";
        let effects = sqlx::query_as(effects).fetch_all(pool).await?;
        let lines = fs::read_to_string(acknowledged).context("read what was acknowledged")?;
        let acknowledged = lines.lines().map(str::parse).collect::<Result<_, _>>()?;
        let events = rows.into_iter().map(Event::of).collect::<anyhow::Result<_>>()?;
        Ok(Self { events, effects, acknowledged })
    }

    /// All that is known of one job, a line each.
    pub fn of_job(&self, job: Uuid) -> Vec<String> {
        let tokens: Vec<_> = self.events.iter().filter_map(|event| event.lease_of(job)).collect();
        let concerns = |event: &&Event| match &event.what {
            What::Pushed { job: of, .. } | What::Ended { job: of, .. } => *of == job,
            What::Leased { token, .. } | What::Closed { token } => tokens.contains(token),
        };
        let line = |event: &Event| match &event.what {
            What::Leased { token, jobs, .. } => {
                let count = jobs.len();
                format!("{} in {}: lease {token} of {count} jobs", event.seq, event.xact)
            }
            what => format!("{} in {}: {what:?}", event.seq, event.xact),
        };
        let effects = self.effects.iter().filter(|effect| effect.job == job);
        let effects = effects.map(|effect| format!("effect in {}", effect.xact));
        self.events.iter().filter(concerns).map(line).chain(effects).collect()
    }
}

impl Event {
    fn of(row: Row) -> anyhow::Result<Self> {
        let what = match (row.what.as_str(), row.token, row.job) {
            ("pushed", None, Some(job)) => {
                let leaves_effect = row.kind.as_deref() == Some(EFFECT_KIND);
                What::Pushed { job, leaves_effect, key: row.key }
            }
            ("leased", Some(token), None) => {
                let at_micros = row.at_micros.unwrap_or_default();
                What::Leased { token, jobs: row.jobs.unwrap_or_default(), at_micros }
            }
            ("closed", Some(token), None) => What::Closed { token },
            ("ended", Some(token), Some(job)) => {
                What::Ended { job, token, outcome: row.outcome.unwrap_or_default() }
            }
            _ => bail!("event {} is no {}", row.seq, row.what),
        };
        Ok(Self { seq: row.seq, xact: row.xact, what })
    }

    fn lease_of(&self, job: Uuid) -> Option<i64> {
        match &self.what {
            What::Leased { token, jobs, .. } if jobs.contains(&job) => Some(*token),
            _ => None,
        }
    }
}
