//! The JSON Schema of the configuration, in draft 7, which TOML language servers read.

use serde_json::{Map, Value as Json, json};

use super::key_table::{Key, Kind, TABLES, Value};
use super::keys_of;

/// The pattern of the names of sources, profiles and stored keys.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

pub(super) fn render() -> String {
    let mut schema = table("");
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("config.toml of Rolecall");
    // A build of the whole workspace keeps the order of insertion, a build of this crate sorts.
    schema.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&schema).unwrap();
    text.push('\n');
    text
}

/// Returns the schema of a table with the tables inside it.
fn table(name: &str) -> Json {
    let mut properties: Map<String, Json> =
        keys_of(name).into_iter().map(|key| (key.name.to_owned(), value(key))).collect();
    if name.is_empty() {
        for child in TABLES.iter().map(|table| table.name).filter(|name| !name.is_empty()) {
            match child.split('.').collect::<Vec<_>>()[..] {
                [child] => drop(properties.insert(child.to_owned(), table(child))),
                [parent, "*"] => drop(properties.insert(parent.to_owned(), named(child))),
                _ => {}
            }
        }
    }
    let summary = TABLES.iter().find(|table| table.name == name).unwrap().summary;
    let mut schema = json!({
        "type": "object",
        "description": plain(summary),
        "additionalProperties": false,
        "properties": properties,
    });
    let is_required = |key: &&Key| matches!(key.value, Value::Required(_));
    let required: Vec<&str> = keys_of(name).into_iter().filter(is_required).map(|key| key.name).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if name == "sources.*" {
        schema["oneOf"] = json!([{ "required": ["aws_profile"] }, { "required": ["keyring"] }]);
    }
    schema
}

/// Returns the schema of tables with names that the user chooses.
fn named(name: &str) -> Json {
    json!({
        "type": "object",
        "propertyNames": { "pattern": NAME_PATTERN },
        "additionalProperties": table(name),
    })
}

fn value(key: &Key) -> Json {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let mut schema = match key.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::OneOf(values) => json!({ "type": "string", "enum": values }),
        Kind::Sha256 => json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Texts => texts,
        Kind::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Kind::TextTable => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Keys => return table(&format!("{}.{}", key.table, key.name)),
    };
    schema["description"] = json!(plain(key.summary));
    match key.value {
        Value::Default(value) => schema["default"] = from_toml(value),
        Value::Example(value) | Value::Required(value) => schema["examples"] = json!([from_toml(value)]),
    }
    schema
}

fn from_toml(value: &str) -> Json {
    let mut document: Map<String, Json> = toml::from_str(&format!("value = {value}")).unwrap();
    document.remove("value").unwrap()
}

fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}

/// Rolecall accepts each default and example of the schema, and the schema has the types that they have.
#[test]
fn json_schema_values_have_their_types() {
    for table in TABLES {
        for key in keys_of(table.name) {
            let value = from_toml(key.value.shown());
            let is_text = value.is_string();
            let has_type = match key.kind {
                Kind::Text => is_text,
                Kind::OneOf(values) => values.iter().any(|known| value == *known),
                Kind::Sha256 => value.as_str().is_some_and(|text| text.len() == 64),
                Kind::Boolean => value.is_boolean(),
                Kind::Texts => value.is_array(),
                Kind::TextOrTexts => is_text || value.is_array(),
                Kind::TextTable | Kind::Keys => value.is_object(),
            };
            assert!(has_type, "{}.{}: {value}", table.name, key.name);
        }
    }
}
