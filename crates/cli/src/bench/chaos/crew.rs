//! Worker processes that are killed and stopped at will, and replaced.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use context::{Settings, db, telemetry};
use queue::{Pool, WorkOptions};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::jobs::{Desk, QUEUE, fleet};
use super::journal::{self, Journal, Kill};
use crate::bench::{patiently, worker};

pub const HANDLERS: usize = 32;
/// A lease lasts so many looks for what has expired, as by default.
const LOOKS: u32 = 10;

#[derive(clap::Args)]
pub struct Args {
    /// Where handlers write down what they do
    #[arg(long)]
    journal: PathBuf,
    #[arg(long)]
    lease_seconds: u64,
}

/// What a process of the crew does: works until stdin ends.
pub async fn work(args: Args) -> anyhow::Result<()> {
    // A stopped process would not notice that its input has ended.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let settings = Settings::load()?;
    let _telemetry = telemetry::init(&settings.telemetry)?;
    let pool = db::connect(&settings.database).await?;
    let fleet = fleet(Desk { pool, journal: Journal::append_to(&args.journal)? });
    let pools = vec![Pool { queue: QUEUE.to_owned(), concurrency: HANDLERS }];
    let lease = Duration::from_secs(args.lease_seconds);
    let options = WorkOptions { lease, poll: lease / LOOKS, ..WorkOptions::new(pools) };
    let over = worker::end_of_input();
    let mut working = fleet.start(options);
    tokio::select! {
        () = over.cancelled() => {}
        broken = working.broken() => anyhow::bail!(broken),
    }
    Ok(working.stop().await?)
}

/// Dropped, all are killed.
pub struct Crew {
    database_url: String,
    directory: PathBuf,
    lease_seconds: u64,
    members: Vec<Member>,
    /// Processes so far, which are numbered from 0.
    pub started: usize,
    pub kills: Vec<Kill>,
    pub stops: u64,
    /// Those that ended without being killed: with Postgres away at their start, for example.
    pub ended_alone: u64,
}

struct Member {
    process: usize,
    child: Child,
    stopped_until: Option<Instant>,
}

impl Crew {
    /// Journals and logs are files in `directory`.
    pub fn start(
        database_url: String,
        directory: &Path,
        size: usize,
        lease_seconds: u64,
    ) -> anyhow::Result<Self> {
        let mut crew = Self {
            database_url,
            directory: directory.to_owned(),
            lease_seconds,
            members: Vec::new(),
            started: 0,
            kills: Vec::new(),
            stops: 0,
            ended_alone: 0,
        };
        for _ in 0..size {
            let member = crew.member()?;
            crew.members.push(member);
        }
        Ok(crew)
    }

    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// SIGKILL, and a new process in its place.
    pub async fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let new = self.member()?;
        let mut old = std::mem::replace(&mut self.members[index], new);
        if old.child.try_wait()?.is_some() {
            self.ended_alone += 1;
            return Ok(());
        }
        old.child.start_kill()?;
        self.kills.push(Kill { process: old.process, at: journal::now() });
        old.child.wait().await?;
        Ok(())
    }

    /// SIGSTOP for so long, unless it is stopped already.
    pub fn stop(&mut self, index: usize, long: Duration) {
        let member = &mut self.members[index];
        if member.stopped_until.is_none() && member.signal(Signal::STOP) {
            member.stopped_until = Some(Instant::now() + long);
            self.stops += 1;
        }
    }

    /// Lets those go on whose time has come, and replaces those that have ended.
    pub fn look_after(&mut self) -> anyhow::Result<()> {
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.stopped_until.is_some_and(|until| until <= Instant::now()) {
                member.go_on();
            }
            if member.child.try_wait()?.is_some() {
                self.ended_alone += 1;
                self.members[index] = self.member()?;
            }
        }
        Ok(())
    }

    pub fn let_all_go_on(&mut self) {
        self.members.iter_mut().for_each(Member::go_on);
    }

    /// Ends them in order.
    pub async fn dismiss(&mut self) -> anyhow::Result<()> {
        for mut member in self.members.drain(..) {
            drop(member.child.stdin.take());
            let end = async { Ok(member.child.wait().await?) };
            let status = patiently("a worker's end", end).await?;
            ensure!(status.success(), "worker {} ended with {status}", member.process);
        }
        Ok(())
    }

    fn member(&mut self) -> anyhow::Result<Member> {
        let process = self.started;
        let log = File::create(self.directory.join(format!("log-{process}")))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["bench", "chaos-worker", "--journal"])
            .arg(journal::path(&self.directory, process))
            .args(["--lease-seconds", &self.lease_seconds.to_string()])
            .env("DATABASE_URL", &self.database_url)
            .env_remove("BEADLE__DATABASE__URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start a worker")?;
        self.started += 1;
        Ok(Member { process, child, stopped_until: None })
    }
}

impl Member {
    /// Whether there is still a process that takes it.
    fn signal(&self, signal: Signal) -> bool {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    fn go_on(&mut self) {
        if self.stopped_until.take().is_some() {
            self.signal(Signal::CONT);
        }
    }
}
