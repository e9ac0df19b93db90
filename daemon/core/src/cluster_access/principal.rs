//! The ARN of an IAM role or user, as access entries and aws-auth name it.

use std::fmt;
use std::str::FromStr;

use rolecall_protocol::{PrincipalKind, RoleArn, is_unsafe_for_terminal};

use crate::iam_arn::{self, IamArn, IamResource};

/// The path of service-linked roles, which EKS rejects as principals.
const SERVICE_LINKED_PATH: &str = "/aws-service-role/";

/// The longest name of a role or user, in characters (IAM API).
const MAX_NAME: usize = 64;

/// An IAM role or an IAM user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    partition: String,
    account: String,
    kind: IamKind,
    path: String,
    name: String,
}

/// The kind of a [`Principal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IamKind {
    /// An IAM role.
    Role,
    /// An IAM user.
    User,
}

impl IamKind {
    /// Returns the word in ARNs: `role` or `user`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::User => "user",
        }
    }
}

impl From<IamKind> for PrincipalKind {
    fn from(kind: IamKind) -> Self {
        match kind {
            IamKind::Role => Self::Role,
            IamKind::User => Self::User,
        }
    }
}

/// Why a text is not the ARN of an IAM role or user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// The text is not an ARN.
    #[error(
        "is not an ARN: it must look like arn:aws:iam::111122223333:role/NAME or arn:aws:iam::111122223333:user/NAME"
    )]
    NotAnArn,
    /// The text is the ARN of a session of a role.
    #[error("is the ARN of a session; name its role, which looks like {role}")]
    Session {
        /// The ARN of the role. STS drops the path of the role, so the path is missing here as well.
        role: String,
    },
    /// The text is the ARN of a session of GetFederationToken.
    #[error("is the ARN of a federated user; name the IAM user that called GetFederationToken")]
    FederatedUser,
    /// The text is the ARN of an account's root user.
    #[error("is the root user of an account; EKS accepts IAM roles and IAM users")]
    Root,
    /// The text is the ARN of a service-linked role.
    #[error("is a service-linked role, which EKS rejects as a principal")]
    ServiceLinkedRole,
    /// The text is an ARN of another service or resource type.
    #[error("is an ARN of {service} {resource}; EKS accepts IAM roles and IAM users")]
    OtherResource {
        /// The service in the ARN.
        service: String,
        /// The type of the resource.
        resource: String,
    },
    /// A part of the ARN breaks IAM's rules.
    #[error("{reason}")]
    Invalid {
        /// The rule that the ARN breaks.
        reason: String,
    },
}

impl Principal {
    /// Returns the role or user that `text` names: an ARN, or the name of a role or user of `account` with or without its
    /// path. Errors if the text is neither, or if the ARN is not of `kind`.
    pub fn from_name_or_arn(
        text: &str,
        kind: Option<IamKind>,
        partition: &str,
        account: &str,
    ) -> Result<Self, PrincipalError> {
        if text.contains(':') {
            let principal: Self = text.parse()?;
            return match kind {
                Some(kind) if kind != principal.kind => Err(PrincipalError::Invalid {
                    reason: format!("is the ARN of a {}, not of a {}", principal.kind.as_str(), kind.as_str()),
                }),
                _ => Ok(principal),
            };
        }
        let Some(kind) = kind else { return Err(PrincipalError::NotAnArn) };
        let name = text.trim_start_matches('/');
        format!("arn:{partition}:iam::{account}:{}/{name}", kind.as_str()).parse()
    }

    /// Returns the partition: `aws`, `aws-cn`, `aws-us-gov`, …
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Returns the account id, twelve digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Returns whether it is a role or a user.
    #[must_use]
    pub const fn kind(&self) -> IamKind {
        self.kind
    }

    /// Returns the path, `/` or for example `/team/ops/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the name without the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the principal without its path. STS drops the path of a role, so aws-auth has to name the role like this.
    #[must_use]
    pub fn without_path(&self) -> Self {
        Self { path: "/".to_owned(), ..self.clone() }
    }

