use serde_json::Value;

use crate::support::{Answer, answer, beadle};

/// On a server that is there already: the embedded one has tests of its own.
fn bench(args: &[&str]) -> Answer {
    let mut command = beadle(&[&["bench"], args].concat());
    command.env("DATABASE_URL", std::env::var("DATABASE_URL").unwrap());
    answer(command)
}

fn figures(args: &[&str]) -> Value {
    let answer = bench(args);
    assert!(answer.ok, "{args:?}: {}", answer.err);
    answer.json()
}

/// A number above zero.
fn positive(figures: &Value, key: &str) -> f64 {
    let value = figures[key].as_f64().unwrap_or_else(|| panic!("{key} in {figures}"));
    assert!(value > 0.0, "{key} in {figures}");
    value
}

#[test]
fn drain_prints_its_figures_the_median_and_all_samples() {
    let drain = ["drain", "--jobs", "300", "--handlers", "16", "--processes", "2", "--runs", "2"];
    let figures = figures(&drain);
    for key in ["jobs_per_s", "raw_jobs_per_s", "ratio", "wal_bytes_per_job", "worker_rss_mb"] {
        positive(&figures, key);
    }
    // Unknown where the server is on another machine.
    assert!(figures.get("pg_cpu_us_per_job").is_some());
    positive(&figures, "worker_cpu_us_per_job");
    // Quick jobs are taken ahead of their handlers, and there are 300 of them.
    let per_claim = positive(&figures, "jobs_per_claim");
    assert!((1.0..=300.0).contains(&per_claim), "{per_claim}");
    // The raw baseline takes as many as the engine would.
    assert!((100.0..=300.0).contains(&positive(&figures, "raw_jobs_per_claim")));
    let samples: Vec<_> =
        figures["samples"].as_array().unwrap().iter().map(|s| positive(s, "jobs_per_s")).collect();
    let middle = (samples[0] + samples[1]) / 2.0;
    assert!((figures["jobs_per_s"].as_f64().unwrap() - middle).abs() <= middle / 100.0);
}

#[test]
fn push_measures_three_modes_beside_raw_inserts() {
    let figures = figures(&["push", "--jobs", "1500", "--single-jobs", "100"]);
    for mode in ["bulk", "single", "callers"] {
        let mode = &figures[mode];
        let (engine, raw) = (positive(mode, "jobs_per_s"), positive(mode, "raw_jobs_per_s"));
        let ratio = positive(mode, "ratio");
        assert!((ratio - engine / raw).abs() < 0.01 * ratio.max(1.0), "{mode}");
    }
}

#[test]
fn latency_is_measured_with_notifications_and_without() {
    let notified = figures(&["latency", "--rate", "50", "--seconds", "2"]);
    assert_eq!(notified["jobs"], 100);
    assert!(positive(&notified, "p50_ms") <= positive(&notified, "p99_ms"));
    let polled = figures(&["latency", "--rate", "25", "--seconds", "2", "--no-notify"]);
    // Jobs are spread over the 40 ms between two looks.
    assert!(positive(&polled, "p99_ms") > 15.0, "{polled}");
}

#[test]
fn pinned_compares_both_halves_and_loses_no_job() {
    let figures = figures(&["pinned", "--seconds", "4", "--rate", "200"]);
    for key in ["throughput_ratio", "start_p99_ratio", "claim_ms_p99", "drained_after_seconds"] {
        positive(&figures, key);
    }
    assert_eq!(figures["jobs"], 800);
    for half in ["free", "pinned"] {
        let row = &figures[half]["series"][0];
        positive(row, "jobs_per_s");
        positive(row, "claim_ms_p99");
    }
}

