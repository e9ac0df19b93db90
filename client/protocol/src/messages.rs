//! The responses about profiles, sessions, clusters, the configuration and the daemon.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorBody, ErrorClass};
use crate::name::{ClusterName, ProfileName, Region, RoleArn, SourceName};

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

/// The state of a profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileStatus {
    /// The name of the profile.
    pub name: ProfileName,
    /// The name of its EKS cluster.
    pub cluster: ClusterName,
    /// The region of the cluster.
    pub region: Region,
    /// The name of its source.
    pub source: SourceName,
    /// The last role of the chain. Absent if the source's own credentials sign the token.
    #[serde(default)]
    pub role_arn: Option<RoleArn>,
    /// Whether the client asks before it opens a shell or runs a program with the profile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// The state in one word.
    pub state: ProfileState,
    /// The current session, if it is valid.
    #[serde(default)]
    pub session: Option<SessionStatus>,
    /// When the daemon renews the session by itself. Absent if no renewal is planned.
    #[serde(default)]
    pub next_renewal: Option<Timestamp>,
    /// When a client last requested a token.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
    /// The last failure, if no call has succeeded since.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// When the cluster last answered 401 to a token, if it did so to several in a row. Absent if it seems to accept the
    /// tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_rejected: Option<Timestamp>,
    /// The path of the included file that has the profile. Absent for a profile of the configuration itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included_from: Option<String>,
    /// The path of an included file with a profile of this name, which the configuration itself overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
}

/// The state of a profile in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProfileState {
    /// No session has been requested yet, and no failure is known.
    Unused,
    /// The session is valid.
    Ready,
    /// The session has expired. The next request for a token assumes the role again.
    Expired,
    /// The source needs a login, or the daemon is locked.
    LoginNeeded,
    /// The last attempt to make a session failed.
    Failed,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A session, without its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The ARN that GetCallerIdentity returns for it. Absent if the source's own credentials sign the token.
    #[serde(default)]
    pub arn: Option<String>,
    /// The last four characters of the access key id, to find the session in CloudTrail.
    pub key_id_suffix: String,
    /// When AWS issued it.
    pub issued: Timestamp,
    /// When it expires. Absent for an access key, and for temporary keys whose expiry is unknown.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Whether the credentials are temporary. AWS stops accepting them at some time, even if `expires` is absent.
    #[serde(default)]
    pub temporary: bool,
}

/// The response of [`Endpoint::Profile`](crate::Endpoint::Profile): a profile's state and configuration in one JSON
/// object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileDetails {
    /// The state.
    #[serde(flatten)]
    pub status: ProfileStatus,
    /// Where the source's credentials come from: `AWS profile work`.
    pub source_kind: String,
    /// The roles that are assumed, in order. The JSON name is `hops`.
    #[serde(rename = "hops")]
    pub role_chain: Vec<RoleArn>,
    /// The RoleSessionName, which CloudTrail shows. Absent if no role is assumed.
    #[serde(default)]
    pub session_name: Option<String>,
    /// The configured duration of a session, in seconds.
    pub duration_seconds: u64,
    /// The longest duration that AWS allows, in seconds, if it is shorter than the configured one. For example, 3,600
    /// for a role that is assumed from another role's session.
    #[serde(default)]
    pub limit_seconds: Option<u64>,
    /// How MFA codes are used for it. Absent if the source has no MFA device.
    #[serde(default)]
    pub mfa: Option<crate::MfaDetails>,
    /// When the daemon compares a kubeconfig with the pin: `require`, `entry` or `off`. Absent from an older daemon.
    #[serde(default)]
    pub pin: Option<String>,
    /// Whether the profile has an entry key.
    #[serde(default)]
    pub has_entry_key: bool,
    /// The constraints. Absent if there are none, and from an older daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintDetails>,
    /// Whether the profile gives tokens only, and no AWS credentials. False from an older daemon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tokens_only: bool,
    /// The API server that the profile was added with.
    #[serde(default)]
    pub server: Option<String>,
    /// SHA-256 (hex) of the CA bundle that the profile was added with.
    #[serde(default)]
    pub ca_sha256: Option<String>,
    /// The other parameters of AssumeRole.
    #[serde(flatten)]
    pub inputs: ProfileInputs,
}

