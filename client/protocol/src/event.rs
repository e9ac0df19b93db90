//! The lines of the event stream.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::name::ProfileName;

/// A line of [`Endpoint::Events`](crate::Endpoint::Events): a part of [`Status`](crate::Status) has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, by this machine's clock.
    pub at: Timestamp,
    /// What has changed.
    pub event: EventKind,
    /// The affected profiles. Empty if all of them are affected, or the daemon itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileName>,
    /// The error of [`EventKind::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The stream has started. Always the first event.
    Hello,
    /// A profile has a new session.
    Session,
    /// An attempt to make a session failed.
    Failed,
    /// A profile is in use again, or its next renewal was planned or cancelled.
    Plan,
    /// The configuration was read, or rejected.
    Config,
    /// The machine woke up, its network changed, or its clock was set.
    Machine,
    /// The daemon was locked or unlocked.
    Lock,
    /// A profile got no token because of its pin or its session, or a cluster rejected its tokens.
    Token,
    /// The stream was too slow and events were dropped: read [`Status`](crate::Status) again.
    Missed,
    /// An event that this version does not know.
    #[serde(other)]
    Unknown,
}
