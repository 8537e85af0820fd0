//! What handlers wrote down about themselves: a file for each worker process, which nobody but that
//! process appends to. It tells how long a killed worker's jobs waited for another worker.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use crate::bench::histogram::Histogram;

/// The file of this process.
#[derive(Clone)]
pub struct Journal(Arc<File>);

/// A handler at work. Dropped when it returns, panics or is aborted; a killed process drops nothing.
pub struct Entry {
    journal: Journal,
    job: Uuid,
    attempt: i16,
}

impl Journal {
    pub fn append_to(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(Arc::new(file.with_context(|| format!("open {}", path.display()))?)))
    }

    /// Notes that a handler starts.
    pub fn enter(&self, job: Uuid, attempt: i16) -> std::io::Result<Entry> {
        self.note("start", job, attempt)?;
        Ok(Entry { journal: self.clone(), job, attempt })
    }

    fn note(&self, what: &str, job: Uuid, attempt: i16) -> std::io::Result<()> {
        // In one write, so that a line is there or is not.
        let line = format!("{what} {job} {attempt} {}\n", now().as_nanos());
        (&*self.0).write_all(line.as_bytes())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Err(error) = self.journal.note("end", self.job, self.attempt) {
            tracing::error!(%error, "the end of a handler could not be noted");
        }
    }
}

/// On the clock that all processes of this machine share and nobody sets.
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The end of a worker process that did not see it come.
#[derive(Clone, Copy)]
pub struct Kill {
    /// Which process.
    pub process: usize,
    pub at: Duration,
}

pub fn path(directory: &Path, process: usize) -> PathBuf {
    directory.join(format!("journal-{process}"))
}

/// From each kill to the start, in another process, of each job that was running. A job whose last
/// act was to end in the database does not start again, and is left out.
pub fn recoveries(directory: &Path, processes: usize, kills: &[Kill]) -> anyhow::Result<Histogram> {
    let journals = (0..processes).map(|process| read(&path(directory, process)));
    let journals = journals.collect::<anyhow::Result<Vec<_>>>()?;
    let mut starts = HashMap::<Uuid, Vec<(Duration, usize)>>::new();
    for (process, lines) in journals.iter().enumerate() {
        for line in lines.iter().filter(|line| line.starts) {
            starts.entry(line.job).or_default().push((line.at, process));
        }
    }
    let mut recoveries = Histogram::default();
    for kill in kills {
        for job in running(&journals[kill.process]) {
            let later = starts[&job].iter().filter(|(at, by)| *at > kill.at && *by != kill.process);
            if let Some((at, _)) = later.min() {
                recoveries.add(*at - kill.at);
            }
        }
    }
    Ok(recoveries)
}

struct Line {
    starts: bool,
    job: Uuid,
    at: Duration,
}

/// A process that was killed early has no journal yet.
fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    match fs::read_to_string(path) {
        Ok(text) => text
            .lines()
            .map(|line| parse(line).with_context(|| format!("{line:?} in {}", path.display())))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let starts = words.next()? == "start";
    let job = words.next()?.parse().ok()?;
    let at = Duration::from_nanos(words.nth(1)?.parse().ok()?);
    Some(Line { starts, job, at })
}

/// Jobs whose last line is a start.
fn running(lines: &[Line]) -> HashSet<Uuid> {
    let mut running = HashSet::new();
    for line in lines {
        match line.starts {
            true => running.insert(line.job),
            false => running.remove(&line.job),
        };
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_the_first_start_elsewhere_of_a_job_that_was_running() {
        let directory = tempfile::tempdir().unwrap();
        let ms = |ms: u64| Duration::from_millis(ms).as_nanos();
        let (a, b, c) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        // At 100 ms `a` runs, `b` has ended and `c` runs but has ended in the database. The signal
        // takes a moment to arrive, in which `a` starts once more.
        let killed = format!(
            "start {a} 1 {}\nstart {b} 1 {}\nend {b} 1 {}\nstart {c} 1 {}\nstart {a} 2 {}\n",
            ms(50),
            ms(60),
            ms(70),
            ms(80),
            ms(101)
        );
        // A start before the kill is no recovery from it.
        let other = format!(
            "start {a} 1 {}\nend {a} 1 {}\nstart {b} 2 {}\nstart {a} 2 {}\nstart {a} 3 {}\n",
            ms(10),
            ms(20),
            ms(150),
            ms(2100),
            ms(9000)
        );
        fs::write(path(directory.path(), 0), killed).unwrap();
        fs::write(path(directory.path(), 1), other).unwrap();
        let kills = [Kill { process: 0, at: Duration::from_millis(100) }];
        // The third process has not lived to write anything.
        let found = recoveries(directory.path(), 3, &kills).unwrap();
        assert_eq!(found.count(), 1);
        let ms = found.quantile_ms(1.0).unwrap();
        assert!((1990.0..2050.0).contains(&ms), "{ms}");
    }

    #[test]
    fn a_handler_that_panics_has_ended_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path(), 0);
        let journal = Journal::append_to(&path).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _entry = journal.enter(Uuid::from_u128(1), 1).unwrap();
            panic!("planned");
        }));
        assert!(panicked.is_err());
        let open = journal.enter(Uuid::from_u128(2), 1).unwrap();
        assert_eq!(running(&read(&path).unwrap()), HashSet::from([Uuid::from_u128(2)]));
        drop(open);
    }
}
