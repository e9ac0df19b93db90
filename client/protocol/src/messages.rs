//! What the daemon answers. Times are RFC 3339 in UTC, whole seconds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorBody, ErrorClass};
use crate::name::{ClusterName, ProfileName, Region, RoleArn, SourceName};

/// Answer of [`Endpoint::Status`](crate::Endpoint::Status).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The process that answers.
    pub daemon: DaemonStatus,
    /// The configuration it goes by.
    pub config: ConfigStatus,
    /// Every configured profile, by name.
    pub profiles: Vec<ProfileStatus>,
    /// Every configured source, by name.
    #[serde(default)]
    pub sources: Vec<crate::SourceStatus>,
}

/// The daemon about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The release, such as `0.1.0`.
    pub version: String,
    /// The protocol, see [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    pub protocol: u32,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// How often the process has run its program anew, see [`Endpoint::Restart`](crate::Endpoint::Restart).
    #[serde(default)]
    pub restarts: u32,
    /// Where it listens.
    pub socket: String,
    /// Where it logs; absent when that is standard error.
    #[serde(default)]
    pub log: Option<String>,
    /// This machine's clock against AWS's; absent while AWS has not answered yet.
    #[serde(default)]
    pub clock: Option<ClockStatus>,
    /// Whether it is locked.
    #[serde(default)]
    pub lock: crate::LockStatus,
}

/// This machine's clock against AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// How far AWS's clock is ahead of this machine's, in seconds; negative where it is behind.
    pub skew_seconds: i64,
    /// When that was seen, by this machine's clock.
    pub measured: Timestamp,
    /// Whether it is more than other programs of this machine bear: the daemon corrects smaller skews too, without a word.
    pub corrected: bool,
}

/// The configuration's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file.
    pub path: String,
    /// When what is in force was read; absent where nothing has been in force yet.
    #[serde(default)]
    pub loaded: Option<Timestamp>,
    /// Why the file as it is now is not in force.
    #[serde(default)]
    pub problem: Option<Problem>,
}

/// Something that is wrong, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// When it began.
    pub since: Timestamp,
    /// What has to happen for it to end.
    #[serde(default)]
    pub class: ErrorClass,
    /// When it is tried again without anybody's doing, at the earliest; absent where that would change nothing.
    #[serde(default)]
    pub retry: Option<Timestamp>,
    /// What it is.
    #[serde(flatten)]
    pub error: ErrorBody,
}

/// A profile at a glance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileStatus {
    /// Its name.
    pub name: ProfileName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The cluster's region.
    pub region: Region,
    /// Its source.
    pub source: SourceName,
    /// The role of the last hop; absent where the source itself signs.
    #[serde(default)]
    pub role_arn: Option<RoleArn>,
    /// In one word.
    pub state: ProfileState,
    /// The live session.
    #[serde(default)]
    pub session: Option<SessionStatus>,
    /// When the session is renewed next, unasked; absent where it is not.
    #[serde(default)]
    pub next_renewal: Option<Timestamp>,
    /// When a token was last asked for.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
    /// What went wrong last, if nothing has gone right since.
    #[serde(default)]
    pub problem: Option<Problem>,
}

/// A profile's state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProfileState {
    /// There is no session yet, and nothing is wrong.
    Unused,
    /// There is a session that can sign.
    Ready,
    /// There was one; the next use assumes the role anew.
    Expired,
    /// A person has to log in.
    LoginNeeded,
    /// The last attempt failed.
    Failed,
    /// A state of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// A live session. Nothing here is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Whose it is, as GetCallerIdentity would say; absent where it was never asked (the source itself signs).
    #[serde(default)]
    pub arn: Option<String>,
    /// The last four characters of the access key id, which CloudTrail shows in full.
    pub key_id_suffix: String,
    /// When it began.
    pub issued: Timestamp,
    /// When it ends; absent for long-lived keys.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// Answer of [`Endpoint::Profile`](crate::Endpoint::Profile).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileDetails {
    /// The profile at a glance.
    #[serde(flatten)]
    pub status: ProfileStatus,
    /// Where the source's credentials come from, such as `AWS profile work`.
    pub source_kind: String,
    /// Every role that is assumed, in order.
    #[serde(rename = "hops")]
    pub role_chain: Vec<RoleArn>,
    /// The name that the session carries in CloudTrail; absent where there is no hop.
    #[serde(default)]
    pub session_name: Option<String>,
    /// How long a session is to last, as it is configured, in seconds.
    pub duration_seconds: u64,
    /// How long one can be asked for, in seconds, where that is less: a role that is assumed from another role's session
    /// gets an hour.
    #[serde(default)]
    pub limit_seconds: Option<u64>,
    /// How codes of an MFA device are used for it, as far as that is known; absent where there are none.
    #[serde(default)]
    pub mfa: Option<crate::MfaDetails>,
    /// The API server that the profile was added with.
    #[serde(default)]
    pub server: Option<String>,
    /// SHA-256 (hex) of the CA bundle that the profile was added with.
    #[serde(default)]
    pub ca_sha256: Option<String>,
    /// What else AssumeRole is given.
    #[serde(flatten)]
    pub inputs: ProfileInputs,
}

