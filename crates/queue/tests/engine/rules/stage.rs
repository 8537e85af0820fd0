//! Claims and ends by hand: what a worker does, one statement at a time.

use std::time::Duration;

use queue::{Push, push_many};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Script, named};

const FINISH: &str = include_str!("../../../sql/finish.sql");

/// A job that was claimed by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub token: i64,
    pub job: Uuid,
    pub name: String,
    pub key: Option<String>,
    pub tenant: String,
    pub priority: i16,
    pub attempt: i16,
    pub max_attempts: i16,
}

/// What a claim by hand has brought.
#[derive(Debug)]
pub struct Take {
    pub turn: String,
    pub exhausted: bool,
    pub wait_seconds: Option<f64>,
    pub jobs: Vec<Claimed>,
}

impl Take {
    pub fn names(&self) -> Vec<&str> {
        self.jobs.iter().map(|job| job.name.as_str()).collect()
    }
}

pub async fn take(db: &PgPool, free: i32) -> Take {
    take_at(db, None, free).await
}

/// As of a worker with room for so many jobs, that knows nothing of the queue.
pub async fn take_at(db: &PgPool, at: Option<&str>, free: i32) -> Take {
    let mut rows: Vec<Value> = sqlx::query_scalar(
        "SELECT jsonb_build_object(
            'turn', t.turn, 'exhausted', t.exhausted,
            'wait', CASE WHEN t.wait_seconds < 'infinity' THEN t.wait_seconds END,
            'token', t.token, 'job', t.id, 'attempt', t.attempt, 'max_attempts', t.max_attempts,
            'priority', j.priority, 'key', t.key, 'tenant', t.tenant, 'name', t.args ->> 'name'
        )
        FROM queue.take(
            $1::timestamptz, 'theatre', $2, $2, 0, 10, '{-32768}', '{0}', '{32767}', false, false
        ) WITH ORDINALITY t
        LEFT JOIN queue.jobs j ON j.id = t.id
        ORDER BY t.ordinality",
    )
    .bind(at)
    .bind(free)
    .fetch_all(db)
    .await
    .unwrap();
    let took = rows.pop().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let small = |value: &Value| i16::try_from(value.as_i64().unwrap()).unwrap();
    let claimed = |job: &Value| Claimed {
        token: job["token"].as_i64().unwrap(),
        job: job["job"].as_str().unwrap().parse().unwrap(),
        name: text(&job["name"]).unwrap(),
        key: text(&job["key"]),
        tenant: text(&job["tenant"]).unwrap(),
        priority: small(&job["priority"]),
        attempt: small(&job["attempt"]),
        max_attempts: small(&job["max_attempts"]),
    };
    Take {
        turn: text(&took["turn"]).unwrap(),
        exhausted: took["exhausted"].as_bool().unwrap_or_default(),
        wait_seconds: took["wait"].as_f64(),
        jobs: rows.iter().map(claimed).collect(),
    }
}

/// How an attempt ends by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Done,
    /// Again after this long.
    Failed(Duration),
    Released,
    Dead,
}

/// Ends one attempt as a worker would; says whether its lease was still there.
pub async fn end(db: &PgPool, at: Option<&str>, claimed: &Claimed, end: End) -> bool {
    end_all(db, at, &[(claimed.clone(), end)]).await == 1
}

/// Ends attempts in one statement; answers how many leases of them were still there.
pub async fn end_all(db: &PgPool, at: Option<&str>, ended: &[(Claimed, End)]) -> usize {
    let all: Vec<_> = ended.iter().collect();
    let again: Vec<_> = ended.iter().filter(|(_, end)| end.again().is_some()).collect();
    let keyed = |(job, end): &&(Claimed, End)| end.again().is_none() && job.key.is_some();
    let passing: Vec<_> = ended.iter().filter(keyed).collect();
    let buried: Vec<_> = ended.iter().filter(|(_, end)| *end == End::Dead).collect();
    let none = Vec::new();
    sqlx::query(FINISH)
        .bind(at.map(|at| at.parse::<chrono::DateTime<chrono::Utc>>().unwrap()))
        .bind(tokens(&all))
        .bind(jobs(&all))
        .bind(each(&all, |job, _| job.attempt))
        .bind(each(&all, |_, end| end.outcome()))
        .bind(each(&all, |_, end| end.note()))
        .bind(each(&all, |_, _| 0.0))
        .bind(tokens(&none))
        .bind(false)
        .bind(jobs(&again))
        .bind(tokens(&again))
        .bind(each(&again, |_, _| QUEUE))
        .bind(each(&again, |job, _| job.priority))
        .bind(each(&again, |job, end| job.attempt + i16::from(end.outcome() == "failed")))
        .bind(each(&again, |job, _| job.max_attempts))
        .bind(each(&again, |_, end| end.again().unwrap_or_default().as_secs_f64()))
        .bind(jobs(&none))
        .bind(tokens(&none))
        .bind(jobs(&none))
        .bind(tokens(&none))
        .bind(jobs(&buried))
        .bind(tokens(&buried))
        .bind(each(&buried, |_, _| "theatre.act"))
        .bind(each(&buried, |_, _| QUEUE))
        .bind(each(&buried, |_, _| "exhausted"))
        .bind(each(&buried, |_, _| "out of order"))
        .bind(jobs(&none))
        .bind(tokens(&none))
        .bind(Vec::<Value>::new())
        .bind(each(&again, |job, _| job.key.clone().unwrap_or_default()))
        .bind(each(&again, |job, _| job.tenant.clone()))
        .bind(jobs(&passing))
        .bind(tokens(&passing))
        .bind(each(&passing, |job, _| job.key.clone().unwrap_or_default()))
        // Members of workflows.
        .bind(jobs(&none))
        .fetch_all(db)
        .await
        .unwrap()
        .len()
}

const QUEUE: &str = "theatre";

type Ended<'a> = Vec<&'a (Claimed, End)>;

fn each<T>(ended: &Ended<'_>, get: impl Fn(&Claimed, &End) -> T) -> Vec<T> {
    ended.iter().map(|(job, end)| get(job, end)).collect()
}

fn jobs(ended: &Ended<'_>) -> Vec<Uuid> {
    each(ended, |job, _| job.job)
}

fn tokens(ended: &Ended<'_>) -> Vec<i64> {
    each(ended, |job, _| job.token)
}

impl End {
    fn outcome(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Released => "released",
            Self::Dead => "dead",
        }
    }

    fn note(self) -> Option<&'static str> {
        matches!(self, Self::Failed(_) | Self::Dead).then_some("out of order")
    }

    fn again(self) -> Option<Duration> {
        match self {
            Self::Failed(wait) => Some(wait),
            Self::Released => Some(Duration::ZERO),
            Self::Done | Self::Dead => None,
        }
    }
}

pub fn job(name: &str) -> Push {
    Push::of(named(name, Script::Succeed))
}

pub fn keyed(name: &str, key: &str) -> Push {
    job(name).key(key)
}

/// Pushes in order; answers their ids.
pub async fn push(db: &PgPool, jobs: impl IntoIterator<Item = Push>) -> Vec<Uuid> {
    push_many(db, jobs).await.unwrap().into_iter().map(|pushed| pushed.id).collect()
}

pub async fn set(db: &PgPool, rules: Value) {
    sqlx::query("SELECT queue.set_rules('theatre', $1)").bind(rules).execute(db).await.unwrap();
}

pub async fn waiting(db: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM queue.waiting").fetch_one(db).await.unwrap()
}
