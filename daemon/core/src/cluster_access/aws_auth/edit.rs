//! Edits of one text of the ConfigMap that keep every other byte: comments, order, quoting, indentation and line breaks.
//!
//! After each edit the text is read again. If anything but the edited mapping then means something else, the edit is
//! refused.

use super::node::{Content, Node, Position, YamlError};
use super::read::{fold, is_skippable};
use super::text_edit;
use super::value::{Value, ValueData};
use super::yaml;
use super::{Data, MapKey};

/// A mapping to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMapping {
    /// The list: [`MapKey::Roles`] or [`MapKey::Users`].
    pub key: MapKey,
    /// The ARN of the role or user, without a path for a role.
    pub arn: String,
    /// The name of the user in Kubernetes.
    pub username: String,
    /// The groups of the user in Kubernetes.
    pub groups: Vec<String>,
}

/// A change of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingChange {
    /// The new name of the user, if it changes.
    pub username: Option<String>,
    /// The new groups, if they change.
    pub groups: Option<Vec<String>>,
}

/// Why a text was not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not valid YAML.
    #[error("{key} is not valid YAML at line {line}, column {column}: {message}")]
    InvalidYaml {
        /// The text.
        key: MapKey,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser reports.
        message: String,
    },
    /// The text is not a list.
    #[error("{key} is not a list of mappings")]
    NotAList {
        /// The text.
        key: MapKey,
    },
    /// The text has no such item.
    #[error("{key} has no item {index}")]
    NoItem {
        /// The text.
        key: MapKey,
        /// The index of the item.
        index: usize,
    },
    /// The edit would change more than the mapping, for example because an alias refers to it.
    #[error("{key} has aliases or a layout at line {line} that prevent a safe edit")]
    Unsafe {
        /// The text.
        key: MapKey,
        /// The line, from 1.
        line: usize,
    },
}

/// Returns the data with one more mapping at the end of its list.
pub fn add(data: &Data, mapping: &NewMapping) -> Result<Data, EditError> {
    let fields = fields_of(mapping);
    edit(data, mapping.key, |text, list| {
        let mut expected = list.values.clone();
        let map = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        expected.push(value(ValueData::Map(map)));
        let new_text = match &list.node {
            Some(node) => text_edit::append(text, node, &fields)?,
            None => text_edit::first_item(if is_skippable(text) { "" } else { text }, &fields),
        };
        Some((new_text, expected))
    })
}

/// Returns the data without an item of a list. The list may be `mapAccounts` too.
pub fn remove(data: &Data, key: MapKey, index: usize) -> Result<Data, EditError> {
    check_index(data, key, index)?;
    edit(data, key, |text, list| {
        let mut expected = list.values.clone();
        expected.remove(index);
        Some((text_edit::remove(text, list.node.as_ref()?, index)?, expected))
    })
}

/// Returns the data with another name or other groups in one mapping.
pub fn change(data: &Data, key: MapKey, index: usize, change: &MappingChange) -> Result<Data, EditError> {
    check_index(data, key, index)?;
    let mut data = data.clone();
    if let Some(username) = &change.username {
        data = set_field(&data, key, index, "username", &ValueData::Text(username.clone()))?;
    }
    if let Some(groups) = &change.groups {
        let groups = ValueData::List(groups.iter().map(|group| value(ValueData::Text(group.clone()))).collect());
        data = set_field(&data, key, index, "groups", &groups)?;
    }
    Ok(data)
}

/// A text as a list: the values of its items, and its node unless it is empty.
struct List {
    values: Vec<Value>,
    node: Option<Node>,
}

fn value(data: ValueData) -> Value {
    Value { data, at: Position { line: 0, column: 0 } }
}

fn fields_of(mapping: &NewMapping) -> Vec<(&'static str, Value)> {
    let arn = if mapping.key == MapKey::Users { "userarn" } else { "rolearn" };
    let groups = mapping.groups.iter().map(|group| value(ValueData::Text(group.clone()))).collect();
    vec![
        (arn, value(ValueData::Text(mapping.arn.clone()))),
        ("username", value(ValueData::Text(mapping.username.clone()))),
        ("groups", value(ValueData::List(groups))),
    ]
}

/// Edits one text. `edit` returns the new text and the values that it has to have, or `None` if it cannot be made.
fn edit(
    data: &Data,
    key: MapKey,
    edit: impl FnOnce(&str, &List) -> Option<(String, Vec<Value>)>,
) -> Result<Data, EditError> {
    let text = data.get(key.as_str()).map_or("", String::as_str);
    let list = read_list(key, text)?;
    let line = list.node.as_ref().map_or(1, |node| node.at.line);
    let refused = || EditError::Unsafe { key, line };
    let (new_text, expected) = edit(text, &list).ok_or_else(refused)?;
    let read = read_list(key, &new_text).map_err(|_| refused())?;
    if read.values != expected {
        return Err(refused());
    }
    let mut data = data.clone();
    data.insert(key.as_str().to_owned(), new_text);
    Ok(data)
}

fn read_list(key: MapKey, text: &str) -> Result<List, EditError> {
    let invalid = |error: YamlError| EditError::InvalidYaml {
        key,
        line: error.at.line,
        column: error.at.column,
        message: error.message,
    };
    let empty = List { values: Vec::new(), node: None };
    if is_skippable(text) {
        return Ok(empty);
    }
    let Some(node) = yaml::parse(text).map_err(invalid)? else { return Ok(empty) };
    match Value::of(&node).map_err(invalid)?.data {
        ValueData::List(values) => Ok(List { values, node: Some(node) }),
        ValueData::Null if node.span.is_empty() => Ok(empty),
        ValueData::Null => Ok(List { values: Vec::new(), node: Some(node) }),
        _ => Err(EditError::NotAList { key }),
    }
}

fn check_index(data: &Data, key: MapKey, index: usize) -> Result<(), EditError> {
    let text = data.get(key.as_str()).map_or("", String::as_str);
    if index < read_list(key, text)?.values.len() { Ok(()) } else { Err(EditError::NoItem { key, index }) }
}

/// Sets a field of a mapping.
fn set_field(data: &Data, key: MapKey, index: usize, field: &'static str, new: &ValueData) -> Result<Data, EditError> {
    edit(data, key, |text, list| {
        let Content::List { items, .. } = &list.node.as_ref()?.content else { return None };
        let item = items.get(index)?;
        let Content::Map { entries, .. } = &item.content else { return None };
        let is_field = |node: &Node| matches!(&node.content, Content::Scalar { text, .. } if fold(text) == field);
        let mut found = entries.iter().filter(|(name, _)| is_field(name));
        let entry = found.next();
        if item.is_alias || found.next().is_some() {
            return None;
        }
        let mut expected = list.values.clone();
        let ValueData::Map(fields) = &mut expected.get_mut(index)?.data else { return None };
        let name = match entry {
            Some((Node { content: Content::Scalar { text, .. }, .. }, _)) => text.clone(),
            _ => field.to_owned(),
        };
        fields.insert(name, value(new.clone()));
        let new_text = match entry {
            Some((name, old)) => text_edit::replace(text, item, name, old, &value(new.clone()))?,
            None => text_edit::insert_entry(text, item, field, &value(new.clone()))?,
        };
        Some((new_text, expected))
    })
}

#[cfg(test)]
mod tests;
