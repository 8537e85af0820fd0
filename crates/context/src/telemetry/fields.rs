//! The fields of spans in JSON lines.
//!
//! Every run of a job has a span, and few say anything in it: what tracing-subscriber does by itself, a
//! tree of values that is then written, costs more than all the rest of the span.

use std::fmt;
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::{FormatFields, FormattedFields, format::Writer};

/// Writes them as a JSON object, one after the other.
pub struct JsonObject;

impl<'a> FormatFields<'a> for JsonObject {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'_>, fields: R) -> fmt::Result {
        writer.write_char('{')?;
        Members::first(&mut writer).write(fields)
    }

    fn add_fields(
        &self,
        current: &'a mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        match current.fields.pop() {
            Some(_) if current.fields != "{" => {
                Members::next(&mut current.as_writer()).write(fields)
            }
            Some(_) => Members::first(&mut current.as_writer()).write(fields),
            None => self.format_fields(current.as_writer(), fields),
        }
    }
}

/// Members of an object that is open, and is closed behind them.
struct Members<'a, 'w> {
    text: &'a mut Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl<'a, 'w> Members<'a, 'w> {
    fn first(text: &'a mut Writer<'w>) -> Self {
        Self { text, is_first: true, result: Ok(()) }
    }

    fn next(text: &'a mut Writer<'w>) -> Self {
        Self { text, is_first: false, result: Ok(()) }
    }

    fn write(mut self, fields: impl RecordFields) -> fmt::Result {
        fields.record(&mut self);
        self.result?;
        self.text.write_char('}')
    }

    fn add(&mut self, field: &Field, value: impl Serialize) {
        if self.result.is_ok() {
            self.result = self.try_add(field, value);
        }
    }

    fn try_add(&mut self, field: &Field, value: impl Serialize) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.text.write_char(',')?;
        }
        let name = field.name();
        json(self.text, name.strip_prefix("r#").unwrap_or(name))?;
        self.text.write_char(':')?;
        json(self.text, value)
    }
}

fn json(text: &mut Writer<'_>, value: impl Serialize) -> fmt::Result {
    serde_json::to_writer(Text(text), &value).map_err(|_| fmt::Error)
}

impl Visit for Members<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, AsText(value));
    }
}

/// A value as it prints itself.
struct AsText<'a>(&'a dyn fmt::Debug);

impl Serialize for AsText<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

/// What takes text, for who writes bytes.
struct Text<'a, 'w>(&'a mut Writer<'w>);

impl io::Write for Text<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
