use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load_from(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn refusal(variables: &[(&str, &str)]) -> String {
    load(variables).expect_err("these settings are wrong").to_string()
}

/// Loads with a settings file of the given text; the file's path is replaced by FILE in a refusal.
fn load_file(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("site.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let variables = [&[("BEADLE_ENV", path)], variables].concat();
    load(&variables).map_err(|error| error.to_string().replace(path, "FILE"))
}

fn secret_of(secret: &Option<SecretString>) -> Option<&str> {
    secret.as_ref().map(|secret| secret.expose_secret())
}

#[test]
fn the_defaults_hold_when_nothing_is_set() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.http.bind, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.work.lease_seconds, 10);
    assert_eq!(settings.telemetry.log_format, LogFormat::Auto);
    assert_eq!(settings.concurrency_of("media"), 4);
    assert!(settings.database.url.is_none());
    assert!(settings.telemetry.metrics_bind.is_none());
}

#[test]
fn the_address_of_the_metrics_is_one_or_empty() {
    let set = |value| load(&[("BEADLE__TELEMETRY__METRICS_BIND", value)]);
    assert_eq!(set("[::1]:9090").unwrap().telemetry.metrics_bind, "[::1]:9090".parse().ok());
    assert_eq!(set("").unwrap().telemetry.metrics_bind, None);
    for wrong in ["9090", "localhost:9090", "127.0.0.1"] {
        let error = set(wrong).unwrap_err().to_string();
        assert!(error.contains("BEADLE__TELEMETRY__METRICS_BIND"), "{error}");
    }
}

#[test]
fn every_default_can_be_set_by_its_variable_and_is_read() {
    let defaults = format!("{:?}", load(&[]).unwrap());
    let text = include_str!("../../../../config/default.toml");
    let mut section = "";
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        let (key, value) = line.split_once(" = ").unwrap();
        let other = match (key, value) {
            ("bind" | "metrics_bind", _) => "127.0.0.1:1".to_owned(),
            ("postgres_version", _) => "16".to_owned(),
            ("transport", _) => "smtp".to_owned(),
            ("log_format", _) => "json".to_owned(),
            ("endpoint" | "otlp_endpoint", _) => "http://localhost:1".to_owned(),
            (key, _) if key.ends_with("_file") => "/no/such/file".to_owned(),
            (_, "true") => "false".to_owned(),
            (_, "false") => "true".to_owned(),
            (_, number) if !number.starts_with('"') => {
                (number.replace('_', "").parse::<u64>().unwrap() + 1).to_string()
            }
            _ => "other".to_owned(),
        };
        let variable = format!("BEADLE__{}__{}", section.to_uppercase(), key.to_uppercase());
        match load(&[(&variable, &other)]) {
            Ok(settings) => assert_ne!(format!("{settings:?}"), defaults, "{variable} is not read"),
            Err(error) => {
                let expected = format!("cannot read /no/such/file, which `{variable}` names: ");
                assert!(error.to_string().starts_with(&expected), "{variable}: {error}");
            }
        }
    }
}

#[test]
fn the_environments_that_are_compiled_in_load() {
    assert_eq!(load(&[("BEADLE_ENV", "dev")]).unwrap().work.shutdown_seconds, 5);
    let prod = load(&[("BEADLE_ENV", "prod")]).unwrap();
    assert_eq!(prod.telemetry.log_format, LogFormat::Json);
    assert_eq!(prod.mail.transport, MailTransport::Smtp);
    assert_eq!(load(&[("BEADLE_ENV", "")]).unwrap().work.shutdown_seconds, 30);
}

#[test]
fn an_unknown_environment_is_refused() {
    assert_eq!(
        refusal(&[("BEADLE_ENV", "prdo")]),
        "BEADLE_ENV is `prdo`; it must be `dev`, `prod` or the path of a .toml file"
    );
    assert_eq!(
        refusal(&[("BEADLE_ENV", "/no/site.toml")]),
        "cannot read the settings file /no/site.toml, which BEADLE_ENV names: \
         No such file or directory (os error 2)"
    );
}

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let text = "[http]\nworkers = 3\nshutdown_seconds = 4\n[queues.media]\nconcurrency = 7\n";
    let settings = load_file(
        text,
        &[("BEADLE__HTTP__WORKERS", "5"), ("BEADLE__QUEUES__RAG__CONCURRENCY", "1_000")],
    )
    .unwrap();
    assert_eq!(settings.http.workers, 5);
    assert_eq!(settings.http.shutdown_seconds, 4);
    assert_eq!(settings.http.request_timeout_seconds, 30);
    assert_eq!(settings.concurrency_of("media"), 7);
    assert_eq!(settings.concurrency_of("rag"), 1_000);
}

