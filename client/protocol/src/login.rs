//! The requests and responses about logging a source in and out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::name::{MfaSerial, SourceName};
use crate::secret::{Secret, serialize_exposed_option};
use crate::status::Problem;

/// The body of [`Endpoint::Login`](crate::Endpoint::Login).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LoginRequest {
    /// The six digits of an MFA device, after [`LoginStep::MfaCode`] asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "serialize_exposed_option")]
    pub code: Option<Secret<String>>,
    /// How the user approves a login of IAM Identity Center.
    #[serde(default)]
    pub flow: LoginFlow,
    /// Whether to log in again although the current login is valid.
    #[serde(default)]
    pub renew: bool,
    /// A configuration (TOML) that defines the source, used for this login instead of the configuration in force.
    /// `rolecall add` logs in before it saves the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// How the user approves a login of IAM Identity Center.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFlow {
    /// Device flow (RFC 8628): the user opens a page on any device and confirms a code there.
    #[default]
    Device,
    /// Browser flow with PKCE (RFC 8252): a browser on this machine is redirected to the daemon.
    Browser,
}

/// A line of the response of [`Endpoint::Login`](crate::Endpoint::Login). `code`, `command`, `done` and `failed` end
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // a login has a handful of them
pub enum LoginStep {
    /// `code`, last step: the login needs an MFA code. The client asks the user for it and sends the request again with
    /// it.
    #[serde(rename = "code")]
    MfaCode {
        /// The MFA device.
        serial: MfaSerial,
        /// Why AWS rejected the code of this request, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<ErrorBody>,
    },
    /// The user has to open a page and confirm the login there.
    Browser {
        /// The complete URL of the page.
        url: String,
        /// The code that the page shows or asks for. Absent in the browser flow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// When the page expires.
        expires: Timestamp,
        /// Whether another request started this login and this request only waits for it.
        #[serde(default)]
        joined: bool,
    },
    /// Last step: the client has to run another program on the user's terminal, such as `aws login`.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Last step: the source is logged in.
    Done {
        /// The state of the source.
        source: SourceStatus,
        /// The ARN that GetCallerIdentity returns for the source's credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arn: Option<String>,
        /// Whether the user took part. False if the login was valid already.
        #[serde(default)]
        changed: bool,
    },
    /// Last step: the login failed.
    Failed {
        /// The reason.
        error: ErrorBody,
    },
    /// A step that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The response of [`Endpoint::Logout`](crate::Endpoint::Logout).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// The number of sessions that were dropped.
    pub sessions: usize,
    /// Whether AWS revoked the login. Absent if the source has nothing that AWS can revoke.
    #[serde(default)]
    pub revoked: Option<bool>,
    /// Why AWS did not revoke it.
    #[serde(default)]
    pub problem: Option<ErrorBody>,
}

/// The state of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The name of the source.
    pub name: SourceName,
    /// Where its credentials come from: `AWS profile work`.
    pub kind: String,
    /// The login that it depends on. Absent if it needs none, or none is known.
    #[serde(default)]
    pub login: Option<LoginStatus>,
    /// Why it gives no credentials.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// A warning that its login expires soon and is not renewed automatically, with what to do.
    #[serde(default)]
    pub warning: Option<ErrorBody>,
    /// The path of the included file that has the source. Absent for a source of the configuration itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included_from: Option<String>,
}

/// A login of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStatus {
    /// How the user logs in.
    pub kind: LoginKind,
    /// When it expires. Absent if the user has not logged in, or the time is unknown.
    #[serde(default)]
    pub ends: Option<Timestamp>,
    /// Whether the daemon renews it without the user.
    #[serde(default)]
    pub renews: bool,
}

impl LoginStatus {
    /// Returns whether the user has to log in before the source gives new credentials: the login is not renewed
    /// automatically, and it has expired or, for Identity Center and MFA, was never made.
    #[must_use]
    pub fn needs_login(&self, now: Timestamp) -> bool {
        let is_known_to_daemon = matches!(self.kind, LoginKind::Sso | LoginKind::Mfa);
        !self.renews && self.ends.map_or(is_known_to_daemon, |end| end <= now)
    }
}

/// How MFA codes are used for a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MfaDetails {
    /// The MFA device.
    pub serial: MfaSerial,
    /// Whether the MFA code is a parameter of AssumeRole, which makes a session for this profile only. Otherwise one
    /// code makes a session with GetSessionToken that serves all roles of the source, each for at most an hour.
    pub in_assume_role: bool,
    /// How long one code lasts, in seconds.
    pub seconds: u64,
    /// Whether a configured command prints the codes.
    pub by_command: bool,
}

/// How a user logs a source in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginKind {
    /// Sign in to IAM Identity Center.
    Sso,
    /// Enter an MFA code.
    Mfa,
    /// Run `aws login`.
    AwsLogin,
    /// Unlock the OS keyring.
    Keyring,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}
