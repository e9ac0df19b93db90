//! What go-yaml v2, the parser of the authenticator, rejects although YAML 1.2 allows it.

use std::ops::Range;

use super::node::{Content, Node, Position, Style, YamlError};

/// Errors if the text has a control character, or a line break that only YAML 1.1 knows. A text with such a line break
/// would have other lines for the authenticator.
pub(crate) fn check_text(text: &str) -> Result<(), YamlError> {
    let is_rejected = |c: char| match c {
        '\n' | '\r' | '\t' => false,
        '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => true,
        c => c.is_control(),
    };
    let Some((offset, found)) = text.char_indices().find(|(_, c)| is_rejected(*c)) else { return Ok(()) };
    let before = &text[..offset];
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
    let message = format!("the character {} is not allowed", found.escape_unicode());
    Err(YamlError { at: Position { line, column }, message })
}

/// Errors if a line begins with a directive other than those of YAML 1.1.
pub(crate) fn check_directives(text: &str) -> Result<(), YamlError> {
    let is_unknown = |line: &str| line.starts_with('%') && !line.starts_with("%YAML ") && !line.starts_with("%TAG ");
    match text.lines().position(is_unknown) {
        Some(line) => Err(reject(Position { line: line + 1, column: 1 }, "a line begins with an unknown directive")),
        None => Ok(()),
    }
}

/// Errors if the text begins with the end of a document.
pub(crate) fn check_start(text: &str) -> Result<(), YamlError> {
    let is_content = |line: &str| !line.trim_start().is_empty() && !line.trim_start().starts_with('#');
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let is_end =
        |line: &str| line.strip_prefix("...").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
    match lines.find(|(_, line)| is_content(line)) {
        Some((line, content)) if is_end(content) => {
            Err(reject(Position { line: line + 1, column: 1 }, "a document ends before it begins"))
        }
        _ => Ok(()),
    }
}

/// Returns the text up to the marker that ends the first document, whose content ends at `end`.
pub(crate) fn first_document(text: &str, end: usize) -> &str {
    let rest = text.get(end..).unwrap_or_default();
    let mut document_end = end;
    for line in rest.split_inclusive('\n') {
        if line.starts_with("---") || line.starts_with("...") {
            break;
        }
        document_end += line.len();
    }
    text.get(..document_end).unwrap_or(text)
}

/// Errors if a line begins with a tab, after spaces or none, or if one after the first begins with a byte order mark, outside
/// the `allowed` places. These are in order.
pub(crate) fn check_indentation(text: &str, allowed: &[Range<usize>]) -> Result<(), YamlError> {
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let column = line.bytes().take_while(|b| *b == b' ').count();
        let at = start + column;
        let place = allowed.get(allowed.partition_point(|place| place.end <= at));
        let message = match line[column..].chars().next() {
            Some('\t') => Some("a tab cannot indent"),
            Some('\u{feff}') if number > 0 => Some("a byte order mark is not at the start"),
            _ => None,
        };
        if let Some(message) = message.filter(|_| place.is_none_or(|place| at < place.start)) {
            return Err(reject(Position { line: number + 1, column: column + 1 }, message));
        }
        start += line.len();
    }
    Ok(())
}

/// Errors if an anchor or alias has another name than letters, digits, `_` and `-`.
pub(crate) fn check_anchor(name: &str, at: Position) -> Result<(), YamlError> {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return Ok(());
    }
    Err(reject(at, "the name of an anchor has a character other than letters, digits, '_' and '-'"))
}

/// Errors if a scalar between brackets or braces has an indicator that ends it in YAML 1.1, or if a quoted one has the
/// escape `\/`.
pub(crate) fn check_scalar(text: &str, node: &Node, in_flow: bool) -> Result<(), YamlError> {
    let source = text.get(node.span.clone()).unwrap_or_default();
    let is_plain = matches!(&node.content, Content::Scalar { is_plain: true, .. });
    let ends_early = source.starts_with(':') || source.contains('?');
    if is_plain && in_flow && ends_early {
        return Err(reject(node.at, "a text between brackets has a ':' or '?' that YAML 1.1 reads as an indicator"));
    }
    if source.starts_with('"') && source.replace("\\\\", "").contains("\\/") {
        return Err(reject(node.at, "YAML 1.1 has no escape \\/"));
    }
    Ok(())
}

/// Errors if a tab indents an item or key.
pub(crate) fn check_item(text: &str, node: &Node, style: Style) -> Result<(), YamlError> {
    let before = text.get(..node.span.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    if style == Style::Block && line.contains('\t') {
        return Err(reject(node.at, "a tab cannot indent"));
    }
    Ok(())
}

/// Errors if a key and its colon are on several lines, or if an entry outside braces begins with the colon.
pub(crate) fn check_entry(text: &str, key: &Node, value: &Node, style: Style) -> Result<(), YamlError> {
    if style == Style::Block && key.span.is_empty() {
        return Err(reject(key.at, "a key is empty"));
    }
    let source = text.get(key.span.clone()).unwrap_or_default();
    let between = text.get(key.span.end..value.span.start).unwrap_or_default();
    let before_colon = between.split(':').next().unwrap_or_default();
    if source.contains(['\n', '\r']) || before_colon.contains(['\n', '\r']) {
        return Err(reject(key.at, "a key is on more than one line"));
    }
    Ok(())
}

fn reject(at: Position, message: &str) -> YamlError {
    YamlError { at, message: message.to_owned() }
}
