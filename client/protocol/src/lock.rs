//! The requests and the response about locking the daemon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::secret::{Secret, serialize_exposed, serialize_exposed_option};

/// The body of [`Endpoint::Lock`](crate::Endpoint::Lock).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LockRequest {
    /// The new passphrase. Required if none is set yet. If one is set, [`LockRequest::old`] has to match it, or the
    /// daemon answers [`ErrorCode::WrongPassphrase`](crate::ErrorCode::WrongPassphrase).
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "serialize_exposed_option")]
    pub passphrase: Option<Secret<String>>,
    /// The current passphrase. Required to replace it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "serialize_exposed_option")]
    pub old: Option<Secret<String>>,
    /// Whether to set the passphrase only, without locking.
    #[serde(default)]
    pub only_set: bool,
}

/// The body of [`Endpoint::Unlock`](crate::Endpoint::Unlock).
#[derive(Debug, Serialize, Deserialize)]
pub struct UnlockRequest {
    /// The passphrase.
    #[serde(serialize_with = "serialize_exposed")]
    pub passphrase: Secret<String>,
}

/// The lock state. The response of [`Endpoint::Lock`](crate::Endpoint::Lock) and
/// [`Endpoint::Unlock`](crate::Endpoint::Unlock).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockStatus {
    /// Whether the daemon is locked.
    pub locked: bool,
    /// When it was locked.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Whether a passphrase is set.
    #[serde(default)]
    pub has_passphrase: bool,
    /// When the daemon locks by itself if it is not used before. Absent if it does not. The JSON name is `locks`.
    #[serde(default, rename = "locks")]
    pub auto_lock_at: Option<Timestamp>,
    /// Whether the daemon locks when the desktop locks its screen, or before the computer sleeps.
    #[serde(default)]
    pub with_desktop: bool,
    /// A warning: automatic locking is configured but no passphrase is set, the desktop cannot be followed, or the lock state
    /// cannot be saved and ends with the daemon process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ErrorBody>,
}
