//! Claims and ends by hand: what a worker does, one statement at a time.

use std::time::Duration;

use queue::{Push, push_many};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Script, named};

const FINISH: &str = include_str!("../../../sql/finish.sql");

/// A job that was claimed by hand.
#[derive(Clone, Debug)]
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
    let took: Value = sqlx::query_scalar(
        "SELECT jsonb_build_object(
            'turn', turn, 'exhausted', exhausted,
            'wait', CASE WHEN wait_seconds < 'infinity' THEN wait_seconds END,
            'token', token, 'jobs', (
                SELECT jsonb_agg(jsonb_build_object(
                    'job', u.job, 'attempt', u.attempt, 'max_attempts', u.max_attempts, 'priority', j.priority,
                    'key', j.key, 'tenant', u.tenant, 'name', j.args ->> 'name'
                ) ORDER BY u.nth)
                FROM unnest(jobs, attempts, max_attempts, tenants)
                    WITH ORDINALITY AS u(job, attempt, max_attempts, tenant, nth)
                JOIN queue.jobs j ON j.id = u.job
            ))
        FROM queue.take($1::timestamptz, 'theatre', $2, $2, 0, 10, '{-32768}', '{0}', '{32767}', false)",
    )
    .bind(at)
    .bind(free)
    .fetch_one(db)
    .await
    .unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let small = |value: &Value| i16::try_from(value.as_i64().unwrap()).unwrap();
    let claimed = |job: &Value| Claimed {
        token: took["token"].as_i64().unwrap(),
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
        jobs: took["jobs"].as_array().into_iter().flatten().map(claimed).collect(),
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
    let (outcome, again) = match end {
        End::Done => ("done", None),
        End::Failed(wait) => ("failed", Some(wait)),
        End::Released => ("released", Some(Duration::ZERO)),
        End::Dead => ("dead", None),
    };
    let note = matches!(end, End::Failed(_) | End::Dead).then_some("out of order");
    let (jobs, tokens) = (vec![claimed.job], vec![claimed.token]);
    let (no_jobs, no_tokens, no_texts) =
        (Vec::<Uuid>::new(), Vec::<i64>::new(), Vec::<&str>::new());
    let key = claimed.key.as_deref();
    let few = |holds: bool| match holds {
        true => (jobs.clone(), tokens.clone()),
        false => (no_jobs.clone(), no_tokens.clone()),
    };
    let (again_jobs, again_tokens) = few(again.is_some());
    let (passing_jobs, passing_tokens) = few(again.is_none() && key.is_some());
    let (buried_jobs, buried_tokens) = few(end == End::Dead);
    let when = |holds: bool, text: &'static str| if holds { vec![text] } else { vec![] };
    let keys_of = |holds: bool| if holds { vec![key.unwrap_or_default()] } else { vec![] };
    let attempt = claimed.attempt + i16::from(matches!(end, End::Failed(_)));
    let recorded = sqlx::query(FINISH)
        .bind(at.map(|at| at.parse::<chrono::DateTime<chrono::Utc>>().unwrap()))
        .bind(&tokens)
        .bind(&jobs)
        .bind(vec![claimed.attempt])
        .bind(vec![outcome])
        .bind(vec![note])
        .bind(vec![0.0])
        .bind(&no_tokens)
        .bind(false)
        .bind(&again_jobs)
        .bind(&again_tokens)
        .bind(when(again.is_some(), "theatre"))
        .bind(if again.is_some() { vec![claimed.priority] } else { vec![] })
        .bind(if again.is_some() { vec![attempt] } else { vec![] })
        .bind(if again.is_some() { vec![claimed.max_attempts] } else { vec![] })
        .bind(again.map(|wait| wait.as_secs_f64()).into_iter().collect::<Vec<_>>())
        .bind(&no_jobs)
        .bind(&no_tokens)
        .bind(&no_jobs)
        .bind(&no_tokens)
        .bind(&buried_jobs)
        .bind(&buried_tokens)
        .bind(when(end == End::Dead, "theatre.act"))
        .bind(when(end == End::Dead, "theatre"))
        .bind(when(end == End::Dead, "exhausted"))
        .bind(when(end == End::Dead, "out of order"))
        .bind(&no_jobs)
        .bind(&no_tokens)
        .bind(Vec::<Value>::new())
        .bind(keys_of(again.is_some()))
        .bind(if again.is_some() { vec![claimed.tenant.as_str()] } else { vec![] })
        .bind(&passing_jobs)
        .bind(&passing_tokens)
        .bind(when(!passing_jobs.is_empty(), "theatre"))
        .bind(if passing_jobs.is_empty() { no_texts } else { keys_of(true) })
        .fetch_all(db)
        .await
        .unwrap();
    !recorded.is_empty()
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
