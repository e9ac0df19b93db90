//! The types of a kubeconfig's fields. kubectl rejects a whole file if one has another type, so adding a context to such a
//! file would be no use (client-go, tools/clientcmd/api/v1/types.go).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::model::{EntryKind, Value};

/// The type of a value. Any of them may be null.
#[derive(Debug, Clone, Copy)]
enum Type {
    Text,
    Bool,
    /// Bytes as text in base64.
    Bytes,
    List(&'static Type),
    /// A mapping with any keys.
    Table(&'static Type),
    /// A mapping with these keys. kubectl ignores other keys.
    Fields(&'static [(&'static str, Type)]),
    Any,
}

use Type::{Any, Bool, Bytes, Fields, List, Table, Text};

const EXTENSIONS: Type = List(&Fields(&[("name", Text), ("extension", Any)]));

const CLUSTER: Type = Fields(&[
    ("certificate-authority", Text),
    ("certificate-authority-data", Bytes),
    ("disable-compression", Bool),
    ("extensions", EXTENSIONS),
    ("insecure-skip-tls-verify", Bool),
    ("proxy-url", Text),
    ("server", Text),
    ("tls-server-name", Text),
]);

const CONTEXT: Type = Fields(&[("cluster", Text), ("extensions", EXTENSIONS), ("namespace", Text), ("user", Text)]);

const USER: Type = Fields(&[
    ("as", Text),
    ("as-groups", List(&Text)),
    ("as-uid", Text),
    ("as-user-extra", Table(&List(&Text))),
    ("auth-provider", Fields(&[("config", Table(&Text)), ("name", Text)])),
    ("client-certificate", Text),
    ("client-certificate-data", Bytes),
    ("client-key", Text),
    ("client-key-data", Bytes),
    (
        "exec",
        Fields(&[
            ("apiVersion", Text),
            ("args", List(&Text)),
            ("command", Text),
            ("env", List(&Fields(&[("name", Text), ("value", Text)]))),
            ("installHint", Text),
            ("interactiveMode", Text),
            ("provideClusterInfo", Bool),
        ]),
    ),
    ("extensions", EXTENSIONS),
    ("password", Text),
    ("token", Text),
    ("tokenFile", Text),
    ("username", Text),
]);

const KUBECONFIG: Type = Fields(&[
    ("apiVersion", Text),
    ("clusters", List(&Fields(&[("cluster", CLUSTER), ("name", Text)]))),
    ("contexts", List(&Fields(&[("context", CONTEXT), ("name", Text)]))),
    ("current-context", Text),
    ("extensions", EXTENSIONS),
    ("kind", Text),
    ("preferences", Fields(&[("colors", Bool), ("extensions", EXTENSIONS)])),
    ("users", List(&Fields(&[("name", Text), ("user", USER)]))),
]);

/// What kubectl does not read, for example "`users[2].user.token` is not a string". It quotes no value of the file.
pub(super) fn check(kubeconfig: &Value) -> Result<(), String> {
    check_type(kubeconfig, KUBECONFIG, "").map_err(|(field, expected)| match field.as_str() {
        "" => format!("its top level is not {expected}"),
        field => format!("`{}` is not {expected}", field.trim_start_matches('.')),
    })?;
    if has_non_finite_number(kubeconfig) {
        return Err("a number is infinite or not a number, for which kubectl's JSON has no form".to_owned());
    }
    for (key, expected) in [("kind", "Config"), ("apiVersion", "v1")] {
        let found = kubeconfig.get(key).and_then(Value::as_str).unwrap_or_default();
        if !found.is_empty() && found != expected {
            return Err(format!("its `{key}` is not {expected}"));
        }
    }
    for kind in EntryKind::ALL {
        let mut seen = HashSet::new();
        let items = kubeconfig.get(kind.list_key()).map(Value::items).unwrap_or_default();
        let name = |item: &Value| item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(index) = items.iter().position(|item| !seen.insert(name(item))) {
            return Err(format!("`{}[{index}]` has the name of an earlier {}", kind.list_key(), kind.body_key()));
        }
    }
    Ok(())
}

fn has_non_finite_number(value: &Value) -> bool {
    match value {
        Value::Float(number) => !number.is_finite(),
        Value::List(items) => items.iter().any(has_non_finite_number),
        Value::Map(pairs) => pairs.iter().any(|(_, value)| has_non_finite_number(value)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Str(_) => false,
    }
}

/// Returns the path of the first field that has another type, and the name of the expected type.
fn check_type(value: &Value, expected: Type, path: &str) -> Result<(), (String, &'static str)> {
    let fail = |name| Err((path.to_owned(), name));
    match (expected, value) {
        (_, Value::Null) | (Any, _) | (Text, Value::Str(_)) | (Bool, Value::Bool(_)) => Ok(()),
        (Bytes, Value::Str(text)) => {
            let text = text.replace(['\n', '\r'], "");
            STANDARD.decode(text).map(|_| ()).or_else(|_| fail("base64"))
        }
        (List(item), Value::List(items)) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check_type(value, *item, &format!("{path}[{index}]"))),
        (Table(item), Value::Map(pairs)) => {
            pairs.iter().try_for_each(|(_, value)| check_type(value, *item, &format!("{path}.*")))
        }
        (Fields(fields), Value::Map(_)) => fields.iter().try_for_each(|(key, expected)| match value.get(key) {
            Some(value) => check_type(value, *expected, &format!("{path}.{key}")),
            None => Ok(()),
        }),
        (Text, _) => fail("a string"),
        (Bool, _) => fail("true or false"),
        (Bytes, _) => fail("base64"),
        (List(_), _) => fail("a list"),
        (Table(_) | Fields(_), _) => fail("a mapping"),
    }
}
