//! The responses about the daemon process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The state of the daemon process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The release: `0.1.0`.
    pub version: String,
    /// The protocol version, [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    pub protocol: u32,
    /// The process id.
    pub pid: u32,
    /// The start time of the process.
    pub started: Timestamp,
    /// The seconds from the boot of the machine to [`Self::started`], sleep included. A clock that is set later does not
    /// change it, so it gives the uptime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_after_boot: Option<u64>,
    /// The number of restarts in place ([`Endpoint::Restart`](crate::Endpoint::Restart)) since the process started.
    #[serde(default)]
    pub restarts: u32,
    /// The path of the socket.
    pub socket: String,
    /// The path of the log file. Absent if the daemon logs to standard error.
    #[serde(default)]
    pub log: Option<String>,
    /// The state of the audit log. Absent if there is none, and from an older daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<crate::AuditStatus>,
    /// The comparison with AWS's clock. Absent until AWS has answered once.
    #[serde(default)]
    pub clock: Option<ClockStatus>,
    /// The lock state.
    #[serde(default)]
    pub lock: crate::LockStatus,
}

/// The difference between this machine's clock and AWS's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// AWS's time minus this machine's time, in seconds. For example, 420 if this machine is 7 min slow.
    pub skew_seconds: i64,
    /// When the difference was measured, by this machine's clock.
    pub measured: Timestamp,
    /// Whether the difference is so large that other programs on this machine fail. The daemon corrects for smaller
    /// differences too, without reporting it here.
    pub corrected: bool,
}

/// The response of [`Endpoint::Stop`](crate::Endpoint::Stop).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// The id of the process that is about to exit. A service manager may go on listening at the socket.
    pub pid: u32,
}

/// The response of [`Endpoint::Restart`](crate::Endpoint::Restart).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarting {
    /// The id of the process that is about to execute its program file again. The id stays the same.
    pub pid: u32,
}
