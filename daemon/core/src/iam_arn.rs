//! The ARN of a principal of IAM or STS, by its parts.

/// The start of the names of the roles that IAM Identity Center makes for permission sets.
const PERMISSION_SET_PREFIX: &str = "AWSReservedSSO_";

/// An ARN of IAM or STS, split into its parts. The parts are not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IamArn<'a> {
    /// The partition, such as `aws`.
    pub partition: &'a str,
    /// The region, which is empty in a valid ARN.
    pub region: &'a str,
    /// The account id.
    pub account: &'a str,
    /// The principal.
    pub resource: IamResource<'a>,
}

/// The resource of an [`IamArn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IamResource<'a> {
    /// The root user, which stands for the account in a policy.
    Root,
    /// An IAM user, by its name.
    User(&'a str),
    /// A role, by its name.
    Role(&'a str),
    /// A session of a role. STS leaves the path of the role out.
    RoleSession {
        /// The name of the role.
        role: &'a str,
        /// The session name. Empty if the ARN ends with the role.
        session: &'a str,
    },
    /// A session of GetFederationToken.
    FederatedUser,
    /// A resource of another service or type.
    Other {
        /// The service.
        service: &'a str,
        /// The type of the resource.
        resource_type: &'a str,
    },
}

impl<'a> IamArn<'a> {
    /// Splits an ARN. `None` if the text is not one.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = fields[..] else { return None };
        let (resource_type, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let name = rest.rsplit('/').next().unwrap_or_default();
        let resource = match (service, resource_type) {
            ("iam", "root") if resource == "root" => IamResource::Root,
            ("iam", "user") => IamResource::User(name),
            ("iam", "role") => IamResource::Role(name),
            ("sts", "assumed-role") => {
                let (role, session) = rest.split_once('/').unwrap_or((rest, ""));
                IamResource::RoleSession { role, session }
            }
            ("sts", "federated-user") => IamResource::FederatedUser,
            _ => IamResource::Other { service, resource_type },
        };
        Some(Self { partition, region, account, resource })
    }

    /// Returns whether this is the ARN of a role of this name, with any path, in a partition and account.
    #[must_use]
    pub fn is_role(&self, name: &str, partition: &str, account: &str) -> bool {
        *self == IamArn { partition, region: "", account, resource: IamResource::Role(name) }
    }
}

/// Returns the name of the permission set if IAM Identity Center made the role of this name: `Admins` for
/// `AWSReservedSSO_Admins_0123456789abcdef`.
#[must_use]
pub fn permission_set(role_name: &str) -> Option<&str> {
    role_name.strip_prefix(PERMISSION_SET_PREFIX)?.rsplit_once('_').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parse_names_the_principal() {
        for (arn, resource) in [
            ("arn:aws:iam::111122223333:root", IamResource::Root),
            ("arn:aws:iam::111122223333:user/eng/jo", IamResource::User("jo")),
            ("arn:aws:iam::111122223333:role/dev", IamResource::Role("dev")),
            ("arn:aws:sts::111122223333:assumed-role/dev/jo", IamResource::RoleSession { role: "dev", session: "jo" }),
            ("arn:aws:sts::111122223333:assumed-role/dev", IamResource::RoleSession { role: "dev", session: "" }),
            ("arn:aws:sts::111122223333:federated-user/jo", IamResource::FederatedUser),
            ("arn:aws:s3:::bucket/key", IamResource::Other { service: "s3", resource_type: "bucket" }),
            ("arn:aws:iam::111122223333:root/x", IamResource::Other { service: "iam", resource_type: "root" }),
        ] {
            assert_eq!(IamArn::parse(arn).unwrap().resource, resource, "{arn}");
        }
        assert_eq!(IamArn::parse("arn:aws:iam::111122223333"), None);
        assert_eq!(IamArn::parse("urn:aws:iam::111122223333:root"), None);
    }

    #[test]
    fn permission_set_is_read_from_the_role_name() {
        assert_eq!(permission_set("AWSReservedSSO_Data_Admins_0123456789abcdef"), Some("Data_Admins"));
        assert_eq!(permission_set("AWSReservedSSO_Admins"), None);
        assert_eq!(permission_set("dev"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parse_accepts_any_text(text in "(arn:)?[a-z:/\\PC]{0,40}") {
            if let Some(arn) = IamArn::parse(&text) {
                prop_assert!(text.starts_with("arn:") && text.contains(arn.account) && text.contains(arn.partition));
            }
        }

        #[test]
        fn path_of_a_role_is_left_out(path in "([a-z]{1,5}/){0,3}", name in "[A-Za-z0-9+=,.@_-]{1,20}") {
            let text = format!("arn:aws:iam::111122223333:role/{path}{name}");
            let arn = IamArn::parse(&text).unwrap();
            prop_assert!(arn.is_role(&name, "aws", "111122223333"));
            prop_assert!(!arn.is_role(&name, "aws", "444455556666"));
        }
    }
}
