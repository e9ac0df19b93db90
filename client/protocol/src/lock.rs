//! Locking the daemon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::secret::{Secret, exposed, exposed_if_any};

/// Body of [`Endpoint::Lock`](crate::Endpoint::Lock).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LockRequest {
    /// What unlocks from now on. Needed where there is no passphrase yet; refused with
    /// [`ErrorCode::WrongPassphrase`](crate::ErrorCode::WrongPassphrase) where there is one and [`LockRequest::old`] is not it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    pub passphrase: Option<Secret<String>>,
    /// The present passphrase, to set another.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    pub old: Option<Secret<String>>,
    /// Whether it is only to be set, and nothing locked.
    #[serde(default)]
    pub only_set: bool,
}

/// Body of [`Endpoint::Unlock`](crate::Endpoint::Unlock).
#[derive(Debug, Serialize, Deserialize)]
pub struct UnlockRequest {
    /// The passphrase.
    #[serde(serialize_with = "exposed")]
    pub passphrase: Secret<String>,
}

/// Whether the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockStatus {
    /// Whether it is locked.
    pub locked: bool,
    /// Since when.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Whether there is a passphrase.
    #[serde(default)]
    pub has_passphrase: bool,
    /// When it locks by itself, unless it is used before; absent where it does not.
    #[serde(default, rename = "locks")]
    pub auto_lock_at: Option<Timestamp>,
    /// What is wrong with it: it is to lock by itself and nothing could unlock it, or what it is does not outlast the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ErrorBody>,
}