#[test]
fn soak_keeps_its_rate_and_tells_how_tables_grow() {
    let figures = figures(&["soak", "--seconds", "2", "--rate", "100"]);
    assert_eq!((&figures["jobs"], &figures["errors"]), (&200.into(), &0.into()));
    assert_eq!(figures["depth_at_end"], 0);
    assert!(positive(&figures, "p50_ms") <= positive(&figures, "p99_ms"));
    assert!(figures["sizes_at_start"].get("jobs").is_none(), "nothing was there at the start");
    for table in ["jobs", "runs"] {
        let size = &figures["sizes_at_end"][table];
        assert!(positive(size, "table") >= 8192.0 && positive(size, "indexes") >= 8192.0);
    }
}

/// On a server of its own, because it restarts it.
#[test]
fn chaos_commits_faults_of_every_sort_and_no_promise_is_broken() {
    let command =
        beadle(&["bench", "chaos", "--jobs", "2000", "--processes", "4", "--seconds", "8"]);
    let answer = answer(command);
    assert!(answer.ok, "{}", answer.err);
    let figures = answer.json();
    // A push that was not answered may have stored its jobs all the same.
    assert!(positive(&figures, "jobs") >= 2000.0);
    assert_eq!(figures["outcomes"]["done"], figures["jobs"]);
    for counter in ["lost", "stale_accepted", "double_leases", "effects_twice"] {
        assert_eq!(figures[counter], 0, "{counter} in {figures}");
    }
    let sorts = ["kills", "stops", "restarts", "cuts", "cuts_inside", "delays"];
    for sort in sorts.into_iter().chain(["delays_past_lease"]) {
        positive(&figures["faults"], sort);
    }
    for outcome in ["failed", "lost", "snoozed"] {
        positive(&figures["outcomes"], outcome);
    }
    if figures["recoveries"] != 0 {
        assert!(positive(&figures, "recovery_ms_p50") <= positive(&figures, "recovery_ms_p99"));
    }
}

#[test]
fn chaos_leaves_somebody_elses_server_running_and_says_so() {
    let chaos = ["chaos", "--jobs", "100", "--processes", "2", "--seconds", "2", "--seed", "5"];
    let figures = figures(&chaos);
    let restarts = figures["faults"]["restarts"].as_str().unwrap();
    assert!(restarts.contains("not ours"), "{restarts}");
    assert_eq!((&figures["lost"], &figures["seed"]), (&0.into(), &5.into()));
}

#[test]
fn wrong_options_are_refused_before_anything_is_started() {
    for (args, reason) in [
        (&["drain", "--jobs", "0"][..], "--jobs is 1 to"),
        (&["drain", "--handlers", "0"], "--handlers is 1 to"),
        (&["drain", "--processes", "65"], "--processes is 1 to 64"),
        (&["drain", "--runs", "0"], "--runs is 1 to 100"),
        (&["push", "--single-jobs", "0"], "--single-jobs is 1 to"),
        (&["latency", "--rate", "0"], "--rate is 1 to"),
        (&["pinned", "--seconds", "1"], "--seconds is 2 to"),
        (&["chaos", "--processes", "0"], "--processes is 1 to 64"),
        (&["chaos", "--seconds", "1"], "--seconds is 2 to"),
        (&["soak", "--jobs", "5"], "unexpected argument '--jobs'"),
        (&["race"], "unrecognized subcommand 'race'"),
    ] {
        let mut command = beadle(&[&["bench"], args].concat());
        // Whoever went there would say that nobody listens.
        command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        let answer = answer(command);
        assert!(!answer.ok && answer.err.contains(reason), "{args:?}: {}", answer.err);
        assert!(answer.out.is_empty(), "{}", answer.out);
    }
}

#[tokio::test]
async fn a_measurement_leaves_no_database_behind() {
    let mut command = beadle(&["bench", "latency", "--seconds", "2"]);
    command.env("DATABASE_URL", std::env::var("DATABASE_URL").unwrap());
    let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let name = format!("beadle_bench_{}_%", child.id());
    assert!(child.wait_with_output().unwrap().status.success());
    let url = std::env::var("DATABASE_URL").unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname LIKE $1")
        .bind(name)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}
