//! `beadle up` in a home of its own, as a newcomer starts it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::free_address;
use crate::support::{Staying, answer, beadle, until};

struct House {
    home: TempDir,
    address: String,
}

impl House {
    fn new() -> Self {
        // Postgres does not run as root, and the user it runs as must get in.
        let home = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir();
        Self { home: home.unwrap(), address: free_address() }
    }

    fn beadle(&self, args: &[&str]) -> Command {
        let mut command = beadle(args);
        command.env("BEADLE_HOME", self.home.path()).env("BEADLE__HTTP__BIND", &self.address);
        command
    }

    /// Starts it, and answers when it has said that it is up, with the API key it has printed.
    fn up(&self) -> (Staying, String) {
        let up = Staying::start(self.beadle(&["up"]));
        let line = up.says("API key");
        (up, line.split_whitespace().last().unwrap().to_owned())
    }

    fn queue(&self) -> Value {
        answer(self.beadle(&["queues", "--json"])).json()[0].clone()
    }

    fn postgres(&self) -> Option<PathBuf> {
        let pid_file = fs::read_to_string(self.home.path().join("postgres-18/postmaster.pid"));
        Some(Path::new("/proc").join(pid_file.ok()?.lines().next()?))
    }
}

#[tokio::test]
async fn a_newcomer_pushes_a_job_over_http_and_sees_it_done() {
    let house = House::new();
    let (up, key) = house.up();
    let client = reqwest::Client::builder().build().unwrap();
    let base = format!("http://{}", house.address);
    let push = client.post(format!("{base}/v1/jobs")).bearer_auth(&key);
    let push = push.json(&json!({ "kind": "maintenance.drop_history", "args": {} }));
    let pushed: Value = push.send().await.unwrap().json().await.unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let url = format!("{base}/v1/jobs/{}", pushed["id"].as_str().unwrap());
        let job = client.get(url).bearer_auth(&key).send().await.unwrap();
        let job: Value = job.json().await.unwrap();
        if job["state"] == "done" {
            break;
        }
        assert!(Instant::now() < limit, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = client.get(format!("{base}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    // Object store and mail of the running process are found by other commands.
    let doctor = answer(house.beadle(&["doctor"]));
    assert!(doctor.ok && !doctor.out.contains("WARNING"), "{}", doctor.out);

    let second = answer(house.beadle(&["up"]));
    assert!(!second.ok && second.err.contains("is in use by process"), "{}", second.err);
    up.stop();
    assert!(house.postgres().is_none(), "Postgres has ended");

    let (up, same) = house.up();
    assert_eq!(same, key, "the key is kept");
    up.stop();
}

#[tokio::test]
async fn nothing_is_lost_when_it_is_killed_with_a_thousand_jobs_pending() {
    let house = House::new();
    let (mut up, _) = house.up();
    let push = ["jobs", "push", "maintenance.drop_history", "--count", "1000"];
    assert!(answer(house.beadle(&push)).ok);
    let postgres = house.postgres().expect("Postgres runs");
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    until("Postgres ends with its owner", || !postgres.exists());

    let (up, _) = house.up();
    until("everything is done", || {
        let queue = house.queue();
        queue["ready"] == 0 && queue["running"] == 0 && queue["scheduled"] == 0
    });
    let list = ["jobs", "list", "--state", "done", "--limit", "1000", "--json"];
    assert_eq!(answer(house.beadle(&list)).json().as_array().unwrap().len(), 1000);
    up.stop();
}
