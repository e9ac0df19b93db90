//! The header of a token that comes after rejected ones.

use crate::name::RoleArn;

/// The name of the header, in lower case. Its value is a [`RejectedIdentity`].
pub const UNAUTHORIZED_HEADER: &str = "rolecall-unauthorized";

/// The identity that a cluster rejects with 401 (Unauthorized).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedIdentity {
    /// The role of the profile.
    Role,
    /// The identity of the source, since the profile has no role.
    Source,
}

impl RejectedIdentity {
    /// Returns the identity of a profile with this role.
    pub const fn of(role: Option<&RoleArn>) -> Self {
        if role.is_some() { Self::Role } else { Self::Source }
    }

    /// Returns the value of the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Source => "source",
        }
    }

    /// Returns the identity of a header's value. A value of a later version is [`Self::Source`], whose description fits every
    /// identity.
    pub fn parse(value: &str) -> Self {
        if value == Self::Role.as_str() { Self::Role } else { Self::Source }
    }

    /// Returns the problem as text: `the cluster rejects this role (401)`.
    pub const fn problem(self) -> &'static str {
        match self {
            Self::Role => "the cluster rejects this role (401)",
            Self::Source => "the cluster rejects this identity (401)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_identity_header_round_trips() {
        for identity in [RejectedIdentity::Role, RejectedIdentity::Source] {
            assert_eq!(RejectedIdentity::parse(identity.as_str()), identity);
        }
        assert_eq!(RejectedIdentity::parse("pod"), RejectedIdentity::Source, "of a later version");
        assert_eq!(
            RejectedIdentity::of(Some(&"arn:aws:iam::111122223333:role/dev".parse().unwrap())),
            RejectedIdentity::Role
        );
        assert_eq!(RejectedIdentity::of(None), RejectedIdentity::Source);
    }
}
