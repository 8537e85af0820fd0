//! `beadle doctor`: checks everything this needs, and says how to mend it.

use std::process::Stdio;

use anyhow::bail;
use context::db::MigrationState;
use context::{Clock, Context, Mailer, Settings, Storage, db};
use serde::Serialize;
use sqlx::PgPool;

use crate::output::{Output, table};
use crate::process;

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found; for anything but `Ok`, also how to mend it.
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// Some jobs will fail; the rest works.
    Warning,
    Failed,
}

/// Fails when something indispensable is missing.
pub async fn examine(output: Output) -> anyhow::Result<()> {
    let findings = findings().await;
    output.show(&findings, |findings| {
        let row = |finding: &Finding| {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "WARNING",
                Verdict::Failed => "FAILED",
            };
            [finding.check.into(), verdict.into(), finding.detail.clone()]
        };
        table(["CHECK", "VERDICT", "DETAIL"], &findings.iter().map(row).collect::<Vec<_>>())
    })?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        failed => bail!("{failed} checks failed"),
    }
}

async fn findings() -> Vec<Finding> {
    let settings = match process::settings() {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::failed("settings", format!("{error:#}"))],
    };
    let mut findings = vec![Finding::ok("settings", environment())];
    findings.push(ffmpeg().await);
    findings.push(storage(&settings).await);
    findings.push(mail(&settings).await);
    match db::connect(&settings.database).await {
        Ok(pool) => findings.extend([
            version(&pool).await,
            vector(&pool).await,
            migrations(&pool).await,
            skew(&pool).await,
        ]),
        Err(error) => findings.push(Finding::failed("database", format!("{error:#}"))),
    }
    // What a process starts with, as a whole.
    if let Ok(cx) = Context::connect(settings).await {
        findings.push(queues(&cx));
    }
    findings
}

fn environment() -> String {
    match std::env::var("BEADLE_ENV") {
        Ok(name) if !name.is_empty() => format!("defaults, then {name}, then variables"),
        _ => "defaults, then variables".into(),
    }
}

async fn ffmpeg() -> Finding {
    let run = tokio::process::Command::new("ffmpeg")
        .arg("-version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(std::time::Duration::from_secs(5), run).await {
        Ok(Ok(out)) if out.status.success() => {
            let text = String::from_utf8_lossy(&out.stdout);
            let version = text.split_whitespace().nth(2).unwrap_or("of unknown version").to_owned();
            Finding::ok("ffmpeg", version)
        }
        Ok(Ok(out)) => {
            Finding::warning("ffmpeg", format!("it ends with {}; install it again", out.status))
        }
        Ok(Err(error)) => Finding::warning(
            "ffmpeg",
            format!("{error}; install it, on Debian: apt-get install ffmpeg"),
        ),
        Err(_) => {
            Finding::warning("ffmpeg", "it does not answer within 5 s; install it again".into())
        }
    }
}

const OLDEST_POSTGRES: i32 = 160_000;

async fn version(pool: &PgPool) -> Finding {
    let version: sqlx::Result<(i32, String)> = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(pool)
    .await;
    match version {
        Ok((number, name)) if number >= OLDEST_POSTGRES => {
            Finding::ok("database", format!("Postgres {name}"))
        }
        Ok((_, name)) => {
            Finding::failed("database", format!("Postgres {name}; 16 or newer is needed"))
        }
        Err(error) => Finding::failed("database", error.to_string()),
    }
}

async fn vector(pool: &PgPool) -> Finding {
    let version: sqlx::Result<Option<String>> = sqlx::query_scalar(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'",
    )
    .fetch_optional(pool)
    .await;
    match version {
        Ok(Some(version)) => Finding::ok("extension vector", version),
        Ok(None) => Finding::warning(
            "extension vector",
            "not available; install pgvector beside Postgres, on Debian: apt-get install postgresql-18-pgvector".into(),
        ),
        Err(error) => Finding::failed("extension vector", error.to_string()),
    }
}

async fn migrations(pool: &PgPool) -> Finding {
    match db::migrations(pool).await {
        Ok(MigrationState::Current) => {
            Finding::ok("migrations", MigrationState::Current.to_string())
        }
        Ok(state) => Finding::failed("migrations", state.to_string()),
        Err(error) => Finding::failed("migrations", format!("{error:#}")),
    }
}

/// Leases are measured by the database's clock alone; schedules and signed links are not.
const MAX_SKEW_SECONDS: f64 = 2.0;

async fn skew(pool: &PgPool) -> Finding {
    let clock = Clock::system();
    let before = clock.now();
    let there: sqlx::Result<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await;
    let here = before + (clock.now() - before) / 2;
    match there {
        Ok(there) => {
            let seconds = (here - there).as_seconds_f64();
            let detail = format!("this clock is {seconds:+.3} s off the database's");
            if seconds.abs() <= MAX_SKEW_SECONDS {
                Finding::ok("clock", detail)
            } else {
                Finding::warning("clock", format!("{detail}; set both by NTP"))
            }
        }
        Err(error) => Finding::failed("clock", error.to_string()),
    }
}

async fn storage(settings: &Settings) -> Finding {
    let checked = async { Storage::new(&settings.storage)?.check().await };
    match checked.await {
        Ok(()) => Finding::ok("object store", format!("bucket {}", settings.storage.bucket)),
        Err(error) => Finding::warning("object store", format!("{error:#}")),
    }
}

async fn mail(settings: &Settings) -> Finding {
    let checked = async { Mailer::new(&settings.mail)?.check().await };
    match checked.await {
        Ok(()) => {
            let transport = format!("{:?} transport", settings.mail.transport).to_lowercase();
            Finding::ok("mail", transport)
        }
        Err(error) => Finding::warning("mail", format!("{error:#}")),
    }
}

/// The settings may name queues; only the list of workers knows which there are.
fn queues(cx: &Context) -> Finding {
    match workers::options(&cx.settings, &workers::fleet(cx).kinds(), &[], None) {
        Ok(options) => {
            let pools =
                options.pools.iter().map(|pool| format!("{} x{}", pool.queue, pool.concurrency));
            Finding::ok("queues", pools.collect::<Vec<_>>().join(", "))
        }
        Err(error) => Finding::failed("queues", format!("{error:#}; correct the settings")),
    }
}

impl Finding {
    fn ok(check: &'static str, detail: String) -> Self {
        Self { check, verdict: Verdict::Ok, detail }
    }

    fn warning(check: &'static str, detail: String) -> Self {
        Self { check, verdict: Verdict::Warning, detail }
    }

    fn failed(check: &'static str, detail: String) -> Self {
        Self { check, verdict: Verdict::Failed, detail }
    }
}
