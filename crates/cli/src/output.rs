//! What commands print: text for people, JSON for machines.

use std::fmt::Display;

use serde::Serialize;

#[derive(Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` as JSON, or the text that `human` makes of it.
    pub fn show<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { human(value) };
        print(&text);
        Ok(())
    }

    /// Prints `value` as JSON, whatever was asked for.
    #[cfg(feature = "bench")]
    pub fn json<T: Serialize>(self, value: &T) -> anyhow::Result<()> {
        print(&serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Prints an error with its causes, on one line each.
    pub fn error(self, error: &anyhow::Error) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
        } else {
            eprintln!("beadle: {error:#}");
        }
    }
}

/// Columns as wide as their widest cell.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = std::iter::once(line(head));
    head.chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str))))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What stands in a cell when there is nothing to show.
pub fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// A reader that went away, as `head` does, is no error.
fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