    /// Returns the ARN that the authenticator sees for this principal. For a role it has no path; for a user it is the ARN
    /// itself.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self.kind {
            IamKind::Role => self.without_path(),
            IamKind::User => self.clone(),
        }
    }

    /// Returns whether two principals are equal without regard to case, as the authenticator compares them.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }

    /// Returns the name of the permission set if IAM Identity Center made the role.
    #[must_use]
    pub fn permission_set(&self) -> Option<&str> {
        if self.kind == IamKind::Role { iam_arn::permission_set(&self.name) } else { None }
    }

    /// Returns the name that EKS gives to the user in Kubernetes if an access entry sets none.
    #[must_use]
    pub fn default_username(&self) -> String {
        match self.kind {
            IamKind::User => self.to_string(),
            IamKind::Role => {
                format!("arn:{}:sts::{}:assumed-role/{}/{{{{SessionName}}}}", self.partition, self.account, self.name)
            }
        }
    }
}

impl From<&RoleArn> for Principal {
    fn from(arn: &RoleArn) -> Self {
        let resource = arn.as_str().rsplit(':').next().unwrap_or_default();
        let path = resource.strip_prefix("role").and_then(|path| path.strip_suffix(arn.role_name()));
        Self {
            partition: arn.partition().to_owned(),
            account: arn.account().to_owned(),
            kind: IamKind::Role,
            path: path.unwrap_or("/").to_owned(),
            name: arn.role_name().to_owned(),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, account, kind, path, name } = self;
        write!(f, "arn:{partition}:iam::{account}:{}{path}{name}", kind.as_str())
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        // The errors quote parts of an ARN.
        if text.contains(is_unsafe_for_terminal) {
            return Err(PrincipalError::NotAnArn);
        }
        let arn = IamArn::parse(text).ok_or(PrincipalError::NotAnArn)?;
        let (kind, name) = match arn.resource {
            IamResource::Role(name) => (IamKind::Role, name),
            IamResource::User(name) => (IamKind::User, name),
            IamResource::Root => return Err(PrincipalError::Root),
            IamResource::RoleSession { role, .. } => {
                let IamArn { partition, account, .. } = arn;
                return Err(PrincipalError::Session { role: format!("arn:{partition}:iam::{account}:role/{role}") });
            }
            IamResource::FederatedUser => return Err(PrincipalError::FederatedUser),
            IamResource::Other { service, resource_type } => {
                let (service, resource) = (service.to_owned(), resource_type.to_owned());
                return Err(PrincipalError::OtherResource { service, resource });
            }
        };
        let principal = check_parts(text, name, kind)?;
        if kind == IamKind::Role && principal.path.starts_with(SERVICE_LINKED_PATH) {
            return Err(PrincipalError::ServiceLinkedRole);
        }
        Ok(principal)
    }
}

