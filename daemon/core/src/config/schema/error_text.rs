//! What an error of the configuration says: the place and the message, without content of the file that may be a secret.

use rolecall_protocol::similar_names;
use serde_path_to_error::Segment;
use toml::de::DeTable;

use super::keys;

/// The longest unknown key that an error shows. Access keys and entry keys are longer or have other characters.
const MAX_SHOWN_KEY: usize = 32;
/// The most digits in an unknown key that an error shows. A secret has more.
const MAX_SHOWN_DIGITS: usize = 2;
/// The longest name of a profile or source that an error shows.
const MAX_SHOWN_NAME: usize = 64;

/// Returns the message of the parser as one line.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    without_value(&message).unwrap_or(message)
}

/// Returns a message of serde without the text that it quotes from the file; `None` for a message that quotes none.
fn without_value(message: &str) -> Option<String> {
    let kinds = ["invalid type: string", "invalid value: string", "unknown variant", "duplicate field"];
    let kind = kinds.into_iter().find(|kind| message.starts_with(kind))?;
    let expected = message.rfind(", expected ").and_then(|at| message.get(at..)).unwrap_or_default();
    Some(format!("{kind}{expected}"))
}

/// Returns the message for a path whose last key is unknown in its table; `None` for any other path.
pub(super) fn unknown_key(path: &serde_path_to_error::Path) -> Option<String> {
    let names = map_keys(path)?;
    let (unknown, table) = names.split_last()?;
    let known = keys::of_table(table).filter(|known| !known.contains(unknown))?;
    if !may_be_shown(table, unknown) {
        return Some(format!("unknown key; known keys: {}", known.join(", ")));
    }
    Some(match similar_names(unknown, known.iter().copied()).first() {
        Some(near) => format!("unknown key \"{unknown}\"; did you mean \"{near}\"?"),
        None => format!("unknown key \"{unknown}\"; known keys: {}", known.join(", ")),
    })
}

/// Returns the keys of a path of tables; `None` if a part of the path is in a list.
fn map_keys(path: &serde_path_to_error::Path) -> Option<Vec<&str>> {
    path.iter()
        .map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect()
}

/// Returns a path as text, without the keys that may be a secret.
pub(super) fn shown_path(path: &serde_path_to_error::Path) -> String {
    let (mut shown, mut table) = (String::new(), Vec::new());
    for segment in path {
        match segment {
            Segment::Map { key } => {
                let separator = if shown.is_empty() { "" } else { "." };
                shown.extend([separator, if may_be_shown(&table, key) { key } else { "…" }]);
                table.push(key.as_str());
            }
            Segment::Seq { index } => shown.extend(["[", &index.to_string(), "]"]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    shown
}

/// Whether a key of a table is known, is like a misspelt known key, or is like a name. Any other key may be a secret in a wrong
/// place, and may move a terminal's cursor.
fn may_be_shown(table: &[&str], key: &str) -> bool {
    match keys::of_table(table) {
        Some(known) => {
            let is_like_one = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
            let digits = key.chars().filter(char::is_ascii_digit).count();
            known.contains(&key) || (is_like_one && digits <= MAX_SHOWN_DIGITS && key.len() <= MAX_SHOWN_KEY)
        }
        None => key.len() <= MAX_SHOWN_NAME && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-:,@ ".contains(c)),
    }
}

/// Returns the line of a dotted key, or of the nearest table above it. Parses the text again, so it is for errors only.
pub(in crate::config) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (mut table, mut start) = (Some(document.get_ref()), None);
    for part in key.split('.') {
        let Some((found, value)) = table.and_then(|table| table.get_key_value(part)) else { break };
        start = Some(found.span().start);
        table = value.get_ref().as_table();
    }
    start.map(|start| line_at(text, start))
}

pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}
