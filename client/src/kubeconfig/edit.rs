//! Applies the difference of two models to the text of a kubeconfig and keeps the rest of the text.
//!
//! Each difference becomes one edit of yaml-edit's lossless syntax tree. [`model::parse`], which uses another library,
//! then reads the new text; a text that does not mean exactly the new model is rejected.

use std::path::Path;
use std::str::FromStr;

use yaml_edit::{Document, Mapping, MappingEntry, Sequence, YamlFile, YamlNode};

use super::emit;
use super::error::KubeconfigError;
use super::model::{self, Value};

/// Returns `text`, which means `old`, edited so that it means `new`.
///
/// # Errors
/// `CannotEdit` if the new text would not mean exactly `new`.
pub(super) fn rewrite(path: &Path, text: &str, old: &Value, new: &Value) -> Result<String, KubeconfigError> {
    let cannot = |why| KubeconfigError::CannotEdit { path: path.to_owned(), why };
    let (document, rest) = model::split_first_document(text);
    let mut edited = match old {
        Value::Null => append(document, new),
        _ => edit(document, old, new).map_err(cannot)?,
    };
    edited.push_str(rest);
    match model::parse(path, &edited) {
        Ok(found) if found == *new => Ok(edited),
        _ => Err(cannot("the result would not mean what it should")),
    }
}

/// Appends the new content to a text with only comments, blank lines and perhaps a `---`.
fn append(text: &str, new: &Value) -> String {
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { line_break };
    format!("{text}{gap}{}", emit::block(new).replace('\n', line_break))
}

fn edit(text: &str, old: &Value, new: &Value) -> Result<String, &'static str> {
    let file = YamlFile::from_str(text).map_err(|_| "its layout is not understood")?;
    let document = file.document().ok_or("its layout is not understood")?;
    let root = document.as_mapping().ok_or("its top level is tagged or an alias")?;
    sync_map(&root, old, new)?;
    Ok(file.to_string())
}

/// Changes a mapping from `old` to `new`. Equal parts stay untouched.
fn sync_map(node: &Mapping, old: &Value, new: &Value) -> Result<(), &'static str> {
    let (Value::Map(old_pairs), Value::Map(new_pairs)) = (old, new) else { return Err("a mapping became none") };
    for key in old_pairs.iter().filter_map(|(key, _)| key.as_str()) {
        if new.get(key).is_none() {
            while node.remove(key).is_some() {}
        }
    }
    for (key, value) in new_pairs.iter().filter_map(|(key, value)| Some((key.as_str()?, value))) {
        let before = old.get(key);
        if before == Some(value) {
            continue;
        }
        // Of a key that is there twice, the last value is in force.
        let entry = node.find_all_entries_by_key(key).last();
        let inner = entry.as_ref().and_then(MappingEntry::value_node);
        let (inner_map, inner_list) = match inner {
            Some(YamlNode::Mapping(inner)) => (Some(inner), None),
            Some(YamlNode::Sequence(inner)) => (None, Some(inner)),
            Some(YamlNode::TaggedNode(inner)) => (inner.as_mapping(), inner.as_sequence()),
            _ => (None, None),
        };
        match (before, value, inner_map, inner_list) {
            (Some(before @ Value::Map(_)), Value::Map(_), Some(inner), _) => sync_map(&inner, before, value)?,
            (Some(Value::List(before)), Value::List(items), _, Some(inner)) if !before.is_empty() => {
                sync_list(&inner, before, items)?;
            }
            _ => {
                let flow = node.is_flow_style();
                match entry {
                    Some(entry) => entry.set_value(literal(value, flow)?, flow),
                    None => node.set(key, literal(value, flow)?),
                }
            }
        }
    }
    Ok(())
}

/// Changes a sequence from `old` to `new`, where `new` has the items of `old` in the same order, some changed, some
/// removed, and others added at the end.
fn sync_list(node: &Sequence, old: &[Value], new: &[Value]) -> Result<(), &'static str> {
    let mut rest = new.iter().peekable();
    let mut removed = Vec::new();
    for (index, before) in old.iter().enumerate() {
        let Some(item) = rest.next_if(|item| is_same_item(before, item)) else {
            removed.push(index);
            continue;
        };
        if before == item {
            continue;
        }
        let inner = node.get(index).ok_or("an item is missing")?;
        match inner.as_mapping() {
            Some(inner) => sync_map(inner, before, item)?,
            None => {
                node.set(index, literal(item, node.is_flow_style())?);
            }
        }
    }
    for item in rest {
        node.push(literal(item, node.is_flow_style())?);
    }
    // From the back, so that the other indexes stay valid. After adding, so that the list is never empty in between.
    for index in removed.into_iter().rev() {
        node.remove(index);
    }
    Ok(())
}

/// Whether two items are two states of one entry: they have the same name, or are equal.
fn is_same_item(before: &Value, after: &Value) -> bool {
    match (before.get("name"), after.get("name")) {
        (Some(a), Some(b)) => a == b,
        _ => before == after,
    }
}

/// Returns a new value as a yaml-edit document, in flow or block style.
fn literal(value: &Value, flow: bool) -> Result<Document, &'static str> {
    let text = if flow { emit::flow(value) } else { emit::block(value) };
    Document::from_str(&text).map_err(|_| "a new value cannot be written")
}
