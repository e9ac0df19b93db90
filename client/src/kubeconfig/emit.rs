//! Writes values as YAML, in block style as kubectl does, or in flow style, which is also JSON.

use std::fmt::Write;

use super::model::Value;

/// Words, in lower case, that some YAML parser reads as another type than a string if they have no quotes.
const AMBIGUOUS_WORDS: [&str; 13] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"];

/// Returns the value in block style, with a final line break.
pub(super) fn block(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

/// Returns JSON as YAML in block style, with a final line break.
pub(crate) fn json_as_block(json: serde_json::Value) -> Result<String, serde_json::Error> {
    serde_json::from_value(json).map(|value| block(&value))
}

/// Returns the value in flow style on one line with every string quoted. It is JSON if the value has a JSON form.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}: {}", flow(key), flow(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Str(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => scalar(value),
    }
}

fn write_block(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Map(pairs) if !pairs.is_empty() => {
            for (key, value) in pairs {
                let _infallible = write!(out, "{pad}{}:", scalar(key));
                match value {
                    Value::Map(inner) if !inner.is_empty() => {
                        out.push('\n');
                        write_block(out, value, indent + 2);
                    }
                    // kubectl's style: dashes have the indentation of the key.
                    Value::List(items) if !items.is_empty() => {
                        out.push('\n');
                        write_block(out, value, indent);
                    }
                    _ => {
                        out.push(' ');
                        write_block(out, value, 0);
                    }
                }
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                write_block(&mut inner, item, indent + 2);
                let _infallible = write!(out, "{pad}- {}", inner.trim_start_matches(' '));
            }
        }
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

/// Returns a scalar or an empty collection in block style.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) if is_plain(text) => text.clone(),
        Value::Str(text) => quoted(text),
        Value::List(_) | Value::Map(_) => flow(value),
    }
}

/// Whether a string needs no quotes: it starts with a letter or `/`, has only characters without a meaning in YAML, and
/// is not a word that YAML 1.1 or 1.2 reads as a boolean, a number or null.
fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(inner)
        && !text.ends_with(':')
        && !AMBIGUOUS_WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Returns a string in double quotes that JSON and YAML read alike. Beyond what JSON requires, it escapes the
/// characters that YAML 1.1 reads as line breaks, DEL, and the byte order mark.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{feff}', "\\ufeff")
}
