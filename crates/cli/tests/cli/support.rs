//! The binary under test, as commands and as processes that stay.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use context::testing::TestContext;
use serde_json::Value;

pub const LIMIT: Duration = Duration::from_secs(60);

/// The binary with nothing in its environment that a test did not put there.
pub fn beadle(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beadle"));
    let kept = ["PATH", "HOME", "LD_LIBRARY_PATH", "BEADLE_POSTGRES_TREE"];
    let kept = kept.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command.args(args).env_clear().envs(kept.collect::<Vec<_>>()).stdin(Stdio::null());
    command
}

/// The same on the database of a test.
pub fn beadle_on(cx: &TestContext, args: &[&str]) -> Command {
    let mut command = beadle(args);
    command.env("DATABASE_URL", cx.database.url());
    command
}

pub struct Answer {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

pub fn answer(mut command: Command) -> Answer {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

/// A process that stays until it is told to stop, killed with the value.
pub struct Staying {
    pub child: Child,
    lines: Receiver<String>,
}

impl Staying {
    /// Starts it; what it prints and logs can be waited for.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // The test may have ended.
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// The first line that holds `text`.
    pub fn says(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("never said {text:?}, but:\n{seen}"));
            if line.contains(text) {
                return line;
            }
            seen = seen + &line + "\n";
        }
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks it to end, which it must do well.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        let said: Vec<_> = self.lines.try_iter().collect();
        assert!(status.success(), "{status} after:\n{}", said.join("\n"));
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
