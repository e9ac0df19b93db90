//! The ConfigMap `kube-system/aws-auth`: what aws-iam-authenticator reads from it, and edits that keep every other byte.

use std::collections::BTreeMap;
use std::fmt;

pub mod edit;
mod go_yaml;
pub mod lint;
pub mod manifest;
mod matching;
mod node;
mod read;
mod text_edit;
mod value;
mod yaml;

pub use matching::{LastMappings, Match};

/// The field `data` of the ConfigMap.
pub type Data = BTreeMap<String, String>;

/// A key of [`Data`] that the authenticator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapKey {
    /// `mapRoles`, a list of mappings of roles.
    Roles,
    /// `mapUsers`, a list of mappings of users.
    Users,
    /// `mapAccounts`, a list of account ids.
    Accounts,
}

impl MapKey {
    /// Every key, in the order of rows.
    pub const ALL: [Self; 3] = [Self::Roles, Self::Users, Self::Accounts];

    /// Returns the key as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Roles => "mapRoles",
            Self::Users => "mapUsers",
            Self::Accounts => "mapAccounts",
        }
    }
}

impl fmt::Display for MapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a mapping names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `rolearn`, as the text spells it.
    Role(String),
    /// `userarn`, as the text spells it.
    User(String),
    /// `sso`: the roles of a permission set of IAM Identity Center.
    PermissionSet {
        /// The name of the permission set.
        name: String,
        /// The account of the roles.
        account: String,
        /// The partition. Empty if the text names none.
        partition: String,
    },
}

/// A mapping that the authenticator keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The list of the mapping.
    pub key: MapKey,
    /// The index of the mapping in that list.
    pub index: usize,
    /// The line in the text, from 1.
    pub line: usize,
    /// What the mapping names.
    pub subject: Subject,
    /// The name of the user in Kubernetes, which may hold placeholders.
    pub username: String,
    /// The groups of the user in Kubernetes, which may hold placeholders.
    pub groups: Vec<String>,
}

/// An account of `mapAccounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedAccount {
    /// The index of the account in its list.
    pub index: usize,
    /// The line in the text, from 1.
    pub line: usize,
    /// The account id, as the text spells it.
    pub id: String,
}

/// What the authenticator reads from the ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsAuth {
    /// The mappings of `mapRoles`, in their order.
    pub roles: Vec<Mapping>,
    /// The mappings of `mapUsers`, in their order.
    pub users: Vec<Mapping>,
    /// The accounts of `mapAccounts`, in their order.
    pub accounts: Vec<MappedAccount>,
    /// What the authenticator drops or cannot read.
    pub problems: Vec<Problem>,
}

/// Something that the authenticator drops or cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The text with the problem.
    pub key: MapKey,
    /// The line in that text, from 1.
    pub line: usize,
    /// The column in that line, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// The kind of a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// The text is not valid YAML, so the authenticator drops every mapping in it.
    InvalidYaml {
        /// What the parser reports.
        message: String,
    },
    /// The text is not a list, so the authenticator reads no mapping from it.
    NotAList,
    /// An item of the list is not a mapping, so the authenticator drops it.
    NotAMapping {
        /// The index of the item.
        index: usize,
    },
    /// A value has the wrong type, so the authenticator ignores it.
    WrongType {
        /// The index of the item.
        index: usize,
        /// The field: `rolearn`, `username`, `groups`, …
        field: &'static str,
        /// The type that the field needs: `a list of texts`.
        needed: &'static str,
    },
    /// The authenticator drops the item, because a required field is missing or invalid.
    Dropped {
        /// The index of the item.
        index: usize,
        /// Why.
        reason: String,
    },
}