#[test]
fn an_unknown_setting_is_refused_by_its_full_name() {
    assert_eq!(
        refusal(&[("BEADLE__HTTP__BNID", "127.0.0.1:1")]),
        "unknown setting `BEADLE__HTTP__BNID`; did you mean `BEADLE__HTTP__BIND`?"
    );
    assert_eq!(
        refusal(&[("BEADLE__WORK__BIND", "127.0.0.1:1")]),
        "unknown setting `BEADLE__WORK__BIND`; did you mean `BEADLE__HTTP__BIND`?"
    );
    assert_eq!(refusal(&[("BEADLE__COFFEE__CUPS", "1")]), "unknown setting `BEADLE__COFFEE__CUPS`");
    assert_eq!(refusal(&[("BEADLE__HTTP", "1")]), "unknown setting `BEADLE__HTTP`");
    let in_file = |text| load_file(text, &[]).unwrap_err();
    assert_eq!(
        in_file("[http]\nbnid = 1"),
        "unknown setting `http.bnid` in FILE; did you mean `http.bind`?"
    );
    assert_eq!(in_file("http = 1"), "unknown setting `http` in FILE");
    assert_eq!(in_file("[htpp]"), "unknown setting `htpp` in FILE");
    assert_eq!(
        in_file("[http.workers]\nnumber = 1"),
        "unknown setting `http.workers.number` in FILE"
    );
    assert_eq!(
        in_file("[queues.media]\nconcurency = 1"),
        "unknown setting `queues.media.concurency` in FILE"
    );
    assert_eq!(in_file("[queues.media]"), "`queues.media` in FILE: missing field `concurrency`");
    assert!(load_file("[http]", &[]).is_ok());
}

#[test]
fn a_wrong_value_is_refused_where_it_was_written() {
    assert_eq!(
        refusal(&[("BEADLE__HTTP__WORKERS", "two")]),
        "`BEADLE__HTTP__WORKERS`: invalid type: found string \"two\", expected usize"
    );
    assert_eq!(
        refusal(&[("BEADLE__HTTP__BIND", "here")]),
        "`BEADLE__HTTP__BIND`: invalid socket address syntax"
    );
    assert_eq!(
        refusal(&[("BEADLE__TELEMETRY__LOG_FORMAT", "xml")]),
        "`BEADLE__TELEMETRY__LOG_FORMAT`: \
         unknown variant: found `xml`, expected `one of `auto`, `pretty`, `json``"
    );
    assert_eq!(
        load_file("[http]\nworkers = -1", &[]).unwrap_err(),
        "`http.workers` in FILE: invalid value signed int `-1`, expected usize"
    );
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    let out_of_bounds = |variable, value, problem: &str| {
        assert_eq!(refusal(&[(variable, value)]), format!("`{variable}`: {problem}"));
    };
    let concurrency = "0 is not between 1 and 1024";
    out_of_bounds("BEADLE__WORK__DEFAULT_CONCURRENCY", "0", concurrency);
    out_of_bounds("BEADLE__QUEUES__MEDIA__CONCURRENCY", "0", concurrency);
    out_of_bounds("BEADLE__WORK__LEASE_SECONDS", "1", "1 is not between 2 and 3600");
    out_of_bounds("BEADLE__DATABASE__MAX_CONNECTIONS", "1001", "1001 is not between 2 and 1000");
    out_of_bounds("BEADLE__EMBEDDED__POSTGRES_VERSION", "17", "17 is not one of 16, 18");
    out_of_bounds("BEADLE__TELEMETRY__SERVICE_NAME", " ", "must not be empty");
    out_of_bounds(
        "BEADLE__STORAGE__ENDPOINT",
        "s3.local",
        "`s3.local` is not a URL that starts with http:// or https://",
    );
    out_of_bounds(
        "BEADLE__TELEMETRY__OTLP_ENDPOINT",
        "https://collector",
        "`https://collector` is not a URL that starts with http://",
    );
}

