//! Rules about the source that no compiler knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use context::Context;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file that people write, with its text.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.')
                || matches!(name.as_str(), "target" | "node_modules" | "third_party")
            {
                continue;
            }
            if entry.is_dir() { walk(&entry, found) } else { found.push(entry) }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &mut found);
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&root).unwrap().display().to_string(), text)
    };
    found.into_iter().filter(wanted).map(read).collect()
}

fn folders(of: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(of)).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let names = folders.map(|folder| folder.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.') && name != "target").collect()
}

#[tokio::test]
async fn every_worker_folder_is_in_the_list_and_every_kind_has_a_folder() {
    let cx = Context::for_test("2025-03-01T00:00:00Z").await;
    let kinds = workers::fleet(&cx).kinds();
    let listed: BTreeSet<_> = kinds.queues().into_iter().map(str::to_owned).collect();
    assert_eq!(listed, folders("workers"));
}

#[test]
fn only_the_queue_writes_its_tables() {
    for (path, text) in sources(&["rs", "sql"]) {
        let tests = path.contains("/tests");
        // Inserts past the engine, to have something to measure the engine by.
        let floor = path == "crates/cli/src/bench/raw_insert.sql";
        if path.starts_with("crates/queue/") || path.starts_with("migrations/") || tests || floor {
            continue;
        }
        for write in ["INSERT INTO queue.", "UPDATE queue.", "DELETE FROM queue."] {
            assert!(!text.contains(write), "{path} says {write}");
        }
    }
}

#[test]
fn the_queue_knows_no_domain() {
    let domains = ["stripe", "invoice", "course", "lesson", "commission", "transcod", "embedding"];
    for (path, text) in sources(&["rs", "sql"]) {
        if path.starts_with("crates/queue/") {
            let text = text.to_lowercase();
            let found: Vec<_> = domains.iter().filter(|word| text.contains(*word)).collect();
            assert!(found.is_empty(), "{path} speaks of {found:?}");
        }
    }
}

#[test]
fn every_statement_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for (path, text) in sources(&["sql"]) {
        // Neither migrations nor the tests of what they make are asked about in `pg_stat_statements`.
        if path.starts_with("migrations/") || path.contains("/tests/schema/") {
            continue;
        }
        let name = text.lines().next().and_then(|line| line.strip_prefix("-- "));
        let name = name.unwrap_or_else(|| panic!("{path} does not begin with its name"));
        assert!(names.insert(name.to_owned()), "{path}: {name} is taken");
    }
}

#[test]
fn migrations_are_named_by_time_area_and_change_and_say_what_they_do() {
    let mut times = BTreeSet::new();
    for (path, text) in sources(&["sql"]) {
        let Some(name) = path.strip_prefix("migrations/") else { continue };
        let mut parts = name.trim_end_matches(".sql").splitn(3, '_');
        let mut part = || parts.next().unwrap_or_default();
        let (time, area, change) = (part(), part(), part());
        let well_named = time.len() == 14
            && time.bytes().all(|b| b.is_ascii_digit())
            && !area.is_empty()
            && !change.is_empty();
        assert!(well_named, "{name}");
        assert!(times.insert(time.to_owned()), "{name} has the time of another");
        let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
        for word in ["Owner: ", "Locks: ", "Undo: "] {
            assert!(header.contains(word), "{name} does not say {word:?}");
        }
    }
}

#[test]
fn nothing_is_left_for_later_in_the_source() {
    // In pieces, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("dbg", "!("),
        concat!("unimplemented", "!("),
    ];
    for (path, text) in sources(&["rs", "sql", "toml", "md", "yml"]) {
        for mark in marks {
            assert!(!text.contains(mark), "{path} says {mark}");
        }
    }
}

#[test]
fn documents_point_at_what_exists() {
    for (path, text) in sources(&["md"]) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty()
                || target.contains("://")
                || target.starts_with('`')
                || target.contains("::")
            {
                continue;
            }
            let beside = root().join(&path).parent().unwrap().join(target);
            assert!(beside.exists(), "{path} points at {link}");
        }
    }
}

#[test]
fn the_map_shows_every_folder() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let crates = folders("crates").into_iter().map(|name| format!("crates/{name}"));
    for folder in folders("").into_iter().chain(crates) {
        assert!(
            map.contains(&format!("{folder}/")) || map.contains(&format!("`{folder}`")),
            "{folder} is not on the map"
        );
    }
}

#[test]
fn no_file_has_grown_beyond_one_noun() {
    const MOST_LINES: usize = 500;
    for (path, text) in sources(&["rs"]) {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{path} has {lines} lines: which noun is missing?");
    }
}
