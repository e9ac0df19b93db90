//! The manifest of the ConfigMap, as `kubectl apply` takes it.

use std::collections::BTreeMap;

use super::Data;
use super::node::YamlError;
use super::value::{Value, ValueData};
use super::yaml;

/// Why a manifest is not an aws-auth ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file is not valid YAML.
    #[error("the file is not valid YAML at line {line}, column {column}: {message}")]
    InvalidYaml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser reports.
        message: String,
    },
    /// The file has neither `data` nor a key of it.
    #[error("the file has no field data with mapRoles, mapUsers or mapAccounts")]
    NoData,
    /// The file has another object.
    #[error("the file has {found}, and the authenticator reads the ConfigMap aws-auth in kube-system alone")]
    OtherObject {
        /// What is different: `kind: List`.
        found: String,
    },
    /// The file has several documents.
    #[error("the file has several documents: put the ConfigMap aws-auth into a file of its own")]
    SeveralDocuments,
    /// A value of `data` is not a text, which is usually a missing `|`.
    #[error("{key} at line {line} is not a text")]
    NotAText {
        /// The key.
        key: String,
        /// The line, from 1.
        line: usize,
    },
}

/// Returns the field `data` of a manifest in YAML or JSON. A file with the fields of `data` alone is accepted too.
pub fn data_of(text: &str) -> Result<Data, ManifestError> {
    let invalid = |error: YamlError| ManifestError::InvalidYaml {
        line: error.at.line,
        column: error.at.column,
        message: error.message,
    };
    if has_several_documents(text) {
        return Err(ManifestError::SeveralDocuments);
    }
    let root = yaml::parse(text).map_err(invalid)?.ok_or(ManifestError::NoData)?;
    let ValueData::Map(mut fields) = Value::of(&root).map_err(invalid)?.data else { return Err(ManifestError::NoData) };
    check_identity(&fields)?;
    let data = match fields.remove("data").map(|data| data.data) {
        Some(ValueData::Map(data)) => data,
        Some(ValueData::Null) => return Ok(Data::new()),
        None if fields.contains_key("kind") => return Ok(Data::new()),
        None if fields.keys().any(|key| key.to_ascii_lowercase().starts_with("map")) => fields,
        _ => return Err(ManifestError::NoData),
    };
    data.into_iter()
        .map(|(key, value)| match value.data {
            ValueData::Text(text) => Ok((key, text)),
            ValueData::Null => Ok((key, String::new())),
            _ => Err(ManifestError::NotAText { key, line: value.at.line }),
        })
        .collect()
}

/// Whether another document follows the first one that has content.
fn has_several_documents(text: &str) -> bool {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '%', '\u{feff}']);
    let mut lines = text.lines().filter(is_content).skip_while(|line| line.starts_with("---") && line.trim() == "---");
    let mut lines = lines.by_ref().skip_while(|line| !line.starts_with("---"));
    lines.next().is_some() && lines.next().is_some()
}

/// Errors if the object says that it is another one. A field that is absent says nothing.
fn check_identity(fields: &BTreeMap<String, Value>) -> Result<(), ManifestError> {
    let metadata = match fields.get("metadata").map(|metadata| &metadata.data) {
        Some(ValueData::Map(metadata)) => Some(metadata),
        _ => None,
    };
    let of_metadata = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    let expected = [
        ("kind", fields.get("kind"), "ConfigMap"),
        ("name", of_metadata("name"), "aws-auth"),
        ("namespace", of_metadata("namespace"), "kube-system"),
    ];
    for (key, value, expected) in expected {
        if let Some(ValueData::Text(found)) = value.map(|value| &value.data)
            && found != expected
        {
            return Err(ManifestError::OtherObject { found: format!("{key}: {found}") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "data:\n  mapRoles: \"[]\"\n";

    #[test]
    fn only_the_config_map_aws_auth_is_read() {
        let with = |head: &str| data_of(&format!("{head}{DATA}")).map(|data| data.len());
        assert_eq!(with(""), Ok(1));
        assert_eq!(with("---\n# ours\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\n"), Ok(1));
        for (head, found) in [
            ("kind: List\n", "kind: List"),
            ("kind: ConfigMap\nmetadata: {name: other}\n", "name: other"),
            ("kind: ConfigMap\nmetadata: {name: aws-auth, namespace: default}\n", "namespace: default"),
        ] {
            assert_eq!(with(head), Err(ManifestError::OtherObject { found: found.to_owned() }));
        }
    }

    #[test]
    fn a_second_document_is_an_error() {
        for text in [format!("kind: Namespace\n---\n{DATA}"), format!("{DATA}--- # next\nkind: Pod\n")] {
            assert_eq!(data_of(&text), Err(ManifestError::SeveralDocuments), "{text}");
        }
        assert_eq!(data_of(&format!("---\n{DATA}---\n")).map(|data| data.len()), Ok(1), "an empty one has no content");
    }
}