/// What AssumeRole is given beside the role and the session's name, and where it is called. Empty is what most profiles have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileInputs {
    /// Who is behind the session, through every role that is assumed from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The session's tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Those of them that stay with the roles that are assumed from the session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transitive_tags: Vec<String>,
    /// Managed policies that bound what the session may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// A policy of its own (JSON) that does so too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where AssumeRole is called instead of the region's own STS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Whether STS is called, and named in tokens, by its FIPS endpoint.
    pub fips: bool,
    /// Whether that is its dual-stack one.
    pub dual_stack: bool,
}

/// Answer of [`Endpoint::Refresh`](crate::Endpoint::Refresh).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refreshed {
    /// The new session.
    pub session: SessionStatus,
}

/// Answer of [`Endpoint::Cluster`](crate::Endpoint::Cluster): what EKS says of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its region.
    pub region: Region,
    /// The API server's URL.
    pub server: String,
    /// The CA bundle: base64 of PEM, as a kubeconfig holds it.
    pub certificate_authority_data: String,
    /// SHA-256 (hex) of the decoded bundle: the pin.
    pub ca_sha256: String,
    /// The Kubernetes version, such as `1.33`.
    #[serde(default)]
    pub version: Option<String>,
    /// EKS's word, such as `ACTIVE`.
    #[serde(default)]
    pub status: Option<String>,
}

/// Answer of [`Endpoint::ConfigCheck`](crate::Endpoint::ConfigCheck): the configuration is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    /// The profiles in it.
    pub profiles: Vec<ProfileName>,
}

/// Answer of [`Endpoint::Stop`](crate::Endpoint::Stop).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// The process that is about to end. Whoever listens at the socket may be another: a service manager.
    pub pid: u32,
}

/// Answer of [`Endpoint::Restart`](crate::Endpoint::Restart).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarting {
    /// The process that is about to run its program anew. It keeps its id.
    pub pid: u32,
}

/// A line of [`Endpoint::Events`](crate::Endpoint::Events): something that shows in [`Status`] has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// What.
    pub event: EventKind,
    /// The profiles that it is about; none where it is about all of them or about the daemon itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileName>,
    /// What went wrong, of [`EventKind::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The stream begins.
    Hello,
    /// There is a new session.
    Session,
    /// No new session could be got.
    Failed,
    /// A profile was used after a while, or its next renewal was planned or given up.
    Plan,
    /// The configuration was read, or refused.
    Config,
    /// The machine woke up, its network changed, or its clock was set.
    Machine,
    /// The daemon was locked or unlocked.
    Lock,
    /// More has happened than this stream could tell.
    Missed,
    /// An event of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Answer of [`Endpoint::Probe`](crate::Endpoint::Probe): the role was assumed, and this is what is behind it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probed {
    /// The session that the profile would have.
    pub session: SessionStatus,
    /// The cluster, or why it could not be described.
    #[serde(flatten)]
    pub cluster: ProbedCluster,
}

/// The cluster, or why it could not be described: a role that may use a cluster often may not describe it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbedCluster {
    /// What EKS says.
    Cluster(Cluster),
    /// Why it says nothing.
    ClusterProblem(ErrorBody),
}
