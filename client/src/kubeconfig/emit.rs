//! Writes YAML for values that are ours: in block style as kubectl does, or in flow style that is JSON too.

use std::fmt::Write;

use super::model::Value;

/// Plain words that some YAML parser takes for something else than a string, in lower case.
const NOT_PLAIN: [&str; 13] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"];

/// Block style, ending in a line break.
pub(super) fn block(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

/// Flow style on one line, with every string quoted: JSON as long as the value is.
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
                    // kubectl's own style: the dashes stand below the key.
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

/// A scalar, or an empty collection, as it stands in block style.
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

/// Whether a string may stand without quotes: it begins as no number does, has no character that means something to
/// YAML, and is no word that YAML 1.1 or 1.2 reads as a truth value or a number.
fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(inner)
        && !text.ends_with(':')
        && !NOT_PLAIN.contains(&text.to_ascii_lowercase().as_str())
}

/// A string in double quotes, the same in JSON and in YAML. The characters that YAML 1.1 takes for line breaks, and the
/// byte order mark, are escaped beyond what JSON asks for.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{feff}', "\\ufeff")
}
