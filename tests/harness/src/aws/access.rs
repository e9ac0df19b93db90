//! Which IAM principal is whom in a cluster: EKS access entries, and the aws-auth ConfigMap of before.

use crate::arn::Arn;

/// What a principal is in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grantee {
    /// May hold `{{SessionName}}`, `{{SessionNameRaw}}`, `{{AccountID}}` and `{{AccessKeyID}}`.
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    AccessEntry,
    AwsAuth,
}

#[derive(Debug)]
struct Entry {
    cluster: String,
    region: String,
    means: Means,
    principal: String,
    grantee: Grantee,
}

/// Every grant of every cluster.
#[derive(Debug, Default)]
pub(crate) struct Access(Vec<Entry>);

impl Access {
    /// An access entry; EKS takes the ARN as IAM has it, with the role's path.
    pub(crate) fn grant(&mut self, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        self.put(Means::AccessEntry, cluster, region, principal, grantee);
    }

    /// A line of `mapRoles` or `mapUsers`.
    pub(crate) fn map(&mut self, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        self.put(Means::AwsAuth, cluster, region, principal, grantee);
    }

    /// Takes every grant of that principal back.
    pub(crate) fn revoke(&mut self, cluster: &str, region: &str, principal: &str) {
        self.0.retain(|entry| {
            (entry.cluster.as_str(), entry.region.as_str(), entry.principal.as_str()) != (cluster, region, principal)
        });
    }

    /// Finds a canonical ARN (that of the role without its path), access entries first, as EKS does.
    pub(crate) fn find(&self, cluster: &str, region: &str, canonical: &str) -> Option<Grantee> {
        let of_cluster = || self.0.iter().filter(|entry| entry.cluster == cluster && entry.region == region);
        let by_entry = of_cluster()
            .filter(|entry| entry.means == Means::AccessEntry)
            .find(|entry| without_path(&entry.principal).eq_ignore_ascii_case(canonical));
        // aws-iam-authenticator compares the text of aws-auth as it stands, so a path there never matches (#268).
        let by_map = || {
            of_cluster()
                .filter(|entry| entry.means == Means::AwsAuth)
                .find(|entry| entry.principal.eq_ignore_ascii_case(canonical))
        };
        by_entry.or_else(by_map).map(|entry| entry.grantee.clone())
    }

    fn put(&mut self, means: Means, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        assert!(Arn::parse(principal).is_some(), "{principal} is not an ARN");
        self.0.retain(|entry| {
            entry.means != means
                || (entry.cluster.as_str(), entry.region.as_str(), entry.principal.as_str())
                    != (cluster, region, principal)
        });
        let (cluster, region, principal) = (cluster.to_owned(), region.to_owned(), principal.to_owned());
        self.0.push(Entry { cluster, region, means, principal, grantee });
    }
}

fn without_path(principal: &str) -> String {
    match Arn::parse(principal) {
        Some(arn) if arn.kind() == "role" => {
            format!("arn:{}:iam::{}:role/{}", arn.partition, arn.account, arn.name())
        }
        _ => principal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_in_an_access_entry_and_never_in_aws_auth() {
        let grantee = |name: &str| Grantee { username: name.to_owned(), groups: Vec::new() };
        let (pathed, canonical) = ("arn:aws:iam::111122223333:role/team/dev", "arn:aws:iam::111122223333:role/dev");
        let mut access = Access::default();
        access.map("prod", "eu-west-1", pathed, grantee("by-map"));
        assert_eq!(access.find("prod", "eu-west-1", canonical), None);
        access.map("prod", "eu-west-1", "arn:aws:iam::111122223333:role/DEV", grantee("any-case"));
        assert_eq!(access.find("prod", "eu-west-1", canonical), Some(grantee("any-case")));
        access.grant("prod", "eu-west-1", pathed, grantee("by-entry"));
        assert_eq!(access.find("prod", "eu-west-1", canonical), Some(grantee("by-entry")));
        assert_eq!(access.find("prod", "us-east-1", canonical), None);
        access.revoke("prod", "eu-west-1", pathed);
        assert_eq!(access.find("prod", "eu-west-1", canonical), Some(grantee("any-case")));
    }
}