/// Checks partition, account, path and name. The rules for users are those for roles, so a user's ARN is checked as the
/// ARN of a role with the same path.
fn check_parts(arn: &str, name: &str, kind: IamKind) -> Result<Principal, PrincipalError> {
    let invalid = |reason: String| PrincipalError::Invalid { reason };
    let as_role = match kind {
        IamKind::Role => arn.to_owned(),
        IamKind::User => arn.replacen(":user/", ":role/", 1),
    };
    let role: RoleArn = as_role.parse().map_err(|error: rolecall_protocol::InvalidName| {
        let reason = error.to_string();
        let (_, rule) = reason.split_once(": ").unwrap_or(("", &reason));
        invalid(rule.replace("role/", &format!("{}/", kind.as_str())))
    })?;
    if name.len() > MAX_NAME {
        return Err(invalid(format!("has a name of more than {MAX_NAME} characters")));
    }
    Ok(Principal { kind, ..Principal::from(&role) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Principal, PrincipalError> {
        text.parse()
    }

    #[test]
    fn principal_arn_is_split_and_shown_unchanged() {
        let role = parse("arn:aws-cn:iam::111122223333:role/team/ops/dev").unwrap();
        assert_eq!((role.partition(), role.account(), role.kind()), ("aws-cn", "111122223333", IamKind::Role));
        assert_eq!((role.path(), role.name()), ("/team/ops/", "dev"));
        assert_eq!(role.to_string(), "arn:aws-cn:iam::111122223333:role/team/ops/dev");
        assert_eq!(role.without_path().to_string(), "arn:aws-cn:iam::111122223333:role/dev");
        assert_eq!(role.default_username(), "arn:aws-cn:sts::111122223333:assumed-role/dev/{{SessionName}}");
        let user = parse("arn:aws:iam::111122223333:user/eng/jo").unwrap();
        assert_eq!((user.kind(), user.path(), user.name()), (IamKind::User, "/eng/", "jo"));
        assert_eq!(user.canonical(), user);
        assert_eq!(user.default_username(), "arn:aws:iam::111122223333:user/eng/jo");
    }

    #[test]
    fn principal_names_are_completed_with_account_and_partition() {
        let complete = |text: &str, kind| {
            Principal::from_name_or_arn(text, kind, "aws", "111122223333").map(|principal| principal.to_string())
        };
        assert_eq!(complete("dev", Some(IamKind::Role)).unwrap(), "arn:aws:iam::111122223333:role/dev");
        assert_eq!(complete("/a/jo", Some(IamKind::User)).unwrap(), "arn:aws:iam::111122223333:user/a/jo");
        assert_eq!(complete("dev", None).unwrap_err(), PrincipalError::NotAnArn);
        let arn = "arn:aws:iam::999988887777:user/jo";
        assert_eq!(complete(arn, None).unwrap(), arn);
        let error = complete(arn, Some(IamKind::Role)).unwrap_err().to_string();
        assert_eq!(error, "is the ARN of a user, not of a role");
        assert!(complete("a b", Some(IamKind::User)).unwrap_err().to_string().contains("after user/"));
    }

    #[test]
    fn principal_error_says_which_arn_was_given() {
        let session = parse("arn:aws:sts::111122223333:assumed-role/dev/jo@example.com").unwrap_err();
        assert_eq!(session, PrincipalError::Session { role: "arn:aws:iam::111122223333:role/dev".to_owned() });
        assert_eq!(parse("arn:aws:sts::111122223333:federated-user/jo").unwrap_err(), PrincipalError::FederatedUser);
        assert_eq!(parse("arn:aws:iam::111122223333:root").unwrap_err(), PrincipalError::Root);
        let linked = "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS";
        assert_eq!(parse(linked).unwrap_err(), PrincipalError::ServiceLinkedRole);
        let group = parse("arn:aws:iam::111122223333:group/dev").unwrap_err().to_string();
        assert_eq!(group, "is an ARN of iam group; EKS accepts IAM roles and IAM users");
        for no_arn in ["dev", "arn:aws:iam::111122223333:gr\toup/dev", "arn:aws:i\u{202e}am::111122223333:group/dev"] {
            assert_eq!(parse(no_arn).unwrap_err(), PrincipalError::NotAnArn);
        }
        for (invalid, reason) in [
            ("arn:gcp:iam::111122223333:user/jo", "names no partition"),
            ("arn:aws:iam::1111:user/jo", "twelve digits"),
            ("arn:aws:iam::111122223333:user/", "empty path segment"),
            ("arn:aws:iam::111122223333:user/j*o", "after user/, not '*'"),
            ("arn:aws:iam:eu-west-1:111122223333:role/dev", "must look like"),
        ] {
            let error = parse(invalid).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let long = parse(&format!("arn:aws:iam::111122223333:role/{}", "x".repeat(65))).unwrap_err().to_string();
        assert!(long.contains("64 characters"), "{long}");
    }

    #[test]
    fn principal_comparison_ignores_case() {
        let (a, b) = ("arn:aws:iam::111122223333:role/Dev", "arn:aws:iam::111122223333:role/dev");
        assert!(parse(a).unwrap().is_same(&parse(b).unwrap()));
        assert_ne!(parse(a).unwrap(), parse(b).unwrap());
    }

    #[test]
    fn permission_set_is_read_from_the_role_name() {
        let path = "aws-reserved/sso.amazonaws.com/eu-west-1";
        let role = parse(&format!("arn:aws:iam::111122223333:role/{path}/AWSReservedSSO_Data_Admins_0123456789abcdef"));
        assert_eq!(role.unwrap().permission_set(), Some("Data_Admins"));
        assert_eq!(parse("arn:aws:iam::111122223333:role/dev").unwrap().permission_set(), None);
    }
}
