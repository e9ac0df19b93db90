//! Logging in and out: what a person gives, and what is told meanwhile.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::messages::Problem;
use crate::name::{MfaSerial, SourceName};
use crate::secret::{Secret, exposed_if_any};

/// Body of [`Endpoint::Login`](crate::Endpoint::Login).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LoginRequest {
    /// The code of an MFA device, six digits, where [`LoginStep::MfaCode`] asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    pub code: Option<Secret<String>>,
    /// How a person is to approve it, where there is a choice.
    #[serde(default)]
    pub flow: LoginFlow,
    /// Whether a login that is good still is to be replaced.
    #[serde(default)]
    pub renew: bool,
    /// A configuration that may become the real one and has the source, in place of the one in force: whoever adds a
    /// profile logs in before anything is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// How a person approves a login of IAM Identity Center.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFlow {
    /// With a code that is typed, or compared, on any device (RFC 8628).
    #[default]
    Device,
    /// In a browser on this machine, which comes back to it (RFC 8252, with PKCE).
    Browser,
}

/// A line of the answer of [`Endpoint::Login`](crate::Endpoint::Login).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginStep {
    /// The last: a code of this MFA device is needed. Ask the person, and ask for the login again with it.
    #[serde(rename = "code")]
    MfaCode {
        /// The device.
        serial: MfaSerial,
        /// Why the code that was given did not do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<ErrorBody>,
    },
    /// The person has to open this address, and to confirm there.
    Browser {
        /// The address, with everything in it.
        url: String,
        /// What the page shows, or asks for; there is none where the browser comes back to this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Until when.
        expires: Timestamp,
        /// Whether this was begun before, by whomever.
        #[serde(default)]
        joined: bool,
    },
    /// The last: another program has to do it, on the person's terminal.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// The last: it is done, or there was nothing to do.
    Done {
        /// The source.
        source: SourceStatus,
        /// Whose credentials it gives, as GetCallerIdentity says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arn: Option<String>,
        /// Whether somebody had to do something.
        #[serde(default)]
        changed: bool,
    },
    /// The last: it did not work.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// A step of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Answer of [`Endpoint::Logout`](crate::Endpoint::Logout).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// How many sessions were forgotten.
    pub sessions: usize,
    /// Whether AWS was told, and took back what it gave; absent where there was nothing to take back.
    #[serde(default)]
    pub revoked: Option<bool>,
    /// Why AWS did not.
    #[serde(default)]
    pub problem: Option<ErrorBody>,
}

/// A source at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: SourceName,
    /// Where its credentials come from, such as `AWS profile work`.
    pub kind: String,
    /// The login that it depends on, as far as it is known; absent where no person is needed.
    #[serde(default)]
    pub login: Option<LoginStatus>,
    /// Why it gives nothing.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// That its login, which nobody renews, ends soon, and what to do.
    #[serde(default)]
    pub warning: Option<ErrorBody>,
}

/// What a person did so that a source gives credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStatus {
    /// What it was.
    pub kind: LoginKind,
    /// When it ends; absent where nobody knows, and where nobody has logged in or given a code.
    #[serde(default)]
    pub ends: Option<Timestamp>,
    /// Whether it is renewed by itself until then, or beyond.
    #[serde(default)]
    pub renews: bool,
}

impl LoginStatus {
    /// Whether somebody has to do it, or do it again, before the source gives anything new.
    #[must_use]
    pub fn needs_login(&self, now: Timestamp) -> bool {
        let is_done_by_a_person = matches!(self.kind, LoginKind::Sso | LoginKind::Mfa);
        !self.renews && self.ends.map_or(is_done_by_a_person, |end| end <= now)
    }
}

/// How codes of an MFA device are used for a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MfaDetails {
    /// The device.
    pub serial: MfaSerial,
    /// Whether the code is part of AssumeRole itself, for a session of this profile alone: a session that was got with a
    /// code lets roles be assumed for an hour at most. Else one code (GetSessionToken) is good for all roles of the source.
    pub in_assume_role: bool,
    /// How long one code is good for, in seconds.
    pub seconds: u64,
    /// Whether a command gives the codes.
    pub by_command: bool,
}

/// What a person has to do so that a source gives credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginKind {
    /// Sign in to IAM Identity Center.
    Sso,
    /// Give a code of an MFA device.
    Mfa,
    /// Run `aws login`.
    AwsLogin,
    /// Unlock the OS keyring.
    Keyring,
    /// Something of a newer daemon.
    #[serde(other)]
    Unknown,
}
