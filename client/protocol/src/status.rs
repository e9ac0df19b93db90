//! The response of `rolecall status`, and errors that last.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::ConfigStatus;
use crate::daemon::DaemonStatus;
use crate::error::{ErrorBody, ErrorClass};
use crate::profile::ProfileStatus;

/// The response of [`Endpoint::Status`](crate::Endpoint::Status).
///
/// ```json
/// {"daemon": {"version": "0.1.0", "protocol": 1, "pid": 4711, "started": "2026-01-02T03:04:05Z",
///             "socket": "/run/user/1000/rolecall/agent.sock"},
///  "config": {"path": "/home/dev/.config/rolecall/config.toml", "loaded": "2026-01-02T03:04:05Z"},
///  "profiles": [{"name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work",
///                "role_arn": "arn:aws:iam::111122223333:role/developers", "state": "ready",
///                "session": {"key_id_suffix": "WXYZ", "issued": "2026-01-02T03:05:00Z", "expires": "2026-01-02T04:05:00Z"},
///                "next_renewal": "2026-01-02T03:35:00Z", "last_used": "2026-01-02T03:06:10Z"}],
///  "sources": [{"name": "work", "kind": "AWS profile work"}]}
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The daemon process.
    pub daemon: DaemonStatus,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// All configured profiles, sorted by name.
    pub profiles: Vec<ProfileStatus>,
    /// All configured sources, sorted by name.
    #[serde(default)]
    pub sources: Vec<crate::SourceStatus>,
}

/// An error that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// When it first occurred.
    pub since: Timestamp,
    /// What has to happen before it ends.
    #[serde(default)]
    pub class: ErrorClass,
    /// When the daemon retries at the earliest. Absent if it does not retry by itself.
    #[serde(default)]
    pub retry: Option<Timestamp>,
    /// Until when a request gets this error without a new attempt. Absent if each request makes an attempt, or if the
    /// error lasts until the user acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_until: Option<Timestamp>,
    /// The error.
    #[serde(flatten)]
    pub error: ErrorBody,
}
