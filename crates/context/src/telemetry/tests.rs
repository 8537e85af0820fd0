use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Instant,
};

use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use serde_json::Value;

use super::{export::Reported, *};
use crate::Settings;

fn settings(log: &str, log_format: LogFormat) -> settings::Telemetry {
    let defaults = Settings::load_from([]).unwrap().telemetry;
    settings::Telemetry { log: log.to_owned(), log_format, ..defaults }
}

/// Everything that `act` logs.
fn logged(settings: &settings::Telemetry, terminal: bool, act: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = subscriber(settings, None, terminal, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn json_lines_carry_their_spans() {
    let line = logged(&settings("info", LogFormat::Auto), false, || {
        let span = tracing::info_span!("http.request", trace_id = "4bf9");
        span.in_scope(|| tracing::info_span!("push").in_scope(|| tracing::info!(jobs = 2, "done")));
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "done");
    assert_eq!(line["jobs"], 2);
    assert_eq!(line["spans"][0]["trace_id"], "4bf9");
    assert_eq!(line["spans"][1]["name"], "push");
}

#[test]
fn the_trace_id_of_a_run_stands_in_its_warnings_when_nothing_less_is_logged() {
    let line = logged(&settings("warn", LogFormat::Json), false, || {
        // As the engine makes the span of a run.
        let span = tracing::error_span!("job.run", trace_id = "4bf9");
        span.in_scope(|| tracing::warn!("slow"));
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["spans"][0]["trace_id"], "4bf9");
}

#[test]
fn fields_of_spans_are_json_whatever_they_hold() {
    let json = settings("info", LogFormat::Json);
    let line = logged(&json, false, || {
        let span = tracing::info_span!(
            "job.run",
            text = "a \"quoted\"\nline",
            shown = %"é\u{1}",
            debugged = ?["a"],
            r#type = "raw",
            whole = -3,
            real = 0.5,
            truth = true,
            late = tracing::field::Empty,
        );
        span.record("late", 7);
        span.in_scope(|| tracing::info!("done"));
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "name": "job.run", "text": "a \"quoted\"\nline", "shown": "é\u{1}", "debugged": "[\"a\"]", "type": "raw",
        "whole": -3, "real": 0.5, "truth": true, "late": 7,
    });
    assert_eq!(line["spans"][0], expected);
}

#[test]
fn fields_that_come_late_may_be_the_first_and_may_come_again() {
    let line = logged(&settings("info", LogFormat::Json), false, || {
        let span = tracing::info_span!("upload", bytes = tracing::field::Empty);
        span.record("bytes", 1).record("bytes", 2);
        span.in_scope(|| tracing::info_span!("empty").in_scope(|| tracing::info!("done")));
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        line["spans"],
        serde_json::json!([{ "name": "upload", "bytes": 2 }, { "name": "empty" }])
    );
}

#[test]
fn people_get_colours_on_a_terminal_only() {
    let say = || tracing::info!("hello");
    let on_terminal = logged(&settings("info", LogFormat::Auto), true, say);
    assert!(on_terminal.contains("\u{1b}["), "{on_terminal}");
    let in_file = logged(&settings("info", LogFormat::Pretty), false, say);
    assert!(in_file.ends_with("INFO context::telemetry::tests: hello\n"), "{in_file}");
    let json = logged(&settings("info", LogFormat::Json), true, say);
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
}

#[test]
fn the_filter_decides_what_is_logged() {
    let say = || {
        tracing::debug!(target: "queue", "from queue");
        tracing::debug!(target: "sqlx", "from sqlx");
    };
    let lines = logged(&settings("info,queue=debug", LogFormat::Pretty), false, say);
    assert!(lines.contains("from queue") && !lines.contains("from sqlx"), "{lines}");
}

#[test]
fn a_filter_may_ask_for_fields_of_spans() {
    let say = || {
        tracing::info_span!("run", kind = "x").in_scope(|| tracing::debug!("of x"));
        tracing::info_span!("run", kind = "y").in_scope(|| tracing::debug!("of y"));
    };
    let lines = logged(&settings("info,[run{kind=x}]=debug", LogFormat::Pretty), false, say);
    assert!(lines.contains("of x") && !lines.contains("of y"), "{lines}");
}

#[test]
fn a_filter_that_would_silence_everything_by_mistake_is_refused() {
    let refusal = |text: &str| format!("{:#}", filter::<Registry>(text).err().expect("a refusal"));
    assert_eq!(
        refusal("inof"),
        "`telemetry.log`: `inof` is not a level; write `target=level`, \
         or one of error, warn, info, debug, trace, off"
    );
    assert!(refusal("").starts_with("`telemetry.log`: `` is not a level"));
    assert!(refusal("info,queue=loud").starts_with("`telemetry.log` is `info,queue=loud`: "));
    for right in ["warn", "warn, queue=debug", "warn,[run{kind=\"x\"}]=trace"] {
        assert!(filter::<Registry>(right).is_ok(), "{right}");
    }
}

#[test]
fn telemetry_is_set_up_once() {
    let settings = settings("off", LogFormat::Json);
    let first = init(&settings).unwrap();
    let error = format!("{:#}", init(&settings).err().expect("once is enough"));
    assert!(error.starts_with("set up logs, which a process does once: "), "{error}");
    assert_eq!(first.render(), Metrics::install().unwrap().render());
}

#[test]
fn metrics_are_rendered_with_buckets_for_seconds_and_jobs() {
    let (recorder, metrics) = metrics::recorder().unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        ::metrics::counter!("beadle_jobs_total", "kind" => "test.run").increment(3);
        ::metrics::histogram!("beadle_run_seconds").record(0.2);
        ::metrics::histogram!("beadle_chunk_jobs").record(7.0);
    });
    let text = metrics.clone().render();
    assert!(text.contains("beadle_jobs_total{kind=\"test.run\"} 3\n"), "{text}");
    assert!(text.contains("beadle_run_seconds_bucket{le=\"0.1\"} 0\n"), "{text}");
    assert!(text.contains("beadle_run_seconds_bucket{le=\"0.25\"} 1\n"), "{text}");
    assert!(text.contains("beadle_chunk_jobs_bucket{le=\"10\"} 1\n"), "{text}");
}

#[test]
fn spans_reach_the_collector_when_telemetry_is_dropped() {
    let (endpoint, requests) = simulated_collector();
    let settings =
        settings::Telemetry { otlp_endpoint: endpoint, ..settings("info", LogFormat::Json) };
    let telemetry = telemetry(&settings);
    let subscriber = subscriber(&settings, telemetry.traces.as_ref(), false, io::sink).unwrap();
    tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("claim a batch")));
    drop(telemetry);

    let (head, body) = requests.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    for text in ["beadle", "claim a batch", "service.version"] {
        assert!(body.contains(text), "{text} is not in {body}");
    }
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    // Connected by the system, answered by nobody.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let otlp_endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = settings::Telemetry { otlp_endpoint, ..settings("info", LogFormat::Json) };
    let telemetry = telemetry(&settings);
    let subscriber = subscriber(&settings, telemetry.traces.as_ref(), false, io::sink).unwrap();
    let started = Instant::now();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..10_000 {
            drop(tracing::info_span!("claim a batch"));
        }
    });
    assert!(started.elapsed() < Duration::from_secs(5), "spans waited for the collector");
    drop(telemetry);
    assert!(started.elapsed() < Duration::from_secs(10), "the end waited for the collector");
}

