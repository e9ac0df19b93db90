//! The meaning of a kubeconfig, independent of its layout. It is parsed with another library than the one that edits
//! the text, so that the result of an edit can be checked.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{KubeconfigError, YamlProblem};

/// A YAML value, with aliases and merge keys resolved. The order of keys does not matter for equality.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// The kind of a named entry; a kubeconfig has a list for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Cluster,
    Context,
    User,
}

/// Parses the text of a kubeconfig as kubectl does: it reads the first YAML document, and of a key that a mapping has
/// twice the last value (sigs.k8s.io/yaml, `YAMLToJSON`, which is not strict). An empty text, or one with only comments,
/// gives `Null`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Value, KubeconfigError> {
    let (text, _) = split_first_document(text);
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        // The text has at most 16 MiB. The library's limits of depth and aliases stay in force.
        budget: serde_saphyr::budget! { max_nodes: 4_000_000, max_events: 16_000_000, },
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| malformed(path, &e))
}

/// Splits a text before the marker that ends its first document: a `...`, or the `---` of the next document. YAML
/// accepts no line that starts with a marker inside a document, not even in a block scalar.
pub(super) fn split_first_document(text: &str) -> (&str, &str) {
    let mut at = 0;
    let mut has_begun = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches('\u{feff}');
        let is_marker = |marker| {
            content
                .strip_prefix(marker)
                .is_some_and(|rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        if has_begun && (is_marker("---") || is_marker("...")) {
            return text.split_at(at);
        }
        has_begun |= !content.trim_start().is_empty() && !content.trim_start().starts_with(['#', '%']);
        at += line.len();
    }
    (text, "")
}

/// Keeps only the position and the kind of the problem: the library's messages may quote the file, which may have
/// secrets.
fn malformed(path: &Path, error: &serde_saphyr::Error) -> KubeconfigError {
    use serde_saphyr::Error as E;
    let problem = match error.without_snippet() {
        E::UnknownAnchor { .. } => YamlProblem::UnknownAnchor,
        E::Budget { .. } | E::AliasReplayLimitExceeded { .. } | E::AliasExpansionLimitExceeded { .. } => {
            YamlProblem::TooComplex
        }
        _ => YamlProblem::Syntax,
    };
    let location = error.location().filter(|location| location.line() > 0);
    let position = location.map(|location| (location.line(), location.column()));
    KubeconfigError::Malformed { path: path.to_owned(), position, problem }
}

// === impl EntryKind ===

impl EntryKind {
    pub(super) const ALL: [EntryKind; 3] = [EntryKind::Cluster, EntryKind::Context, EntryKind::User];

    /// Returns the key of the list: `clusters`.
    pub(super) fn list_key(self) -> &'static str {
        match self {
            EntryKind::Cluster => "clusters",
            EntryKind::Context => "contexts",
            EntryKind::User => "users",
        }
    }

    /// Returns the key of the entry's body beside `name`: `cluster`.
    pub(super) fn body_key(self) -> &'static str {
        match self {
            EntryKind::Cluster => "cluster",
            EntryKind::Context => "context",
            EntryKind::User => "user",
        }
    }
}

// === impl Value ===

impl Value {
    pub(super) fn str(text: &str) -> Value {
        Value::Str(text.to_owned())
    }

    pub(super) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
        Value::Map(pairs.into_iter().map(|(key, value)| (Value::str(key), value)).collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { return None };
        pairs.iter().find(|(k, _)| k.is_str(key)).map(|(_, value)| value)
    }

    /// Returns the value at a path of keys.
    pub(super) fn at_path(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Returns the text of a string. client-go accepts no other type as a name: it rejects a file with a plain `yes` or
    /// `007`.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the entry has this name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.get("name").is_some_and(|found| found.is_str(name))
    }

    pub(super) fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Sets a key of a map, in its place or at the end. A value of another type becomes a map.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        let Value::Map(pairs) = self else {
            *self = Value::map([(key, value)]);
            return;
        };
        match pairs.iter_mut().find(|(k, _)| k.is_str(key)) {
            Some((_, slot)) => *slot = value,
            None => pairs.push((Value::str(key), value)),
        }
    }

    /// Appends an item to the list under a key of a map. A missing value, or one of another type, becomes a list.
    pub(super) fn push(&mut self, key: &str, item: Value) {
        match self.get_mut(key) {
            Some(Value::List(items)) => items.push(item),
            _ => self.set(key, Value::List(vec![item])),
        }
    }

    /// Returns the items of the list under a key of a map, if it is a list.
    pub(super) fn items_mut(&mut self, key: &str) -> Option<&mut Vec<Value>> {
        match self.get_mut(key) {
            Some(Value::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let Value::Map(pairs) = self else { return None };
        pairs.iter_mut().find(|(k, _)| k.is_str(key)).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Value::Map(pairs) = self {
            pairs.retain(|(k, _)| !k.is_str(key));
        }
    }

    fn is_str(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => equal_pairs(a, b),
            _ => false,
        }
    }
}

/// Compares maps with unique keys. Most pairs have the same index in both, which makes this linear in practice.
fn equal_pairs(a: &[(Value, Value)], b: &[(Value, Value)]) -> bool {
    a.len() == b.len()
        && a.iter().enumerate().all(|(i, (key, value))| {
            let same_index = b.get(i).filter(|(k, _)| k == key);
            same_index.or_else(|| b.iter().find(|(k, _)| k == key)).is_some_and(|(_, v)| v == value)
        })
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::str(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        let mut indexes: HashMap<String, usize> = HashMap::new();
        while let Some((key, value)) = entries.next_entry::<Value, Value>()? {
            // The last value of a key is in force. kubectl looks up string keys only.
            let known = key.as_str().map(|key| *indexes.entry(key.to_owned()).or_insert(pairs.len()));
            match known.and_then(|index| pairs.get_mut(index)) {
                Some((_, earlier)) => *earlier = value,
                None => pairs.push((key, value)),
            }
        }
        Ok(Value::Map(pairs))
    }
}
