//! The responses about profiles and their sessions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ClusterName, ProfileName, Region, RoleArn, SourceName};
use crate::status::Problem;

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
