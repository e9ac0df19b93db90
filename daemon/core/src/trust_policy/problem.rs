//! Why a trust policy does not allow a call, as sentences. The texts are safe for a terminal, and none has the external id
//! that the policy expects: both sides keep it secret.

use std::fmt;

use rolecall_protocol::sanitize_for_terminal;

/// Why a trust policy does not allow a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustProblem {
    /// A Deny statement applies.
    Deny {
        /// The name of the statement.
        sid: Option<String>,
        /// What its conditions are about. Empty for a statement without conditions.
        requirements: Vec<Requirement>,
    },
    /// No statement names the caller or its account.
    NotNamed {
        /// The ARN that a policy would name.
        caller: String,
    },
    /// The statement names the unique id of a user or role that is deleted. A new one of the same name has another id.
    DeletedPrincipal {
        /// Such as `AROA…`.
        id: String,
    },
    /// No statement allows `sts:AssumeRole` to the caller, and some allow other actions.
    OtherActions {
        /// What they allow, such as `sts:AssumeRoleWithSAML`.
        actions: Vec<String>,
    },
    /// A condition of the statement that names the caller does not hold.
    Unmet(Requirement),
    /// No statement that names the caller allows this action, which the call needs beside `sts:AssumeRole`.
    ActionMissing {
        /// `sts:TagSession` or `sts:SetSourceIdentity`.
        action: &'static str,
    },
    /// A condition that cannot be judged from this computer.
    NotJudged {
        /// Its key, such as `aws:SourceIp`.
        key: String,
    },
}

/// What a condition of a trust policy requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// An external id.
    ExternalId {
        /// Whether the call has one, which is another one.
        is_given: bool,
    },
    /// MFA.
    Mfa,
    /// A recent MFA code.
    RecentMfa {
        /// The limit in seconds, as in the policy.
        seconds: String,
    },
    /// A session name of a certain form.
    SessionName {
        /// The patterns of the policy.
        patterns: Vec<String>,
    },
    /// A source identity.
    SourceIdentity {
        /// Whether the call has one, which is another one.
        is_given: bool,
    },
    /// A session tag.
    Tag {
        /// Its key.
        key: String,
        /// Whether the call has that tag, with another value.
        is_given: bool,
    },
    /// Something else that is known and different.
    Other {
        /// The key of the condition, such as `aws:PrincipalArn`.
        key: String,
    },
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExternalId { is_given: false } => f.write_str("an external id, and the call has none"),
            Self::ExternalId { is_given: true } => f.write_str("another external id"),
            Self::Mfa => f.write_str("MFA"),
            Self::RecentMfa { seconds } => {
                write!(f, "an MFA code that is at most {} s old", sanitize_for_terminal(seconds))
            }
            Self::SessionName { patterns } => {
                write!(f, "a session name like {}", sanitize_for_terminal(&patterns.join(" or ")))
            }
            Self::SourceIdentity { is_given: false } => f.write_str("a source identity, and the call has none"),
            Self::SourceIdentity { is_given: true } => f.write_str("another source identity"),
            Self::Tag { key, is_given: false } => {
                write!(f, "the session tag \"{}\", and the call has none", sanitize_for_terminal(key))
            }
            Self::Tag { key, is_given: true } => {
                write!(f, "another value of the session tag \"{}\"", sanitize_for_terminal(key))
            }
            Self::Other { key } => write!(f, "another value of {}", sanitize_for_terminal(key)),
        }
    }
}

impl fmt::Display for TrustProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny { sid, requirements } => {
                match sid {
                    Some(sid) => write!(f, "the statement \"{}\" of the trust policy", sanitize_for_terminal(sid))?,
                    None => f.write_str("a statement of the trust policy")?,
                }
                f.write_str(" denies the call")?;
                let requirements: Vec<String> = requirements.iter().map(Requirement::to_string).collect();
                if requirements.is_empty() { Ok(()) } else { write!(f, ": it requires {}", requirements.join(" and ")) }
            }
            Self::NotNamed { caller } => {
                write!(f, "the trust policy names neither {} nor its account", sanitize_for_terminal(caller))
            }
            Self::DeletedPrincipal { id } => write!(
                f,
                "the trust policy names {}, the id of a deleted user or role; a new one of the same name has another id",
                sanitize_for_terminal(id)
            ),
            Self::OtherActions { actions } => {
                let actions = sanitize_for_terminal(&actions.join(", "));
                write!(f, "the trust policy allows {actions}, and not sts:AssumeRole")
            }
            Self::Unmet(requirement) => write!(f, "the trust policy requires {requirement}"),
            Self::ActionMissing { action } => write!(f, "the trust policy does not allow {action}"),
            Self::NotJudged { key } => write!(
                f,
                "the trust policy has a condition that cannot be judged from here: {}",
                sanitize_for_terminal(key)
            ),
        }
    }
}
