//! Splits the text of a configuration into sections.

use std::io::{BufRead, ErrorKind, Read as _};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;

use crate::config::schema::{MAX_BYTES_AT_ONCE, too_large_table};
use crate::config::{ConfigError, trusted_file};

/// The text from the header of one table to the next.
pub(super) struct Section<'a> {
    pub(super) text: &'a str,
    /// The number of lines before it.
    pub(super) lines_before: usize,
}

impl Section<'_> {
    /// Returns an error of the section as one of the file.
    pub(super) fn error_in_file(&self, error: ConfigError) -> ConfigError {
        ConfigError { line: error.line.map(|line| line + self.lines_before), ..error }
    }
}

/// Splits the text before each line that begins with a bracket: the header of a table. Within an array of several lines such a
/// line is no header; the array is then invalid in two parts.
pub(super) fn for_each_section(
    path: &Path,
    reader: &mut impl BufRead,
    mut each: impl FnMut(Section<'_>) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let mut reader = reader.take(MAX_CONFIG_BYTES as u64 + 1);
    let (mut text, mut lines, mut lines_before) = (String::new(), 0, 0);
    let mut position = Position::Code;
    loop {
        let begin = text.len();
        let room = (MAX_BYTES_AT_ONCE + 1).saturating_sub(begin);
        let length =
            reader.by_ref().take(room as u64).read_line(&mut text).map_err(|error| unreadable(path, &error))?;
        if reader.limit() == 0 {
            return Err(ConfigError::of_file(path, trusted_file::too_large()));
        }
        if text.len() > MAX_BYTES_AT_ONCE {
            return Err(ConfigError::of_file(path, too_large_table()));
        }
        let (before, line) = text.split_at(begin);
        if length == 0 {
            return each(Section { text: before, lines_before });
        }
        if position == Position::Code && line.starts_with('[') {
            each(Section { text: before, lines_before })?;
            lines_before = lines;
            text.drain(..begin);
        }
        position = position.after(&text[text.len() - length..]);
        lines += 1;
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    match error.kind() {
        // Or the end of the section's room is within a character.
        ErrorKind::InvalidData => ConfigError::of_file(path, format!("is not UTF-8 text, or {}", too_large_table())),
        _ => ConfigError::of_file(path, trusted_file::unreadable(error)),
    }
}

/// What the beginning of a line is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Keys, values and tables.
    Code,
    /// A string in three `"`, which has escapes.
    Basic,
    /// A string in three `'`.
    Literal,
}

impl Position {
    /// Returns the position after a line.
    fn after(mut self, line: &str) -> Self {
        let mut rest = line;
        loop {
            let found = match self {
                Self::Code => rest.find(['"', '\'', '#']).and_then(|start| in_code(&rest[start..])),
                Self::Basic => end_of_string(rest, "\"\"\"", true).map(|rest| (Self::Code, rest)),
                Self::Literal => end_of_string(rest, "'''", false).map(|rest| (Self::Code, rest)),
            };
            let Some((position, after)) = found else { return self };
            (self, rest) = (position, after);
        }
    }
}

/// Returns the position after a quote or the beginning of a comment. `None` if only the end of the line follows.
fn in_code(text: &str) -> Option<(Position, &str)> {
    for (quotes, position) in [("\"\"\"", Position::Basic), ("'''", Position::Literal)] {
        if let Some(rest) = text.strip_prefix(quotes) {
            return Some((position, rest));
        }
    }
    let rest = match text.strip_prefix('"') {
        Some(string) => end_of_string(string, "\"", true),
        None => end_of_string(text.strip_prefix('\'')?, "'", false),
    };
    Some((Position::Code, rest?))
}

/// Returns the text after the end of a string.
fn end_of_string<'a>(text: &'a str, end: &str, has_escapes: bool) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let at = rest.find(end)?;
        let escape = rest[..at].find('\\').filter(|_| has_escapes);
        if let Some(escape) = escape {
            let mut escaped = rest[escape + 1..].chars();
            escaped.next();
            rest = escaped.as_str();
            continue;
        }
        let after = &rest[at + end.len()..];
        // A string in three quotes may end with two more.
        let quote = &end[..1];
        let more = if end.len() == 3 { after.len() - after.trim_start_matches(quote).len() } else { 0 };
        return Some(&after[more.min(2)..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let add = |section: Section<'_>| {
            found.push((section.lines_before, section.text.to_owned()));
            Ok(())
        };
        for_each_section(Path::new("c"), &mut text.as_bytes(), add).unwrap();
        found
    }

    #[test]
    fn header_in_string_or_comment_begins_no_section() {
        for string in [
            "\"\"\"\n[x]\n\"\"\"",
            "'''\n[x]\n\\'''",
            "\"\"\"\\\"\"\"\n[x]\n\"\"\"\"\"",
            "\"\"\" \\\\\\\"\n[x]\n\" \"\"\"",
            "''''\n[x]\n'''''",
        ] {
            let text = format!("a = {string} # it's \"\n[b]\n");
            let lines = text.lines().count() - 1;
            let toml = text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(toml.contains_key("b"), "{text}");
            assert_eq!(sections(&text), [(0, text.replace("[b]\n", "")), (lines, "[b]\n".to_owned())], "{text}");
        }
        for line in [
            "a = '\"\"\"'",
            "a = \"'''\"",
            "a = \"\\\"\" # \"\"\"",
            "a = \"\\\\\"",
            "# '''",
            "a = '\\'",
            "a = \"\"\"x\"\"\"",
        ] {
            let text = format!("{line}\n[b]\n");
            assert!(text.parse::<toml::Table>().unwrap().contains_key("b"), "{text}");
            assert_eq!(sections(&text), [(0, format!("{line}\n")), (1, "[b]\n".to_owned())]);
        }
    }

    #[test]
    fn section_and_text_have_limits() {
        let read = |text: &str| {
            let result = for_each_section(Path::new("c"), &mut text.as_bytes(), |_| Ok(()));
            result.map_err(|error| error.message)
        };
        let table = format!("[b]\n{}#\n", "x".repeat(MAX_BYTES_AT_ONCE - 10));
        assert_eq!(read(&table.repeat(7)), Ok(()));
        assert_eq!(read(&table.repeat(9)), Err("is larger than 8 MiB".to_owned()));
        assert_eq!(read(&format!("{table}{}", "#".repeat(5))), Err(too_large_table()));
        assert_eq!(read(&"#".repeat(MAX_BYTES_AT_ONCE + 1)), Err(too_large_table()));
    }
}