/// The constraints of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintDetails {
    /// How long after `rolecall refresh` the profile is used, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u64>,
    /// Until when the profile is used. Absent without a limit, or before `rolecall refresh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<Timestamp>,
    /// When the user confirms the use: `never`, `first` or `always`.
    pub confirm: String,
    /// The programs that may run the client. Empty if every program may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_programs: Vec<String>,
    /// The times at which the profile is used: `Mo-Fr 08:00-19:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_hours: Option<String>,
}

/// The optional parameters of AssumeRole and the endpoint of STS. Most profiles set none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileInputs {
    /// The SourceIdentity, which AWS passes on through every further role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The session tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The keys of the tags that AWS passes on to further roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transitive_tags: Vec<String>,
    /// The ARNs of managed policies that limit the session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// An inline policy (JSON) that limits the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The URL that replaces the regional STS endpoint for AssumeRole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Whether AssumeRole and tokens use the FIPS endpoint of STS.
    pub fips: bool,
    /// Whether AssumeRole and tokens use the dual-stack endpoint of STS.
    pub dual_stack: bool,
}

/// The response of [`Endpoint::Refresh`](crate::Endpoint::Refresh).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refreshed {
    /// The new session.
    pub session: SessionStatus,
}

/// The response of [`Endpoint::Cluster`](crate::Endpoint::Cluster): a cluster as `eks:DescribeCluster` returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The name of the cluster.
    pub name: ClusterName,
    /// The region of the cluster.
    pub region: Region,
    /// The URL of the API server.
    pub server: String,
    /// The CA bundle: PEM in base64, the form that a kubeconfig uses.
    pub certificate_authority_data: String,
    /// The pin: SHA-256 of the decoded bundle, in hex.
    pub ca_sha256: String,
    /// The Kubernetes version: `1.33`.
    #[serde(default)]
    pub version: Option<String>,
    /// The status that EKS reports: `ACTIVE`.
    #[serde(default)]
    pub status: Option<String>,
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

/// A line of [`Endpoint::Events`](crate::Endpoint::Events): a part of [`Status`] has changed.
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
    /// The stream was too slow and events were dropped: read [`Status`] again.
    Missed,
    /// An event that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The body of [`Endpoint::ClusterAccess`](crate::Endpoint::ClusterAccess): the API server that gets the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessQuery {
    /// The URL of the API server.
    pub server: String,
    /// Its CA bundle: PEM in base64.
    pub certificate_authority_data: String,
}

/// The response of [`Endpoint::ClusterAccess`](crate::Endpoint::ClusterAccess): what the API server says about a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "access", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClusterAccess {
    /// The cluster maps the role to a user.
    Mapped {
        /// The name of the user. Absent if the API server does not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// The groups of the user.
        #[serde(default)]
        groups: Vec<String>,
    },
    /// The API server answered 401: no access entry and no line of aws-auth maps the role.
    NotMapped,
    /// The API server did not answer, or with something else.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// An answer that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The response of [`Endpoint::Probe`](crate::Endpoint::Probe): the role was assumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probed {
    /// The session that the profile gets.
    pub session: SessionStatus,
    /// The field `cluster`, or else the field `cluster_problem`.
    #[serde(flatten)]
    pub cluster: ProbedCluster,
}

/// The result of `eks:DescribeCluster` in a probe. It may fail although the role can use the cluster, since many such
/// roles have no permission to describe it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbedCluster {
    /// The cluster.
    Cluster(Cluster),
    /// Why the cluster could not be described.
    ClusterProblem(ErrorBody),
}
