//! Pushes under faults, and writes down which pushes were answered.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::Instant;

use super::history;
use super::jobs::{Draw, Mix};

/// How a pushing fared.
pub struct Pushed {
    /// Pushes of several jobs that were not answered: their jobs exist, or they do not.
    pub unanswered: u64,
}

pub struct Pushing {
    /// The way with the faults.
    pub options: PgConnectOptions,
    /// The way around them, to see how many jobs are open.
    pub around: PgPool,
    /// So many are to be acknowledged.
    pub jobs: usize,
    /// Spread over this long, unless faults make it longer.
    pub over: Duration,
    pub seed: u32,
    pub mix: Mix,
    /// Behind a longer queue, the time to recovery would be that of waiting in line.
    pub max_open: usize,
    /// The file for the ids of acknowledged jobs, a line each.
    pub acknowledged: PathBuf,
}

const TICK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(200);
/// One push has no more jobs, however far behind it is.
const MAX_BATCH: usize = 200;
const CONNECTIONS: u32 = 2;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Faults are shorter than this; who gets no answer for so long is not told by chance.
const PATIENCE: Duration = Duration::from_secs(120);

/// Goes on until so many jobs are acknowledged. A push without an answer is not repeated: its jobs
/// are nobody's loss if they do not exist, and everybody's if they exist and are not done.
pub async fn push(pushing: Pushing) -> anyhow::Result<Pushed> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_LIMIT)
        .connect_lazy_with(pushing.options);
    let file = OpenOptions::new().append(true).create(true).open(&pushing.acknowledged);
    let mut file = file.context("open the list of acknowledged jobs")?;
    let mut draw = Draw::seeded(pushing.seed, pushing.mix);
    let begun = Instant::now();
    let (mut acknowledged, mut unanswered, mut answered_at) = (0, 0, begun);
    let (mut room, mut looked_at) = (pushing.max_open, begun);
    while acknowledged < pushing.jobs {
        tokio::time::sleep(TICK).await;
        let share = begun.elapsed().div_duration_f64(pushing.over).min(1.0);
        let due = (share * pushing.jobs as f64) as usize;
        if looked_at.elapsed() > LOOK {
            // Without an answer, nobody knows whether there is room.
            let open = history::about_open(&pushing.around).await.unwrap_or(i64::MAX);
            room = pushing.max_open.saturating_sub(usize::try_from(open).unwrap_or(0));
            looked_at = Instant::now();
        }
        let count = due.saturating_sub(acknowledged).min(MAX_BATCH).min(room);
        room -= count;
        let jobs: Vec<_> = (0..count).map(|_| draw.next()).collect();
        match queue::push_many(&pool, jobs).await {
            Ok(pushed) => {
                let lines: String = pushed.iter().map(|job| format!("{}\n", job.id)).collect();
                file.write_all(lines.as_bytes())?;
                acknowledged += count;
                answered_at = Instant::now();
            }
            Err(_) if answered_at.elapsed() < PATIENCE => unanswered += 1,
            Err(error) => bail!("no push has been answered for {PATIENCE:?}: {error}"),
        }
    }
    Ok(Pushed { unanswered })
}
