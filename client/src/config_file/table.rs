//! Sets keys of a TOML table and keeps what is around them.

use toml_edit::{Item, TableLike, Value};

/// Sets a key in its place and keeps the comment beside it, or removes the key if there is no value. An equal value
/// keeps its spelling.
pub(super) fn set_key(table: &mut dyn TableLike, key: &str, value: Option<Value>) {
    let Some(mut value) = value else {
        table.remove(key);
        return;
    };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if is_same_value(old, &value) => {}
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

/// Whether two strings, two booleans or two lists of them are equal.
fn is_same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_value(a, b)),
        _ => false,
    }
}