#[test]
fn an_outage_of_the_collector_is_logged_at_its_start_and_its_end() {
    let outcomes = [false, false, false, true, true, false];
    let lines = logged(&settings("info", LogFormat::Pretty), false, || {
        let exporter = Scripted(Mutex::new(outcomes.to_vec()));
        let exporter = Reported::new(exporter, "http://collector/v1/traces".to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for succeeds in outcomes {
            assert_eq!(runtime.block_on(exporter.export(Vec::new())).is_ok(), succeeds);
        }
    });
    let said: Vec<_> = lines.lines().map(|line| line.contains("again")).collect();
    assert_eq!(said, [false, true, false], "{lines}");
}

/// Fails and succeeds as written.
#[derive(Debug)]
struct Scripted(Mutex<Vec<bool>>);

impl SpanExporter for Scripted {
    async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
        match self.0.lock().unwrap().remove(0) {
            true => Ok(()),
            false => Err(OTelSdkError::InternalFailure("connection refused".to_owned())),
        }
    }
}

fn telemetry(settings: &settings::Telemetry) -> Telemetry {
    let (_, metrics) = metrics::recorder().unwrap();
    Telemetry { traces: export::provider(settings).unwrap(), metrics }
}

/// Takes whatever is posted, and passes on the head and the body of each request.
fn simulated_collector() -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            let body = String::from_utf8_lossy(&body).into_owned();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (endpoint, receiver)
}
