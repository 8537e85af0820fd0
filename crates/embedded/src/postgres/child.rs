//! A child process with a thread of its own, which lives exactly as long as the child.
//!
//! Linux sends the parent-death signal when the *thread* that started a child ends, so that thread
//! must not be one of a pool.

use std::{
    io,
    process::{Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

/// Dropping it sends SIGINT to a child that still runs.
pub struct Child {
    pid: Pid,
    /// False once the child is reaped, when its number may become somebody else's.
    reapable: Arc<Mutex<bool>>,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts `command`. `keep` is dropped when the child has ended, before anybody hears of it.
    pub fn spawn(mut command: Command, keep: impl Send + 'static) -> io::Result<Child> {
        let (started, start) = mpsc::sync_channel(1);
        let (ended, exited) = watch::channel(None);
        let reapable = Arc::new(Mutex::new(true));
        let until_reaped = reapable.clone();
        let keeper = move || {
            let result = command.spawn();
            // The receiver waits below; were it gone, the child would be reaped all the same.
            match result {
                Ok(child) => {
                    let _ = started.send(Ok(Pid::from_child(&child)));
                    let status = reap(child, &until_reaped);
                    drop(keep);
                    ended.send_replace(Some(status));
                }
                Err(error) => {
                    drop(keep);
                    let _ = started.send(Err(error));
                }
            }
        };
        thread::Builder::new().name("postgres-keeper".to_owned()).spawn(keeper)?;
        let pid = start.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Child { pid, reapable, exited })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        let reapable = lock(&self.reapable);
        if *reapable && let Err(error) = kill_process(self.pid, signal) {
            tracing::warn!(%error, pid = self.pid(), "cannot signal Postgres");
        }
    }

    /// How the child ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.exited.borrow()
    }

    pub async fn exited(&self) -> ExitStatus {
        let mut exited = self.exited.clone();
        let status =
            exited.wait_for(Option::is_some).await.expect("the keeper tells before it ends");
        status.expect("waited for a status")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// Waits for the end of `child`, and gives up its number only when nobody is about to signal it.
fn reap(mut child: std::process::Child, reapable: &Mutex<bool>) -> ExitStatus {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(Pid::from_child(&child)), ended) {}
    let mut reapable = lock(reapable);
    *reapable = false;
    child.wait().expect("a child that nobody else reaps can be waited for")
}

fn lock(flag: &Mutex<bool>) -> MutexGuard<'_, bool> {
    // The flag is right even if a thread panicked while it held the lock.
    flag.lock().unwrap_or_else(PoisonError::into_inner)
}
