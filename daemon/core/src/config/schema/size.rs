//! The limits of a text before it is parsed.

/// The limit of characters that separate keys, values and tables.
const MAX_MARKS: usize = 1_000_000;
/// The limit of inline tables.
const MAX_INLINE_TABLES: usize = 40_000;
/// The limit of brackets and braces that are open at once. The parser refuses tables in each other above 80, but overflows the
/// stack with hundreds of them that are not closed.
const MAX_OPEN_BRACKETS: usize = 128;

/// Errors if a text has more parts than any configuration of 10,000 profiles: the parser needs up to 60 bytes for each mark and
/// 1.5 KB for each inline table, so a text of 8 MB could take gigabytes.
pub(in crate::config) fn check_size(text: &str) -> Result<(), String> {
    let count = |marks: &[u8]| text.bytes().filter(|byte| marks.contains(byte)).count();
    if count(b"{") > MAX_INLINE_TABLES || count(b"[]{}=,.\n\"'#") > MAX_MARKS {
        return Err(format!("has more than {MAX_MARKS} marks or {MAX_INLINE_TABLES} inline tables"));
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
