//! The principal that signs an AssumeRole, by its ARN.

use crate::iam_arn::{self, IamArn, IamResource};

/// The principal of credentials, by the ARN of GetCallerIdentity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    arn: String,
    partition: String,
    account: String,
    kind: CallerKind,
    /// The ARN of the role with its path, if it is known.
    role_arn: Option<String>,
}

/// The kind of a [`Caller`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerKind {
    /// The root user of an account.
    Root,
    /// An IAM user.
    User {
        /// The name without the path.
        name: String,
    },
    /// A session of a role.
    RoleSession {
        /// The name of the role without its path, which the ARN of a session leaves out.
        role: String,
        /// The session name.
        session: String,
    },
    /// A session of GetFederationToken.
    FederatedUser,
}

impl Caller {
    /// Reads the ARN of GetCallerIdentity: of a user, a session of a role, a federated user or an account. `None` for any other
    /// text.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let IamArn { partition, region, account, resource } = IamArn::parse(arn)?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_account || !region.is_empty() || !arn.chars().all(|c| c.is_ascii_graphic()) {
            return None;
        }
        let kind = match resource {
            IamResource::Root => CallerKind::Root,
            IamResource::User(name) if !name.is_empty() => CallerKind::User { name: name.to_owned() },
            IamResource::RoleSession { role, session } if !session.is_empty() => {
                CallerKind::RoleSession { role: role.to_owned(), session: session.to_owned() }
            }
            IamResource::FederatedUser => CallerKind::FederatedUser,
            _ => return None,
        };
        let (arn, partition, account) = (arn.to_owned(), partition.to_owned(), account.to_owned());
        Some(Self { arn, partition, account, kind, role_arn: None })
    }

    /// Sets the ARN of the role with its path, if it is that of this session's role.
    #[must_use]
    pub fn with_role_arn(mut self, role_arn: &str) -> Self {
        if matches!(&self.kind, CallerKind::RoleSession { role, .. } if self.is_role(role_arn, role)) {
            self.role_arn = Some(role_arn.to_owned());
        }
        self
    }

    /// The ARN of GetCallerIdentity.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The partition, such as `aws`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The account id, twelve digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &CallerKind {
        &self.kind
    }

    /// The ARN of the account's root, which stands for the whole account in a policy.
    #[must_use]
    pub fn account_arn(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.account)
    }

    /// The ARN that a policy names: for a session of a role, that of its role. Its path is missing if it is unknown.
    #[must_use]
    pub fn policy_arn(&self) -> String {
        match &self.kind {
            CallerKind::RoleSession { role, .. } => self
                .role_arn
                .clone()
                .unwrap_or_else(|| format!("arn:{}:iam::{}:role/{role}", self.partition, self.account)),
            _ => self.arn.clone(),
        }
    }

    /// Returns whether the path of the role is unknown, so that [`Self::policy_arn`] may leave it out.
    #[must_use]
    pub fn has_unknown_path(&self) -> bool {
        matches!(self.kind, CallerKind::RoleSession { .. }) && self.role_arn.is_none()
    }

    /// The name of the permission set, if IAM Identity Center made the role: `Admins` for
    /// `AWSReservedSSO_Admins_0123456789abcdef`.
    #[must_use]
    pub fn permission_set(&self) -> Option<&str> {
        let CallerKind::RoleSession { role, .. } = &self.kind else { return None };
        iam_arn::permission_set(role)
    }

    /// Returns whether a `Principal` of a policy names this caller itself: the ARN of a user, of a role or of a session.
    pub(super) fn is_named_by(&self, principal: &str) -> bool {
        if principal == self.arn || self.role_arn.as_deref() == Some(principal) {
            return true;
        }
        let CallerKind::RoleSession { role, .. } = &self.kind else { return false };
        // The ARN of a session leaves out the path of the role, so a role of the same name counts if the path is unknown.
        self.role_arn.is_none() && self.is_role(principal, role)
    }

    /// Returns whether an ARN is that of a role of this name in the caller's account.
    fn is_role(&self, arn: &str, name: &str) -> bool {
        IamArn::parse(arn).is_some_and(|arn| arn.is_role(name, &self.partition, &self.account))
    }

    /// Returns whether a `Principal` of a policy names the account: its number, or the ARN of its root.
    pub(super) fn is_account(&self, principal: &str) -> bool {
        principal == self.account || principal == self.account_arn()
    }
}
