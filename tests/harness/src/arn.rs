//! Amazon Resource Names of IAM and STS.

/// `arn:partition:service:region:account:resource`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arn {
    pub(crate) partition: String,
    pub(crate) service: String,
    pub(crate) account: String,
    /// Everything after the fifth colon: `role/path/name`, `user/dev`, `root`, `assumed-role/name/session`.
    pub(crate) resource: String,
}

impl Arn {
    /// Parses an ARN. Returns `None` if the text does not have the shape of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let partition = parts.next().filter(|partition| !partition.is_empty())?.to_owned();
        let service = parts.next().filter(|service| !service.is_empty())?.to_owned();
        let _region = parts.next()?;
        let account = parts.next()?.to_owned();
        let resource = parts.next().filter(|resource| !resource.is_empty())?.to_owned();
        Some(Self { partition, service, account, resource })
    }

    /// Returns the resource type: `role`, `user`, `assumed-role` or `root`.
    pub(crate) fn kind(&self) -> &str {
        self.resource.split('/').next().unwrap_or_default()
    }

    /// Returns the last part of the resource: the name of a role or user without its path.
    pub(crate) fn name(&self) -> &str {
        self.resource.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the ARN of a session of this role. It does not contain the role's path.
    pub(crate) fn assumed(&self, session_name: &str) -> String {
        format!("arn:{}:sts::{}:assumed-role/{}/{session_name}", self.partition, self.account, self.name())
    }

    /// Returns the ARN of the account root. A trust policy that names it trusts the whole account.
    pub(crate) fn root(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_loses_its_path_when_it_is_assumed() {
        let role = Arn::parse("arn:aws-cn:iam::111122223333:role/team/a/developers").unwrap();
        assert_eq!((role.kind(), role.name()), ("role", "developers"));
        assert_eq!(role.assumed("dev@laptop"), "arn:aws-cn:sts::111122223333:assumed-role/developers/dev@laptop");
        assert_eq!(role.root(), "arn:aws-cn:iam::111122223333:root");
        assert_eq!(Arn::parse("arn:aws:iam::111122223333"), None);
        assert_eq!(Arn::parse("nonsense"), None);
    }
}
