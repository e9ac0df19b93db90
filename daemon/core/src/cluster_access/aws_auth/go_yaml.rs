//! What go-yaml v2, the parser of the authenticator, rejects although YAML 1.2 allows it.

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
    let ends_early = source.starts_with([':', '?']) || source.contains("? ") || source.ends_with('?');
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

/// Errors if a key and its colon are on several lines.
pub(crate) fn check_entry(text: &str, key: &Node, value: &Node) -> Result<(), YamlError> {
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
