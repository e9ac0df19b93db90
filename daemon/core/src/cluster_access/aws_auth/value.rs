//! The meaning of a YAML text for the authenticator: go-yaml v2, which resolves plain scalars by YAML 1.1, then JSON.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::node::{Content, Node, Position, YamlError};

const CORE_TAG: &str = "tag:yaml.org,2002:";

/// A value with its place. Equality ignores the place.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) data: ValueData,
    pub(crate) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueData {
    Null,
    Bool(bool),
    /// A number, as it is spelled.
    Number(String),
    Text(String),
    List(Vec<Value>),
    /// Sorted by key, as Go writes a map to JSON.
    Map(BTreeMap<String, Value>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Value {
    /// Returns the value of a node, or the error that makes the authenticator drop the whole text.
    pub(crate) fn of(node: &Node) -> Result<Self, YamlError> {
        let data = match &node.content {
            Content::Scalar { text, is_plain } => match resolve(node.tag.as_deref(), text, *is_plain) {
                // Go's JSON has no such number.
                Ok(Scalar::NotFinite) => return Err(error(node, format!("{text} is not a number that JSON allows"))),
                Ok(scalar) => scalar.into(),
                Err(message) => return Err(error(node, message)),
            },
            Content::List { items, .. } => ValueData::List(items.iter().map(Self::of).collect::<Result<_, _>>()?),
            Content::Map { entries, .. } => ValueData::Map(map_of(entries)?),
        };
        Ok(Self { data, at: node.at })
    }
}

fn error(node: &Node, message: String) -> YamlError {
    YamlError { at: node.at, message }
}

/// Later keys replace earlier ones. A merge key (`<<`) replaces those before it too.
fn map_of(entries: &[(Node, Node)]) -> Result<BTreeMap<String, Value>, YamlError> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if is_merge(key) {
            merge(value, &mut map)?;
            continue;
        }
        let Content::Scalar { text, is_plain } = &key.content else {
            return Err(error(key, "a key is a list or a map".to_owned()));
        };
        let key_text = match resolve(key.tag.as_deref(), text, *is_plain).map_err(|message| error(key, message))? {
            Scalar::Null => return Err(error(key, "a key is empty".to_owned())),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(text) | Scalar::Float(text) | Scalar::Text(text) => text,
            Scalar::NotFinite => text.clone(),
        };
        map.insert(key_text, Value::of(value)?);
    }
    Ok(map)
}

fn is_merge(key: &Node) -> bool {
    let Content::Scalar { text, is_plain } = &key.content else { return false };
    text == "<<"
        && match key.tag.as_deref() {
            None => *is_plain,
            Some(tag) => tag == "!" || tag == "tag:yaml.org,2002:merge",
        }
}

fn merge(value: &Node, map: &mut BTreeMap<String, Value>) -> Result<(), YamlError> {
    match &value.content {
        Content::Map { entries, .. } => {
            map.extend(map_of(entries)?);
            Ok(())
        }
        Content::List { items, .. } if !value.is_alias => {
            for item in items.iter().rev() {
                let Content::Map { entries, .. } = &item.content else { return Err(wants_map(value)) };
                map.extend(map_of(entries)?);
            }
            Ok(())
        }
        _ => Err(wants_map(value)),
    }
}

fn wants_map(value: &Node) -> YamlError {
    error(value, "a merge key needs a map or a list of maps".to_owned())
}

/// A scalar after resolution.
enum Scalar {
    Null,
    Bool(bool),
    Int(String),
    Float(String),
    /// `.inf` and `.nan`.
    NotFinite,
    Text(String),
}

impl Scalar {
    const fn tag(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) | Self::NotFinite => "float",
            Self::Text(_) => "str",
        }
    }
}

/// Resolves a scalar as go-yaml v2 does (resolve.go): `yes` and `on` are booleans, `012` and `1_000` are numbers, dates are
/// texts. Errors if the tag does not fit.
fn resolve(tag: Option<&str>, text: &str, is_plain: bool) -> Result<Scalar, String> {
    let as_text = || Scalar::Text(text.to_owned());
    let tag = match tag {
        None if !is_plain => return Ok(as_text()),
        None | Some("!") => return Ok(resolve_plain(text)),
        Some(tag) => tag.strip_prefix(CORE_TAG),
    };
    match tag {
        Some("binary") => {
            let packed: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = STANDARD.decode(packed).map_err(|_| "!!binary holds no valid base64".to_owned())?;
            Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Some(wanted @ ("bool" | "int" | "float" | "null")) => {
            let scalar = resolve_plain(text);
            if scalar.tag() == wanted || (wanted == "float" && matches!(scalar, Scalar::Int(_))) {
                return Ok(scalar);
            }
            Err(format!("{text:?} does not fit its tag !!{wanted}"))
        }
        _ => Ok(as_text()),
    }
}

fn resolve_plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => Scalar::NotFinite,
        _ => resolve_number(text),
    }
}

fn resolve_number(text: &str) -> Scalar {
    let owned = text.to_owned();
    match text.as_bytes().first() {
        Some(b'.') if is_float(text) => Scalar::Float(owned),
        Some(b'0'..=b'9' | b'+' | b'-') if is_int(text) => Scalar::Int(owned),
        Some(b'0'..=b'9' | b'+' | b'-') if is_float(&text.replace('_', "")) => Scalar::Float(owned),
        _ => Scalar::Text(owned),
    }
}

/// `strconv.ParseInt` and `ParseUint` with base 0, without the underscores.
fn is_int(text: &str) -> bool {
    let plain = text.replace('_', "");
    let (is_signed, is_negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, true, &plain[1..]),
        Some(b'+') => (true, false, &plain[1..]),
        _ => (false, false, plain.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return false;
    }
    let limit = match (is_signed, is_negative) {
        (false, _) => u64::MAX,
        (true, true) => 1 << 63,
        (true, false) => i64::MAX.unsigned_abs(),
    };
    u64::from_str_radix(digits, radix).is_ok_and(|number| number <= limit)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, within the range of a float of 64 bits.
fn is_float(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_digit() || b".eE+-".contains(&b);
    text.bytes().all(allowed)
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

impl From<Scalar> for ValueData {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Text(text) => Self::Text(text),
            Scalar::Int(text) | Scalar::Float(text) => Self::Number(text),
            Scalar::NotFinite => Self::Null,
        }
    }
}

/// Whether a text stays itself if it is written in block style without quotes.
pub(crate) fn is_plain_text(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.ends_with(':')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":/._@+=,{}-".contains(&b))
        && matches!(resolve_plain(text), Scalar::Text(_))
}
