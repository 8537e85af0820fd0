//! Servers that outlive their owner: found by what they are, not by what a stale file says.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{POLL, STOPS};
use crate::{Error, error::doing};

/// Ends every Postgres process that works on `data`, then removes the `postmaster.pid` it left.
/// The caller owns the home, so what runs there belongs to an owner that is gone.
pub async fn end(data: &Path) -> Result<(), Error> {
    let Ok(data) = data.canonicalize() else { return Ok(()) };
    for (signal, patience) in STOPS {
        let mut orphans = servers_on(&data);
        if signal == Signal::INT {
            // Only the first process understands a polite request; it passes it on.
            let first = first_process(&data);
            orphans.retain(|pid| Some(*pid) == first);
        }
        for orphan in &orphans {
            tracing::info!(pid = orphan.as_raw_nonzero(), "ending a Postgres left by a dead owner");
            // Gone in the meantime is what we want.
            let _ = kill_process(*orphan, signal);
        }
        let asked = Instant::now();
        while !orphans.is_empty() && !servers_on(&data).is_empty() && asked.elapsed() < patience {
            sleep(POLL).await;
        }
    }
    if let Some(pid) = servers_on(&data).first() {
        return Err(Error::Stuck { pid: pid.as_raw_nonzero().get() });
    }
    // Its number may belong to another process by now, which Postgres would take for a server.
    let stale = pid_file(&data);
    match fs::remove_file(&stale) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            doing(Err(error), "remove", stale)
        }
        _ => Ok(()),
    }
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

fn first_process(data: &Path) -> Option<Pid> {
    let file = fs::read_to_string(pid_file(data)).ok()?;
    Pid::from_raw(file.lines().next()?.trim().parse().ok()?)
}

/// The processes that run `postgres` inside `data`: a server and its children all work there. Root
/// without CAP_SYS_PTRACE, as in most containers, cannot see where another user's process works; it
/// still sees how the first one was called, and the others end with that.
fn servers_on(data: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).filter(|pid| is_server_on(*pid, data)).collect()
}

fn is_server_on(pid: Pid, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    is_called_for(&process, data) || {
        let works_there =
            fs::read_link(process.join("cwd")).is_ok_and(|directory| directory == data);
        works_there
            && fs::read_link(process.join("exe")).is_ok_and(|program| {
                let name = program.file_name().unwrap_or_default().to_string_lossy();
                // The programs may have been replaced under a running server.
                name.trim_end_matches(" (deleted)") == "postgres"
            })
    }
}

/// Whether this is `…/postgres … -D <data> …`.
fn is_called_for(process: &Path, data: &Path) -> bool {
    let call = fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = call.split(|byte| *byte == 0);
    let is_postgres = words.next().is_some_and(|program| program.ends_with(b"/postgres"));
    is_postgres && words.any(|word| word == data.as_os_str().as_bytes())
}
