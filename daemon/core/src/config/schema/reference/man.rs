//! The part of the man page that the key table gives.
//!
//! A line `.\" key PATH…` in the page begins a part that this module writes, and `.\" end` ends it. For one key it is the
//! heading, the summary and the default; the page explains details below it. For several keys it is the heading.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::key_table::{Key, Kind, TABLES, Value};
use super::{find, keys_of};

const BEGIN: &str = ".\\\" key ";
const END: &str = ".\\\" end";
/// The width of the names in a heading.
const HEADING_WIDTH: usize = 66;

/// Returns the page with current parts. Panics if a mark names an unknown key, or if a key has no mark.
pub(super) fn with_reference(page: &str) -> String {
    let (mut text, mut described) = (String::new(), BTreeSet::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(text, "{line}");
        let Some(paths) = line.strip_prefix(BEGIN) else { continue };
        let keys: Vec<&Key> = paths.split(' ').map(|path| by_path(path).unwrap_or_else(|| panic!("{line}"))).collect();
        described.extend(paths.split(' '));
        text += &part(&keys);
        let _ = writeln!(text, "{END}");
        assert!(lines.by_ref().any(|line| line == END), "{line}: without an end");
    }
    for table in TABLES {
        for key in keys_of(table.name) {
            let path = if table.name.is_empty() { key.name.to_owned() } else { format!("{}.{}", table.name, key.name) };
            assert!(described.contains(&*path), "the page has no line: {BEGIN}{path}");
        }
    }
    text
}

fn by_path(path: &str) -> Option<&'static Key> {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    find(table, name)
}

fn part(keys: &[&Key]) -> String {
    let [key] = keys else { return heading(keys) };
    let required = if matches!(key.value, Value::Required(_)) { ", required" } else { "" };
    let mut text = format!(".TP\n.BR {} \" ({}{required})\"\n{}\n", key.name, type_name(key.kind), roff(key.summary));
    if let Value::Default(value) = key.value {
        match value {
            "[]" | "{}" => text += "Default: none.\n",
            value => drop(writeln!(text, "Default:\n.BR {} .", escaped(value))),
        }
    }
    text
}

/// Returns the names of several keys, and their type if it is one.
fn heading(keys: &[&Key]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for key in keys {
        match lines.last_mut() {
            Some(line) if line.len() + key.name.len() < HEADING_WIDTH => {
                let _ = write!(line, " \", \" {}", key.name);
            }
            _ => lines.push(format!(".BR {}", key.name)),
        }
    }
    let types: BTreeSet<&str> = keys.iter().map(|key| type_name(key.kind)).collect();
    let plural = match types.first() {
        Some(name) if types.len() == 1 => format!(" \" ({name}s)\""),
        _ => String::new(),
    };
    format!(".TP\n{}{plural}\n", lines.join("\n.TQ\n"))
}

const fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::OneOf(_) | Kind::Sha256 => "string",
        Kind::Boolean => "boolean",
        Kind::Texts => "array of strings",
        Kind::TextOrTexts => "string or array of strings",
        Kind::TextTable => "table of strings",
        Kind::Keys => "table",
    }
}

/// Returns Markdown as a line of roff.
fn roff(markdown: &str) -> String {
    let part = |(index, part): (usize, &str)| match index % 2 {
        1 => format!("\\fB{}\\fP", escaped(part)),
        _ => escaped(part).replace("\\-", "-"),
    };
    markdown.split('`').enumerate().map(part).collect()
}

fn escaped(text: &str) -> String {
    text.replace('-', "\\-").replace('~', "\\(ti").replace('\'', "\\(aq").replace('"', "\\(dq")
}
