//! Rows in the binary form of COPY.

use sqlx::PgConnection;
use uuid::Uuid;

/// The signature, no flags, and no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: i16 = -1;
const NULL: i32 = -1;
/// What stands before the text of a jsonb.
const JSONB_VERSION: u8 = 1;
/// Goes to the server when it has grown so large.
const PIECE: usize = 256 * 1024;

/// A row being written, field by field.
pub(super) struct Row<'a>(&'a mut Vec<u8>);

impl Row<'_> {
    pub fn uuid(&mut self, value: Uuid) {
        self.field(&[value.as_bytes()]);
    }

    pub fn text(&mut self, value: &str) {
        self.field(&[value.as_bytes()]);
    }

    pub fn smallint(&mut self, value: i16) {
        self.field(&[&value.to_be_bytes()]);
    }

    pub fn jsonb(&mut self, value: &str) {
        self.field(&[&[JSONB_VERSION], value.as_bytes()]);
    }

    pub fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => put(self, value),
            None => self.0.extend(NULL.to_be_bytes()),
        }
    }

    fn field(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // Arguments are bounded, and names are shorter.
        self.0.extend(i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
    }
}

/// Copies so many rows, of so many fields each, as `statement` says.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    rows: usize,
    fields: i16,
    put: impl Fn(usize, &mut Row<'_>),
) -> sqlx::Result<()> {
    let mut copying = connection.copy_in_raw(statement).await?;
    let mut bytes = HEADER.to_vec();
    for index in 0..rows {
        bytes.extend(fields.to_be_bytes());
        put(index, &mut Row(&mut bytes));
        if bytes.len() >= PIECE {
            copying.send(&bytes[..]).await?;
            bytes.clear();
        }
    }
    bytes.extend(END.to_be_bytes());
    copying.send(&bytes[..]).await?;
    copying.finish().await?;
    Ok(())
}
