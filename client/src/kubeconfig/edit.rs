//! Turns one text of a kubeconfig into another that means what was asked for and otherwise stays as it was.
//!
//! What to change is found by comparing two models, and each difference becomes one edit of yaml-edit's lossless tree.
//! The result is read again by the other library: unless it means exactly what was wanted, it is refused.

use std::path::Path;
use std::str::FromStr;

use yaml_edit::{Document, Mapping, Sequence, YamlFile};

use super::emit;
use super::error::KubeconfigError;
use super::model::{self, Value};

/// The text that means `new`, made from `text`, which means `old`.
pub(super) fn rewrite(path: &Path, text: &str, old: &Value, new: &Value) -> Result<String, KubeconfigError> {
    let cannot = |why| KubeconfigError::CannotEdit { path: path.to_owned(), why };
    let edited = match old {
        Value::Null => append(text, new),
        _ => edit(text, old, new).map_err(cannot)?,
    };
    match model::parse(path, &edited) {
        Ok(found) if found == *new => Ok(edited),
        _ => Err(cannot("the result would not mean what it should")),
    }
}

/// Nothing but comments, blank lines and perhaps a `---`: what is new goes below them.
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

/// Makes a mapping mean `new` instead of `old`, touching only what differs.
fn sync_map(node: &Mapping, old: &Value, new: &Value) -> Result<(), &'static str> {
    let (Value::Map(old_pairs), Value::Map(new_pairs)) = (old, new) else { return Err("a mapping became none") };
    for key in old_pairs.iter().filter_map(|(key, _)| key.as_str()) {
        if new.get(key).is_none() {
            node.remove(key);
        }
    }
    for (key, value) in new_pairs.iter().filter_map(|(key, value)| Some((key.as_str()?, value))) {
        let before = old.get(key);
        if before == Some(value) {
            continue;
        }
        match (before, value, node.get_mapping(key), node.get_sequence(key)) {
            (Some(before @ Value::Map(_)), Value::Map(_), Some(inner), _) => sync_map(&inner, before, value)?,
            (Some(Value::List(before)), Value::List(items), _, Some(inner)) if !before.is_empty() => {
                sync_list(&inner, before, items)?;
            }
            _ => node.set(key, literal(value, node.is_flow_style())?),
        }
    }
    Ok(())
}

/// Makes a sequence mean `new` instead of `old`, where `new` has the items of `old` in their order, some changed, some
/// gone, and others added at the end.
fn sync_list(node: &Sequence, old: &[Value], new: &[Value]) -> Result<(), &'static str> {
    let mut rest = new.iter().peekable();
    let mut gone = Vec::new();
    for (index, before) in old.iter().enumerate() {
        let Some(item) = rest.next_if(|item| is_same_item(before, item)) else {
            gone.push(index);
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
    // From the back, so that the places of the others hold; last, so that a list never runs empty on the way.
    for index in gone.into_iter().rev() {
        node.remove(index);
    }
    Ok(())
}

/// Whether an item is an older state of the other: it has the same name, or is equal.
fn is_same_item(before: &Value, after: &Value) -> bool {
    match (before.get("name"), after.get("name")) {
        (Some(a), Some(b)) => a == b,
        _ => before == after,
    }
}

/// A new value as yaml-edit takes it, in the style of what it is put into.
fn literal(value: &Value, flow: bool) -> Result<Document, &'static str> {
    let text = if flow { emit::flow(value) } else { emit::block(value) };
    Document::from_str(&text).map_err(|_| "a new value cannot be written")
}
