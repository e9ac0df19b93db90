//! Edits of a YAML text at the places of its nodes. They know the layout and leave the check of the meaning to the caller.

use super::node::{Content, Node, Style};
use super::value::{Value, ValueData, is_plain_text};

/// Returns the text with one more mapping at the end of a list.
pub(super) fn append(text: &str, list: &Node, fields: &[(&'static str, Value)]) -> Option<String> {
    if !matches!(list.content, Content::List { .. }) {
        return replace_bytes(text, list.span.start, list.span.end, &format!("[{}]", flow_map(fields)));
    }
    append_item(text, list, &flow_map(fields), |indent| block_map(fields, indent))
}

/// Returns a text that has no list yet with a list of one mapping at its end.
pub(super) fn first_item(text: &str, fields: &[(&'static str, Value)]) -> String {
    let eol = line_break(text);
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { eol };
    format!("{text}{separator}{}{eol}", block_map(fields, "").replace('\n', eol))
}

/// Returns the text without an item of a list.
pub(super) fn remove(text: &str, list: &Node, index: usize) -> Option<String> {
    let Content::List { items, style } = &list.content else { return None };
    let item = items.get(index)?;
    if list.is_alias {
        return None;
    }
    if *style == Style::Flow {
        return remove_flow_item(text, items, index);
    }
    let start = line_start(text, dash(text, list, items, index)?)?;
    replace_bytes(text, start, line_end(text, item.span.end.max(start)), "")
}

/// Returns the text with another value of an entry of a mapping.
pub(super) fn replace(text: &str, item: &Node, name: &Node, old: &Node, new: &Value) -> Option<String> {
    if old.is_alias || old.has_anchor || old.tag.is_some() {
        return None;
    }
    if let (Content::List { items, style: Style::Block }, ValueData::List(wanted)) = (&old.content, &new.data)
        && !wanted.is_empty()
    {
        return replace_block_list(text, old, items, wanted);
    }
    let in_flow = style_of(item) == Style::Flow;
    if old.span.is_empty() {
        let colon = name.span.end + text.get(name.span.end..)?.find(':')?;
        return replace_bytes(text, colon + 1, colon + 1, &format!(" {}", inline(new, in_flow)));
    }
    let is_block_list = matches!(old.content, Content::List { style: Style::Block, .. });
    if is_block_list {
        // `groups:` and its lines become `groups: []`.
        let colon = name.span.end + text.get(name.span.end..)?.find(':')?;
        return replace_bytes(text, colon + 1, old.span.end, &format!(" {}", inline(new, in_flow)));
    }
    replace_bytes(text, old.span.start, old.span.end, &inline(new, in_flow))
}

/// Returns the text with one more entry in a mapping, after its first one.
pub(super) fn insert_entry(text: &str, item: &Node, name: &str, new: &Value) -> Option<String> {
    let Content::Map { entries, style } = &item.content else { return None };
    let (first_key, first_value) = entries.first()?;
    if *style == Style::Flow {
        let entry = format!(", {}: {}", quoted(name), inline(new, true));
        return replace_bytes(text, first_value.span.end, first_value.span.end, &entry);
    }
    let indent = " ".repeat(first_key.at.column - 1);
    let entry = format!("{indent}{name}: {}", inline(new, false));
    insert_line(text, first_value.span.end.max(first_key.span.end), &entry)
}

/// Changes a list in block style item by item, so that comments between the items stay.
fn replace_block_list(text: &str, list: &Node, items: &[Node], wanted: &[Value]) -> Option<String> {
    let mut current: Vec<Value> = items.iter().map(Value::of).collect::<Result<_, _>>().ok()?;
    let mut text = text.to_owned();
    // The new items go below the last one, which therefore has to stay until they are written.
    for item in wanted.iter().filter(|item| !current.contains(item)) {
        text = append_item(&text, list, "", |_| inline(item, false))?;
    }
    let keeps = |value: &Value| wanted.contains(value);
    for index in (0..current.len()).rev().filter(|index| !keeps(&current[*index])).collect::<Vec<_>>() {
        text = remove(&text, list, index)?;
        current.remove(index);
    }
    Some(text)
}

/// Appends an item: `flow` to a list in brackets, or else the lines of `block`, which gets the indentation of the dashes.
fn append_item(text: &str, list: &Node, flow: &str, block: impl FnOnce(&str) -> String) -> Option<String> {
    let Content::List { items, style } = &list.content else { return None };
    if list.is_alias {
        return None;
    }
    if *style == Style::Block {
        let start = line_start(text, list.span.start)?;
        let indent = text.get(start..list.span.start)?;
        let item = block(indent);
        let item = if item.starts_with(indent) && item[indent.len()..].starts_with("- ") {
            item
        } else {
            format!("{indent}- {item}")
        };
        return insert_line(text, list.span.end, &item);
    }
    let close = list.span.end.checked_sub(1)?;
    let Some(last) = items.last() else { return replace_bytes(text, close, close, flow) };
    let after = text.get(last.span.end..close)?;
    match after.find(',') {
        Some(comma) => {
            let at = last.span.end + comma + 1;
            replace_bytes(text, at, at, &format!(" {flow}"))
        }
        None => replace_bytes(text, last.span.end, last.span.end, &format!(", {flow}")),
    }
}

fn remove_flow_item(text: &str, items: &[Node], index: usize) -> Option<String> {
    let item = items.get(index)?;
    if item.has_anchor || item.tag.is_some() {
        return None;
    }
    if let Some(next) = items.get(index + 1) {
        let between = text.get(item.span.end..next.span.start)?;
        let after_comma = between.find(',')? + 1;
        // A comment needs the space before it.
        let rest = &between[after_comma..];
        let kept = rest.trim_start();
        let spaces = if kept.starts_with('#') { 0 } else { rest.len() - kept.len() };
        return replace_bytes(text, item.span.start, item.span.end + after_comma + spaces, "");
    }
    let start = match index.checked_sub(1).and_then(|previous| items.get(previous)) {
        Some(previous) if text.get(previous.span.end..item.span.start)?.trim() == "," => previous.span.end,
        _ => item.span.start,
    };
    replace_bytes(text, start, item.span.end, "")
}

/// Returns the place of the dash of an item in block style.
fn dash(text: &str, list: &Node, items: &[Node], index: usize) -> Option<usize> {
    let Some(previous) = index.checked_sub(1).and_then(|previous| items.get(previous)) else {
        return text.get(list.span.start..)?.starts_with('-').then_some(list.span.start);
    };
    let column = list.span.start - text.get(..list.span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let mut start = line_end(text, previous.span.end);
    while start < text.len() {
        let end = line_end(text, start);
        let line = text.get(start..end)?;
        let trimmed = line.trim_start_matches(' ');
        if trimmed.starts_with('-') {
            return (line.len() - trimmed.len() == column).then_some(start + column);
        }
        start = end;
    }
    None
}

/// Returns the start of the line of `at`, if only spaces are before it.
fn line_start(text: &str, at: usize) -> Option<usize> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |line_break| line_break + 1);
    text.get(start..at)?.bytes().all(|b| b == b' ').then_some(start)
}

/// Returns the start of the line after `at`, or the end of the text.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |line_break| at + line_break + 1)
}

/// Inserts lines below the line of `at`.
fn insert_line(text: &str, at: usize, lines: &str) -> Option<String> {
    let eol = line_break(text);
    let lines = lines.replace('\n', eol);
    let end = line_end(text, at);
    if text.get(..end)?.ends_with('\n') {
        replace_bytes(text, end, end, &format!("{lines}{eol}"))
    } else {
        replace_bytes(text, end, end, &format!("{eol}{lines}"))
    }
}

fn replace_bytes(text: &str, start: usize, end: usize, new: &str) -> Option<String> {
    Some(format!("{}{new}{}", text.get(..start)?, text.get(end..)?))
}

fn line_break(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn style_of(node: &Node) -> Style {
    match &node.content {
        Content::Scalar { .. } => Style::Block,
        Content::List { style, .. } | Content::Map { style, .. } => *style,
    }
}

/// A mapping as an item in block style, without a line break at its end.
fn block_map(fields: &[(&'static str, Value)], indent: &str) -> String {
    let mut lines = Vec::new();
    for (name, value) in fields {
        let lead = if lines.is_empty() { "- " } else { "  " };
        match &value.data {
            ValueData::List(items) if !items.is_empty() => {
                lines.push(format!("{indent}{lead}{name}:"));
                lines.extend(items.iter().map(|item| format!("{indent}    - {}", inline(item, false))));
            }
            _ => lines.push(format!("{indent}{lead}{name}: {}", inline(value, false))),
        }
    }
    lines.join("\n")
}

/// A mapping in flow style, which is JSON.
fn flow_map(fields: &[(&'static str, Value)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), inline(value, true))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A text or a list of texts on one line. In flow style it is JSON.
fn inline(value: &Value, in_flow: bool) -> String {
    match &value.data {
        ValueData::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(item, true)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueData::Text(text) if !in_flow && is_plain_text(text) => text.clone(),
        ValueData::Text(text) => quoted(text),
        _ => "null".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
