//! Which mapping the authenticator uses for a principal.

use std::collections::HashMap;

use super::{AwsAuth, MapKey, MappedAccount, Mapping, Subject};
use crate::cluster_access::principal::{IamKind, Principal};

/// What lets a principal enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// A mapping of a role or user.
    Mapping(&'a Mapping),
    /// An account of `mapAccounts`: the principal enters with its ARN as user name and without groups.
    Account(&'a MappedAccount),
}

impl AwsAuth {
    /// Returns what the authenticator uses for a principal: `mapRoles`, then `mapUsers`, then `mapAccounts`. Of mappings with
    /// the same ARN it uses the last one.
    #[must_use]
    pub fn find(&self, principal: &Principal) -> Option<Match<'_>> {
        let of = |mappings: &'_ [Mapping]| mappings.iter().rposition(|mapping| mapping.matches(principal));
        if let Some(index) = of(&self.roles) {
            return self.roles.get(index).map(Match::Mapping);
        }
        if let Some(index) = of(&self.users) {
            return self.users.get(index).map(Match::Mapping);
        }
        self.accounts.iter().find(|account| account.id == principal.account()).map(Match::Account)
    }

    /// Returns the mappings of roles, then those of users.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.roles.iter().chain(&self.users)
    }

    /// Returns the last mapping of each ARN.
    #[must_use]
    pub fn last_mappings(&self) -> LastMappings<'_> {
        LastMappings(self.mappings().map(|mapping| (LastMappings::key(mapping), mapping)).collect())
    }
}

/// The last mapping of each ARN in each list, which the authenticator uses in place of earlier ones.
#[derive(Debug)]
pub struct LastMappings<'a>(HashMap<(MapKey, Subject), &'a Mapping>);

impl<'a> LastMappings<'a> {
    /// Returns the later mapping that the authenticator uses in place of this one.
    #[must_use]
    pub fn replacing(&self, mapping: &Mapping) -> Option<&'a Mapping> {
        self.0.get(&Self::key(mapping)).copied().filter(|last| last.index > mapping.index)
    }

    /// The authenticator compares the ARNs of roles without case.
    fn key(mapping: &Mapping) -> (MapKey, Subject) {
        let subject = match &mapping.subject {
            Subject::Role(arn) => Subject::Role(arn.to_lowercase()),
            other => other.clone(),
        };
        (mapping.key, subject)
    }
}

impl Mapping {
    /// Returns whether the mapping names a principal. Roles are compared without their path, as STS reports them.
    #[must_use]
    pub fn matches(&self, principal: &Principal) -> bool {
        let canonical = principal.canonical();
        match &self.subject {
            Subject::Role(arn) | Subject::User(arn) => arn.to_lowercase() == canonical.to_string().to_lowercase(),
            Subject::PermissionSet { name, account, partition } => {
                let start = format!("awsreservedsso_{}_", name.to_lowercase());
                // A pattern with a partition matches nothing: the authenticator leaves the partition of the pattern empty.
                partition.is_empty()
                    && canonical.kind() == IamKind::Role
                    && canonical.partition() == "aws"
                    && canonical.account() == account
                    && canonical.name().to_lowercase().starts_with(&start)
            }
        }
    }

    /// Returns the text that names the subject: an ARN, or `AWSReservedSSO_NAME_* in ACCOUNT`.
    #[must_use]
    pub fn subject_text(&self) -> String {
        match &self.subject {
            Subject::Role(arn) | Subject::User(arn) => arn.clone(),
            Subject::PermissionSet { name, account, .. } => format!("permission set {name} in {account}"),
        }
    }

    /// Returns whether the mapping is one of nodes, by its groups.
    #[must_use]
    pub fn is_of_nodes(&self) -> bool {
        self.groups.iter().any(|group| group == "system:nodes" || group == "system:bootstrappers")
    }

    /// Returns whether the mapping makes administrators.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}
