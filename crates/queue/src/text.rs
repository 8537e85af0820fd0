//! Text on its way into Postgres.

/// At most `max_bytes` of it, cut at a character's edge; Postgres takes no zero bytes.
pub(crate) fn storable(text: &str, max_bytes: usize) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_loses_zero_bytes() {
        let long = "é".repeat(100);
        assert_eq!(storable(&format!("x{long}"), 100).len(), 99);
        assert_eq!(storable("a\0b", 100), "a\u{fffd}b");
        assert_eq!(storable("\0\0", 5), "\u{fffd}");
    }
}
