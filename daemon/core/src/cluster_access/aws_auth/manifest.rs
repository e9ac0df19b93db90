//! The manifest of the ConfigMap, as `kubectl apply` takes it.

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
    let root = yaml::parse(text).map_err(invalid)?.ok_or(ManifestError::NoData)?;
    let ValueData::Map(mut fields) = Value::of(&root).map_err(invalid)?.data else { return Err(ManifestError::NoData) };
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
