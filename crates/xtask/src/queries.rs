//! Directories of checked queries: one JSON file per query, named by its hash.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;

/// File name to content.
pub type Queries = BTreeMap<String, Vec<u8>>;

/// Reads a directory; none is an empty one.
pub fn read(directory: &Path) -> anyhow::Result<Queries> {
    let mut queries = Queries::new();
    if directory.exists() {
        let entries = fs::read_dir(directory);
        for entry in entries.with_context(|| format!("list {}", directory.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("query-") {
                queries.insert(name, fs::read(&path).with_context(|| format!("read {path:?}"))?);
            }
        }
    }
    Ok(queries)
}

/// Makes `directory` hold `fresh` and nothing else. Returns what changed.
pub fn write(directory: &Path, fresh: &Queries) -> anyhow::Result<Vec<String>> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let kept = read(directory)?;
    for (name, content) in fresh.iter().filter(|(name, content)| kept.get(*name) != Some(*content))
    {
        fs::write(directory.join(name), content).with_context(|| format!("write {name}"))?;
    }
    for name in kept.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(directory.join(name)).with_context(|| format!("remove {name}"))?;
    }
    Ok(compare(&kept, fresh))
}

/// One line for each query that differs, with the name it gives itself.
pub fn compare(kept: &Queries, fresh: &Queries) -> Vec<String> {
    let added = fresh.iter().filter(|(file, _)| !kept.contains_key(*file));
    let changed = fresh.iter().filter(|(file, new)| kept.get(*file).is_some_and(|old| old != *new));
    let removed = kept.iter().filter(|(file, _)| !fresh.contains_key(*file));
    let line =
        |what, (file, content): (&String, &Vec<u8>)| format!("{what} {} ({file})", title(content));
    added
        .map(|query| line("new     ", query))
        .chain(changed.map(|query| line("changed ", query)))
        .chain(removed.map(|query| line("unused  ", query)))
        .collect()
}

/// The first line of a query, which names it: `-- queue.claim`.
fn title(content: &[u8]) -> String {
    const START: &str = "\"query\": \"";
    let text = String::from_utf8_lossy(content);
    let query = text.split_once(START).map_or("", |(_, query)| query);
    let query = query.trim_start_matches("\\n").trim_start();
    let line = query.split("\\n").next().unwrap_or_default();
    line.split_once("\",").map_or(line, |(line, _)| line).trim_start_matches("-- ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, column: &str) -> (String, Vec<u8>) {
        let json = format!(
            "{{\n  \"db_name\": \"PostgreSQL\",\n  \"query\": \"-- {name}\\nSELECT 1\",\n  \
             \"describe\": \"{column}\"\n}}\n"
        );
        (format!("query-{name}.json"), json.into_bytes())
    }

    #[test]
    fn each_kind_of_difference_is_named() {
        let kept = Queries::from([query("same", "a"), query("changed", "a"), query("unused", "a")]);
        let fresh = Queries::from([query("same", "a"), query("changed", "b"), query("new", "a")]);
        let differences = compare(&kept, &fresh);
        assert_eq!(
            differences,
            [
                "new      new (query-new.json)",
                "changed  changed (query-changed.json)",
                "unused   unused (query-unused.json)"
            ]
        );
        assert!(compare(&fresh, &fresh).is_empty());
    }

    #[test]
    fn writing_leaves_exactly_the_fresh_queries() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let kept = Queries::from([query("changed", "a"), query("unused", "a")]);
        let fresh = Queries::from([query("changed", "b"), query("new", "a")]);
        let place = directory.path().join("queries");
        assert_eq!(write(&place, &kept)?.len(), 2);
        assert_eq!(write(&place, &fresh)?.len(), 3);
        assert_eq!(read(&place)?, fresh);
        assert!(write(&place, &fresh)?.is_empty());
        Ok(())
    }
}
