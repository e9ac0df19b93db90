//! The responses about the configuration.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::ProfileName;
use crate::status::Problem;

/// The state of the configuration. Also the response of [`Endpoint::ConfigReload`](crate::Endpoint::ConfigReload).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The path of the file.
    pub path: String,
    /// When the configuration in force was read. Absent if no valid configuration has been read yet.
    #[serde(default)]
    pub loaded: Option<Timestamp>,
    /// Why the current content of the file is not in force.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// The included files, in their order. Absent if there are none, and from an older daemon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<IncludeStatus>,
}

/// The state of an included file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludeStatus {
    /// The path of the file.
    pub path: String,
    /// The number of its profiles that are in force.
    #[serde(default)]
    pub profiles: usize,
    /// When the content in force was read. Absent if nothing of the file is in force.
    #[serde(default)]
    pub loaded: Option<Timestamp>,
    /// Why the current content, or a part of it, is not in force.
    #[serde(default)]
    pub problem: Option<Problem>,
}

/// The response of [`Endpoint::ConfigCheck`](crate::Endpoint::ConfigCheck) for a valid configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    /// The profiles that it defines.
    pub profiles: Vec<ProfileName>,
    /// The included files. A problem of them does not make the configuration invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<IncludeStatus>,
}