#[test]
fn a_broken_file_is_refused_without_quoting_it() {
    let error = load_file("[database]\nurl = \"postgres://u:hunter2@h/d\nx = 1", &[]).unwrap_err();
    assert_eq!(error, "FILE is not TOML: line 2: invalid basic string");
}

#[test]
fn a_secret_in_a_file_is_refused() {
    let error = load_file("[database]\nurl = \"postgres://u:hunter2@h/d\"", &[]).unwrap_err();
    assert_eq!(
        error,
        "`database.url` in FILE is a secret and must not stand in a settings file; \
         set BEADLE__DATABASE__URL, or name a file that holds it in `database.url_file`"
    );
}

#[test]
fn a_secret_comes_from_its_variable_as_it_is() {
    let settings = load(&[
        ("BEADLE__STORAGE__SECRET_ACCESS_KEY", "007"),
        ("BEADLE__STORAGE__ACCESS_KEY_ID", "12"),
        ("BEADLE__MAIL__SMTP_URL", ""),
    ])
    .unwrap();
    assert_eq!(secret_of(&settings.storage.secret_access_key), Some("007"));
    assert_eq!(settings.storage.access_key_id, "12");
    assert!(settings.mail.smtp_url.is_none());
}

#[test]
fn a_secret_comes_from_the_file_that_is_named_without_its_last_newline() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("url");
    let path = path.to_str().unwrap();
    fs::write(path, "postgres://u:p@h/d\r\n").unwrap();

    let settings = load(&[("BEADLE__DATABASE__URL_FILE", path)]).unwrap();
    assert_eq!(secret_of(&settings.database.url), Some("postgres://u:p@h/d"));
    let in_toml = load_file(&format!("[database]\nurl_file = '{path}'"), &[]).unwrap();
    assert_eq!(secret_of(&in_toml.database.url), Some("postgres://u:p@h/d"));

    let both = [("BEADLE__DATABASE__URL_FILE", path), ("DATABASE_URL", "postgres://other")];
    assert_eq!(
        refusal(&both),
        "`DATABASE_URL` and `BEADLE__DATABASE__URL_FILE` are both set; keep one of them"
    );
    fs::write(path, "\n").unwrap();
    assert_eq!(
        refusal(&[("BEADLE__DATABASE__URL_FILE", path)]),
        format!("`BEADLE__DATABASE__URL_FILE` names {path}, which is empty")
    );
}

#[test]
fn database_url_is_another_name_for_the_setting() {
    let url = "postgres://u:hunter2@h/d";
    assert_eq!(secret_of(&load(&[("DATABASE_URL", url)]).unwrap().database.url), Some(url));
    let same = [("DATABASE_URL", url), ("BEADLE__DATABASE__URL", url)];
    assert_eq!(secret_of(&load(&same).unwrap().database.url), Some(url));
    assert_eq!(
        refusal(&[("DATABASE_URL", url), ("BEADLE__DATABASE__URL", "postgres://other")]),
        "`DATABASE_URL` and `BEADLE__DATABASE__URL` are both set; keep one of them"
    );
}

#[test]
fn a_value_that_is_not_text_is_refused() {
    let value = OsString::from_vec(vec![0xff]);
    let error = Settings::load_from([("BEADLE__MAIL__FROM".into(), value.clone())]).unwrap_err();
    assert_eq!(error.to_string(), "the value of variable BEADLE__MAIL__FROM is not UTF-8");
    assert!(Settings::load_from([("SOMEBODY_ELSES".into(), value)]).is_ok());
}

#[test]
fn settings_never_show_their_secrets() {
    let settings = load(&[
        ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ("BEADLE__DATABASE__DIRECT_URL", "postgres://u:hunter2@h/e"),
        ("BEADLE__STORAGE__SECRET_ACCESS_KEY", "hunter2"),
        ("BEADLE__MAIL__SMTP_URL", "smtps://u:hunter2@h"),
    ])
    .unwrap();
    let shown = format!("{settings:?} {settings:#?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(shown.matches("REDACTED").count(), 8);
}
