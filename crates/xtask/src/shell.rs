//! Running programs: loudly, in the repository, and never longer than this process lives.

use std::{
    env, fmt,
    future::Future,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, bail};
use embedded::{Home, Postgres, PostgresOptions, Version};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStdout},
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

/// How long a program may take to end after an interrupt.
const GRACE: Duration = Duration::from_secs(10);

/// The top directory of the repository.
pub fn root() -> &'static Path {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    top.expect("this crate lies two directories below the top")
}

/// The cargo that runs this, in the top directory.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs `command` to its end; anything but success is an error.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {}", name(command)))?;
    check(name(command), status)
}

fn check(what: String, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() { Ok(()) } else { bail!(Failed { what, status }) }
}

/// A program that ended without success. This process ends with the same status.
#[derive(Debug)]
pub struct Failed {
    what: String,
    status: ExitStatus,
}

impl Failed {
    pub fn code(&self) -> ExitCode {
        let code = self.status.code().and_then(|code| u8::try_from(code).ok());
        code.filter(|code| *code != 0).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed ({})", self.what, self.status)
    }
}

impl std::error::Error for Failed {}

/// Runs programs next to a private Postgres, so that an interrupt ends both and leaves nothing.
#[derive(Clone)]
pub struct Shell {
    interrupted: watch::Receiver<bool>,
}

impl Shell {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    pub fn new() -> anyhow::Result<Shell> {
        let (interrupt, interrupted) = watch::channel(false);
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind).context("listen for signals")?;
            let interrupt = interrupt.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    interrupt.send_replace(true);
                }
            });
        }
        Ok(Shell { interrupted })
    }

    /// Runs `work` next to a throw-away Postgres, which is gone afterwards whatever happens.
    pub async fn with_postgres<T>(
        &self,
        version: Version,
        work: impl AsyncFnOnce(&Postgres) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let home = Home::throwaway()?;
        let options = PostgresOptions { version, port: None, durable: false };
        let start = Postgres::start(&home, options);
        let postgres = self.unless_interrupted(start).await?.context("start Postgres")?;
        let result = work(&postgres).await;
        let stopped = postgres.stop().await.context("stop Postgres");
        let value = result?;
        stopped?;
        Ok(value)
    }

    /// Runs `command` to its end; anything but success is an error.
    pub async fn run(&self, command: Command) -> anyhow::Result<()> {
        self.spawn(command)?.wait(self).await
    }

    /// Starts `command` in a process group of its own, which ends as a whole.
    pub fn spawn(&self, command: Command) -> anyhow::Result<Running> {
        let what = name(&command);
        let mut command = tokio::process::Command::from(command);
        let spawned = command.process_group(0).spawn();
        let child = spawned.with_context(|| format!("run {what}"))?;
        let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Running { what, child, group: id })
    }

    async fn unless_interrupted<F: Future>(&self, work: F) -> anyhow::Result<F::Output> {
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            output = work => Ok(output),
            _ = interrupted.wait_for(|now| *now) => bail!("interrupted"),
        }
    }
}

/// A program that runs, with all it has started. Dropping it before its end kills them all.
pub struct Running {
    what: String,
    child: Child,
    /// None once the program has ended by itself.
    group: Option<Pid>,
}

impl Running {
    /// What the program prints, if it was started with a pipe.
    pub fn stdout(&mut self) -> anyhow::Result<ChildStdout> {
        self.child.stdout.take().with_context(|| format!("read what {} prints", self.what))
    }

    /// Waits for the end; an interrupt is passed on. Anything but success is an error.
    pub async fn wait(mut self, shell: &Shell) -> anyhow::Result<()> {
        match shell.unless_interrupted(self.child.wait()).await {
            Ok(status) => {
                self.group = None;
                let status = status.with_context(|| format!("wait for {}", self.what))?;
                check(self.what.clone(), status)
            }
            Err(interrupted) => {
                self.signal(Signal::INT);
                // What has not ended by then is killed when this is dropped.
                let _ = timeout(GRACE, self.child.wait()).await;
                Err(interrupted)
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // No such group any more is what we want.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What a person would call `command`: its program and arguments.
fn name(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    [program].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}
