//! The requests and responses about access keys in the OS keyring.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::name::{KeyName, Region};
use crate::secret::{Secret, serialize_exposed};

/// The body of [`Endpoint::PutKey`](crate::Endpoint::PutKey).
#[derive(Debug, Serialize, Deserialize)]
pub struct PutKey {
    /// The access key id: `AKIA…`.
    pub access_key_id: String,
    /// The secret access key.
    #[serde(serialize_with = "serialize_exposed")]
    pub secret_access_key: Secret<String>,
    /// The region whose STS checks the key. The key belongs to the partition of this region.
    pub region: Region,
    /// Whether to replace a stored access key of this name.
    #[serde(default)]
    pub replace: bool,
}

/// The response of [`Endpoint::Keys`](crate::Endpoint::Keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The stored access keys, sorted by name.
    pub keys: Vec<KeyStatus>,
}

/// An access key in the OS keyring, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// The name under which it is stored.
    pub name: KeyName,
    /// The last four characters of the access key id.
    pub key_id_suffix: String,
    /// The ARN of its user, as GetCallerIdentity returns it.
    #[serde(default)]
    pub arn: Option<String>,
    /// The region that was given when the key was stored.
    pub region: Region,
    /// When it was stored, or last rotated.
    pub stored: Timestamp,
}

/// The response of [`Endpoint::RotateKey`](crate::Endpoint::RotateKey).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The new access key, which is in use now.
    pub key: KeyStatus,
    /// The last four characters of the old access key id.
    pub old_suffix: String,
    /// Why the old access key could not be deleted at AWS. Absent if it was deleted.
    #[serde(default)]
    pub old_stays: Option<ErrorBody>,
}

/// The response of [`Endpoint::ForgetKey`](crate::Endpoint::ForgetKey).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyForgotten {
    /// The sources whose configuration names the removed access key.
    pub used_by: Vec<crate::name::SourceName>,
}
