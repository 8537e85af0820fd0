//! What runs have said: progress, log lines, kept steps and costs.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Error;

/// How far a job is, as its latest run said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// From 0 to 100.
    pub percent: i16,
    pub note: String,
    pub attempt: i16,
    pub said_at: DateTime<Utc>,
}

/// One line of a job's log.
#[derive(Clone, Debug, Serialize)]
pub struct LogLine {
    pub attempt: i16,
    /// From 1 in each run.
    pub line: i32,
    /// debug, info, warn or error.
    pub level: String,
    pub message: String,
    pub said_at: DateTime<Utc>,
}

/// A result that a job keeps.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    pub name: String,
    pub attempt: i16,
    pub result: Value,
    pub stored_at: DateTime<Utc>,
}

/// What all runs of a job spent on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CostView {
    pub name: String,
    pub quantity: i64,
    /// Millionths of the currency.
    pub amount_micro: i64,
    pub currency: String,
}

/// What the jobs of a kind spent on one thing in a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spending {
    /// By UTC.
    pub spent_on: NaiveDate,
    pub kind: String,
    pub name: String,
    pub quantity: i64,
    /// Millionths of the currency.
    pub amount_micro: i64,
    pub currency: String,
}

/// Steps of one job that are shown.
const MAX_STEPS: i64 = 200;

/// The latest lines of a job's log, oldest first.
pub async fn logs(
    executor: impl PgExecutor<'_>,
    job: Uuid,
    limit: u16,
) -> Result<Vec<LogLine>, Error> {
    let mut lines = sqlx::query_as!(
        LogLine,
        "-- queue.logs
        SELECT attempt, line, level, message, said_at
        FROM queue.logs
        WHERE job = $1
        ORDER BY token DESC, line DESC
        LIMIT $2",
        job,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    lines.reverse();
    Ok(lines)
}

/// The steps whose results a job keeps, oldest first.
pub async fn steps(executor: impl PgExecutor<'_>, job: Uuid) -> Result<Vec<StepView>, Error> {
    let steps = sqlx::query_as!(
        StepView,
        r#"-- queue.steps
        SELECT name, attempt, result AS "result!: Value", stored_at
        FROM queue.steps
        WHERE job = $1
        ORDER BY stored_at, name
        LIMIT $2"#,
        job,
        MAX_STEPS,
    )
    .fetch_all(executor)
    .await?;
    Ok(steps)
}

/// What a job has spent, by name and currency.
pub async fn costs(executor: impl PgExecutor<'_>, job: Uuid) -> Result<Vec<CostView>, Error> {
    let costs = sqlx::query_as!(
        CostView,
        r#"-- queue.costs
        SELECT
            name, currency,
            sum(quantity)::bigint AS "quantity!", sum(amount_micro)::bigint AS "amount_micro!"
        FROM queue.costs
        WHERE job = $1
        GROUP BY name, currency
        ORDER BY name, currency"#,
        job
    )
    .fetch_all(executor)
    .await?;
    Ok(costs)
}

/// What was spent from one time until another, by day, kind, name and currency.
pub async fn spending(
    executor: impl PgExecutor<'_>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Spending>, Error> {
    let spending = sqlx::query_as!(
        Spending,
        r#"-- queue.spending
        SELECT
            (spent_at AT TIME ZONE 'UTC')::date AS "spent_on!", kind, name, currency,
            sum(quantity)::bigint AS "quantity!", sum(amount_micro)::bigint AS "amount_micro!"
        FROM queue.costs
        WHERE spent_at >= $1 AND spent_at < $2
        GROUP BY 1, kind, name, currency
        ORDER BY 1, kind, name, currency"#,
        from,
        until,
    )
    .fetch_all(executor)
    .await?;
    Ok(spending)
}
