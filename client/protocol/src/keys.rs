//! Long-lived keys in the OS keyring.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::name::{KeyName, Region};
use crate::secret::{Secret, exposed};

/// Body of [`Endpoint::PutKey`](crate::Endpoint::PutKey).
#[derive(Debug, Serialize, Deserialize)]
pub struct PutKey {
    /// The access key id, such as `AKIA…`.
    pub access_key_id: String,
    /// The secret access key.
    #[serde(serialize_with = "exposed")]
    pub secret_access_key: Secret<String>,
    /// The region whose STS checks them; its partition is where they are from.
    pub region: Region,
    /// Whether keys of that name that are there already are replaced.
    #[serde(default)]
    pub replace: bool,
}

/// Answer of [`Endpoint::Keys`](crate::Endpoint::Keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// By name.
    pub keys: Vec<KeyStatus>,
}

/// Keys in the OS keyring. Nothing here is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// Their name.
    pub name: KeyName,
    /// The last four characters of the access key id.
    pub key_id_suffix: String,
    /// Whose they are, as GetCallerIdentity says it.
    #[serde(default)]
    pub arn: Option<String>,
    /// Where they are from.
    pub region: Region,
    /// When they were put there, or rotated last.
    pub stored: Timestamp,
}

/// Answer of [`Endpoint::RotateKey`](crate::Endpoint::RotateKey).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The new keys.
    pub key: KeyStatus,
    /// The last four characters of the old access key id.
    pub old_suffix: String,
    /// Why the old ones were not deleted at AWS, if they were not: the new ones are in use all the same.
    #[serde(default)]
    pub old_stays: Option<ErrorBody>,
}

/// Answer of [`Endpoint::ForgetKey`](crate::Endpoint::ForgetKey).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyForgotten {
    /// Sources that are configured to use them.
    pub used_by: Vec<crate::name::SourceName>,
}
