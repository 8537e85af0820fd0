//! A platform that looks lived in: people, courses, payments, messages, journeys. For `up`, tests and
//! benchmarks; the same plan always makes the same rows.
//!
//! Each area is a file of SQL beside this one that reads what the areas before it made. Chance is a hash of
//! the seed, a label and a number (`demo.chance`), so nothing depends on the order of execution.

#[cfg(test)]
mod tests;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgPool, PgTransaction};

/// In the order in which they build on each other.
const AREAS: [(&str, &str); 6] = [
    ("people", include_str!("demo/people.sql")),
    ("content", include_str!("demo/content.sql")),
    ("billing", include_str!("demo/billing.sql")),
    ("notify", include_str!("demo/notify.sql")),
    ("ai", include_str!("demo/ai.sql")),
    ("analytics", include_str!("demo/analytics.sql")),
];
const TOOLS: &str = include_str!("demo/tools.sql");

pub const MAX_USERS: u32 = 1_000_000;
pub const MAX_MONTHS: u32 = 20;

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub users: u32,
    /// How far back the first of them signed up.
    pub months: u32,
    pub seed: u32,
}

/// What was made: rows by area.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Planted {
    pub areas: Vec<Area>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Area {
    pub name: &'static str,
    pub rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inhabitants {
    Nobody,
    OfADemo,
    Real,
}

/// Makes all of a plan, or nothing. A plan that was carried out before adds nothing.
pub async fn plant(pool: &PgPool, plan: Plan, now: DateTime<Utc>) -> anyhow::Result<Planted> {
    ensure!((1..=MAX_USERS).contains(&plan.users), "a demo has 1 to {MAX_USERS} users");
    ensure!((1..=MAX_MONTHS).contains(&plan.months), "a demo goes 1 to {MAX_MONTHS} months back");
    let mut tx = pool.begin().await?;
    prepare(&mut tx, plan, now).await.context("prepare the demo")?;
    let mut areas = Vec::new();
    for (name, sql) in AREAS {
        let done = sqlx::raw_sql(sql).execute(&mut *tx).await;
        let rows = done.with_context(|| format!("make the demo's {name}"))?.rows_affected();
        areas.push(Area { name, rows });
    }
    sqlx::raw_sql("DROP SCHEMA demo CASCADE").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(Planted { areas })
}

/// Who has a profile here.
pub async fn inhabitants(pool: &PgPool) -> sqlx::Result<Inhabitants> {
    let row = sqlx::query!(
        r#"-- demo.inhabitants
        SELECT EXISTS (SELECT FROM public.profiles) AS "any!",
            EXISTS (SELECT FROM public.profiles WHERE email IS NULL OR email NOT LIKE '%@demo.example') AS "real!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(match (row.any, row.real) {
        (_, true) => Inhabitants::Real,
        (true, false) => Inhabitants::OfADemo,
        (false, false) => Inhabitants::Nobody,
    })
}

/// The plan where SQL finds it, and the tools that it uses. They go at the end of the transaction.
async fn prepare(tx: &mut PgTransaction<'_>, plan: Plan, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::raw_sql(TOOLS).execute(&mut **tx).await?;
    // Not a checked query: the table is there only now.
    sqlx::query("INSERT INTO demo.plan (users, months, seed, now) VALUES ($1, $2, $3, $4)")
        .bind(i64::from(plan.users))
        .bind(i64::from(plan.months))
        .bind(i64::from(plan.seed))
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
