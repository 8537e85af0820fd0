//! Pushes at a steady rate, however long each push takes.

use std::time::{Duration, Instant};

use queue::push_many;
use sqlx::PgConnection;

use super::job::DoNothing;
use super::raw;

/// No more is pushed at once, however far behind the pusher is.
const MAX_BATCH: usize = 1000;
/// Above a hundred jobs a second several go in together: a push of their own would measure pushes.
const MIN_TICK: Duration = Duration::from_millis(10);

/// Whether a push wakes idle workers.
#[derive(Clone, Copy, PartialEq)]
pub enum Wake {
    Notify,
    /// Workers find the jobs by looking, as behind a pooler.
    Nobody,
}

/// Pushes for so long; answers how many that were.
pub async fn push(
    connection: &mut PgConnection,
    rate: u32,
    for_long: Duration,
    wake: Wake,
) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let tick = MIN_TICK.max(Duration::from_secs(1) / rate);
    let mut ticks = tokio::time::interval(tick);
    let mut pushed = 0;
    loop {
        ticks.tick().await;
        let passed = begun.elapsed().min(for_long);
        let due = (passed.as_secs_f64() * f64::from(rate)) as usize;
        let count = (due - pushed).min(MAX_BATCH);
        if count > 0 {
            match wake {
                Wake::Notify => {
                    let jobs = (0..count).map(|_| DoNothing::now());
                    push_many(&mut *connection, jobs).await?;
                }
                Wake::Nobody => raw::insert(&mut *connection, count).await?,
            }
            pushed += count;
        } else if passed == for_long {
            return Ok(pushed);
        }
        // What stays behind at the end was not reached at this rate.
        if begun.elapsed() > 2 * for_long {
            return Ok(pushed);
        }
    }
}
