//! What a measurement uses: write-ahead log, processor time of the server, memory of workers.

use std::fs;
use std::time::Duration;

use sqlx::PgPool;

/// The server's counters at one moment.
pub struct Usage {
    wal_bytes: i64,
    /// None when the server runs on another machine.
    cpu: Option<Duration>,
}

impl Usage {
    pub async fn now(pool: &PgPool) -> anyhow::Result<Self> {
        let now = "-- bench.usage
            SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint, pg_backend_pid()";
        let (wal_bytes, backend): (i64, i32) = sqlx::query_as(now).fetch_one(pool).await?;
        Ok(Self { wal_bytes, cpu: server_of(backend).map(cpu_of) })
    }

    pub fn wal_bytes_since(&self, earlier: &Usage) -> f64 {
        (self.wal_bytes - earlier.wal_bytes) as f64
    }

    pub fn cpu_since(&self, earlier: &Usage) -> Option<Duration> {
        Some(self.cpu?.saturating_sub(earlier.cpu?))
    }
}

/// The most memory that process `pid` has held, in megabytes.
pub fn peak_rss_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = peak.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// The processor time that process `pid` has used.
pub fn cpu(pid: u32) -> Option<Duration> {
    let process = Process::read(i32::try_from(pid).ok()?)?;
    Some(Duration::from_millis(process.ticks * MILLIS_PER_TICK))
}

/// The server's first process, when `backend` is a Postgres of this machine.
fn server_of(backend: i32) -> Option<i32> {
    let process = Process::read(backend)?;
    (process.name == "postgres").then_some(process.parent)
}

/// Of the server, its children, and the children that have ended.
fn cpu_of(server: i32) -> Duration {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes = pids.filter_map(Process::read);
    let ticks = processes.filter_map(|process| {
        let own = process.ticks;
        if process.pid == server {
            Some(own + process.ticks_of_ended_children)
        } else {
            (process.parent == server).then_some(own)
        }
    });
    Duration::from_millis(ticks.sum::<u64>() * MILLIS_PER_TICK)
}

/// Linux shows processor time in hundredths of a second, whatever its own clock is.
const MILLIS_PER_TICK: u64 = 10;

struct Process {
    pid: i32,
    name: String,
    parent: i32,
    ticks: u64,
    ticks_of_ended_children: u64,
}

impl Process {
    /// None: it has ended since it was listed.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may itself hold spaces and parentheses.
        let (head, rest) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<_> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid,
            name,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
            ticks_of_ended_children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_parent_and_memory() {
        let this = Process::read(std::process::id() as i32).unwrap();
        assert_eq!(this.parent as u32, std::os::unix::process::parent_id());
        assert!(peak_rss_mb(std::process::id()).unwrap() > 1.0);
    }
}
