//! Worker processes of a measurement: the same binary, told what to do over stdin.
//!
//! A worker prints a line when it is ready, starts at the first line it reads, prints what it has
//! started every tenth of a second, and ends when stdin does.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use context::{Settings, db, telemetry};
use queue::{Pool, WorkOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::histogram::Histogram;
use super::job::{QUEUE, Starts, fleet};
use super::pace::Wake;
use super::{patiently, usage};

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    handlers: usize,
    #[arg(long)]
    pooled: bool,
}

const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Works until stdin ends. Logs and metrics are set up as in production, and so is their price.
pub async fn work(args: Args) -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let _telemetry = telemetry::init(&settings.telemetry)?;
    let pool = db::connect(&settings.database).await?;
    let starts = Starts::default();
    let fleet = fleet(pool, starts.clone());
    let pools = vec![Pool { queue: QUEUE.to_owned(), concurrency: args.handlers }];
    let options = WorkOptions { pooled: args.pooled, ..WorkOptions::new(pools) };

    report(&Histogram::default())?;
    ensure!(std::io::stdin().read_line(&mut String::new())? > 0, "nobody said when to start");
    let over = end_of_input();
    let mut working = fleet.start(options);
    let mut ticks = interval(REPORT_EVERY);
    loop {
        tokio::select! {
            () = over.cancelled() => break,
            _ = ticks.tick() => report(&starts.take())?,
            broken = working.broken() => bail!(broken),
        }
    }
    working.stop().await?;
    report(&starts.take())
}

/// Cancelled when stdin ends, and so also when the measuring process has died.
pub fn end_of_input() -> CancellationToken {
    let over = CancellationToken::new();
    let ended = over.clone();
    std::thread::spawn(move || {
        // An input that cannot be read has ended as well.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.cancel();
    });
    over
}

fn report(starts: &Histogram) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(starts)?)?;
    Ok(out.flush()?)
}

/// Workers at work, and what they have started so far. Dropped, they are killed.
pub struct Workers {
    children: Vec<Working>,
    starts: Arc<Mutex<Histogram>>,
}

struct Working {
    child: Child,
    stdin: ChildStdin,
    reader: JoinHandle<anyhow::Result<()>>,
}

impl Workers {
    /// Starts processes that are ready to begin.
    pub async fn ready(
        database: &Database,
        processes: usize,
        handlers: usize,
        wake: Wake,
    ) -> anyhow::Result<Self> {
        let starts = Arc::<Mutex<Histogram>>::default();
        let mut children = Vec::new();
        for _ in 0..processes {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["bench", "worker", "--handlers", &handlers.to_string()])
                .args((wake == Wake::Nobody).then_some("--pooled"))
                .env("DATABASE_URL", database.url())
                .env_remove("BEADLE__DATABASE__URL")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("start a worker")?;
            let stdin = child.stdin.take().context("a worker without stdin")?;
            let stdout = child.stdout.take().context("a worker without stdout")?;
            let mut lines = BufReader::new(stdout).lines();
            lines.next_line().await?.context("a worker ended before it was ready")?;
            let reader = tokio::spawn(read(lines, starts.clone()));
            children.push(Working { child, stdin, reader });
        }
        Ok(Self { children, starts })
    }

    pub async fn begin(&mut self) -> anyhow::Result<()> {
        for worker in &mut self.children {
            worker.stdin.write_all(b"begin\n").await.context("tell a worker to begin")?;
        }
        Ok(())
    }

    /// How long the jobs that have started so far had waited.
    pub fn starts(&self) -> Histogram {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many handlers have run in all.
    pub async fn until_started(&self, jobs: usize) -> anyhow::Result<()> {
        while (self.starts().count() as usize) < jobs {
            ensure!(
                self.children.iter().all(|worker| !worker.reader.is_finished()),
                "a worker ended by itself; its log is above"
            );
            tokio::time::sleep(REPORT_EVERY).await;
        }
        Ok(())
    }

    /// The processor time of all.
    pub fn cpu(&self) -> Option<Duration> {
        let pids = self.children.iter().filter_map(|worker| worker.child.id());
        pids.map(usage::cpu).sum()
    }

    /// The memory of the largest.
    pub fn peak_rss_mb(&self) -> Option<f64> {
        let pids = self.children.iter().filter_map(|worker| worker.child.id());
        pids.filter_map(usage::peak_rss_mb).max_by(f64::total_cmp)
    }

    /// Ends them in order, and answers everything they have started.
    pub async fn stop(self) -> anyhow::Result<Histogram> {
        for Working { mut child, stdin, reader } in self.children {
            drop(stdin);
            let status = patiently("a worker's end", async { Ok(child.wait().await?) }).await?;
            ensure!(status.success(), "a worker ended with {status}");
            reader.await??;
        }
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(starts.clone())
    }
}

async fn read(
    mut lines: Lines<BufReader<ChildStdout>>,
    starts: Arc<Mutex<Histogram>>,
) -> anyhow::Result<()> {
    while let Some(line) = lines.next_line().await? {
        let report: Histogram = serde_json::from_str(&line).context("read a worker's report")?;
        starts.lock().unwrap_or_else(PoisonError::into_inner).merge(&report);
    }
    Ok(())
}
