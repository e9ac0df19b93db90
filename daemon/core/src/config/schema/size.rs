//! The limits of a text before it is parsed.

/// The limit of characters that separate keys, values and tables, in a file. A configuration of 10,000 profiles has about
/// 500,000, and a validated one needs up to 32 bytes for each.
pub(in crate::config) const MAX_MARKS: usize = 1_000_000;
/// The size limit of a text that is parsed at once: a table, or all tables that belong to no profile. The parser needs up to
/// eight times as much.
pub(in crate::config) const MAX_BYTES_AT_ONCE: usize = 1024 * 1024;
/// The limit of these characters in a text that is parsed at once. The parser needs up to 210 bytes for each.
pub(in crate::config) const MAX_MARKS_AT_ONCE: usize = 100_000;
/// The limit of inline tables in a text that is parsed at once. The parser needs up to 1.5 KB for each.
const MAX_INLINE_TABLES: usize = 5_000;
/// The limit of brackets and braces that are open at once. The parser refuses tables in each other above 80, but overflows the
/// stack with hundreds of them that are not closed.
const MAX_OPEN_BRACKETS: usize = 128;

/// Returns the number of characters that separate keys, values and tables.
pub(in crate::config) fn count_marks(text: &str) -> usize {
    count(text, b"[]{}=,.\n\"'#")
}

/// Whether a text may be parsed at once.
pub(in crate::config) fn is_small(text: &str) -> bool {
    check_size(text).is_ok()
}

/// Errors if a text has more parts than the parser may hold in memory at once.
pub(in crate::config) fn check_size(text: &str) -> Result<(), String> {
    let is_large = text.len() > MAX_BYTES_AT_ONCE || count_marks(text) > MAX_MARKS_AT_ONCE;
    if is_large || count(text, b"{") > MAX_INLINE_TABLES {
        return Err(too_large_table());
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Err(format!("has more than {MAX_OPEN_BRACKETS} open brackets"));
        }
    }
    Ok(())
}

/// Returns the message for a text that is too large to be parsed at once.
pub(in crate::config) fn too_large_table() -> String {
    let mib = MAX_BYTES_AT_ONCE >> 20;
    format!("has a table of more than {mib} MiB, {MAX_MARKS_AT_ONCE} marks or {MAX_INLINE_TABLES} inline tables")
}

fn count(text: &str, marks: &[u8]) -> usize {
    text.bytes().filter(|byte| marks.contains(byte)).count()
}
