//! The contract between `rolecall` (the client) and `rolecalld` (the daemon).
//!
//! # The conversation
//!
//! HTTP/1.1 with JSON over a Unix socket ([`location::socket`]), so that `curl --unix-socket` is a debugger. Both sides
//! check that the other has their own uid. Every request and every answer carries the header
//! [`PROTOCOL_HEADER`] with [`PROTOCOL_VERSION`]; a daemon that is asked in another version answers
//! [`ErrorCode::ProtocolMismatch`] and nothing else. [`Endpoint`] has every method and path.
//!
//! A success is a 200 with the JSON that the endpoint's documentation names. Anything else is an [`ErrorAnswer`]:
//!
//! ```json
//! {"error": {"code": "unknown_profile", "message": "there is no profile \"prdo\"", "hint": "Did you mean prod?"}}
//! ```
//!
//! For kubectl the client is a pipe: it posts `KUBERNETES_EXEC_INFO` as it is to [`Endpoint::Token`] and writes the
//! answer's bytes to its standard output:
//!
//! ```json
//! {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "spec": {},
//!  "status": {"expirationTimestamp": "2026-01-02T03:04:05Z", "token": "k8s-aws-v1.…"}}
//! ```
//!
//! Unknown fields and variants are tolerated by the receiver, so that a newer daemon serves an older client.
//!
//! Apart from [`location`], which looks at folders, nothing here does I/O; nothing knows an async runtime or AWS.

mod endpoint;
mod error;
mod exec;
mod keys;
pub mod location;
mod lock;
mod login;
mod messages;
mod name;
mod secret;
mod startup;
mod text;

pub use endpoint::{Endpoint, Method};
pub use error::{ErrorAnswer, ErrorBody, ErrorClass, ErrorCode, sentence};
pub use exec::{EXEC_INFO_VARIABLE, ExecApiVersion, ExecCluster, ExecCredential, ExecInfo, ExecInfoError};
pub use keys::{KeyForgotten, KeyList, KeyRotated, KeyStatus, PutKey};
pub use lock::{LockRequest, LockStatus, UnlockRequest};
pub use login::{LoggedOut, LoginFlow, LoginKind, LoginRequest, LoginStatus, LoginStep, MfaDetails, SourceStatus};
pub use messages::{
    ClockStatus, Cluster, ConfigChecked, ConfigStatus, DaemonStatus, Event, Happening, Probed, ProbedCluster, Problem,
    ProfileDetails, ProfileInputs, ProfileState, ProfileStatus, Refreshed, Restarting, SessionStatus, Status, Stopping,
};
pub use name::{
    ClusterName, ExternalId, InvalidName, KeyName, MfaSerial, PolicyArn, ProfileName, Region, RoleArn, SessionName,
    SourceIdentity, SourceName, TagKey, TagValue, near_misses,
};
pub use secret::Secret;
pub use startup::StartupLine;
pub use text::sanitize_for_terminal;

/// The version of this protocol. Bumped by hand, and only when an old peer would do something wrong.
pub const PROTOCOL_VERSION: u32 = 1;

/// The header that carries [`PROTOCOL_VERSION`], in lower case.
pub const PROTOCOL_HEADER: &str = "rolecall-protocol";

/// The largest configuration that is read, in bytes.
pub const MAX_CONFIG: usize = 8 * 1024 * 1024;
