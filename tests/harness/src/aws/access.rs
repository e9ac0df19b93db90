//! Cluster access of IAM principals: EKS access entries, and the older aws-auth ConfigMap.

use crate::arn::Arn;

/// The Kubernetes user of a principal in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grantee {
    /// A template: may contain `{{SessionName}}`, `{{SessionNameRaw}}`, `{{AccountID}}` and `{{AccessKeyID}}`.
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrantSource {
    AccessEntry,
    AwsAuth,
}

#[derive(Debug)]
struct Entry {
    cluster: String,
    region: String,
    source: GrantSource,
    principal: String,
    grantee: Grantee,
}

/// All grants of all clusters.
#[derive(Debug, Default)]
pub(crate) struct Access(Vec<Entry>);

impl Access {
    /// Adds an access entry. The ARN of a role includes its path.
    pub(crate) fn grant(&mut self, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        self.put(GrantSource::AccessEntry, cluster, region, principal, grantee);
    }

    /// Adds a line of `mapRoles` or `mapUsers`.
    pub(crate) fn map(&mut self, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        self.put(GrantSource::AwsAuth, cluster, region, principal, grantee);
    }

    /// Removes every grant of a principal in a cluster.
    pub(crate) fn revoke(&mut self, cluster: &str, region: &str, principal: &str) {
        self.0.retain(|entry| {
            (entry.cluster.as_str(), entry.region.as_str(), entry.principal.as_str()) != (cluster, region, principal)
        });
    }

    /// Finds the grant of a canonical ARN (a role's ARN without its path). Access entries take precedence, as in EKS.
    pub(crate) fn find(&self, cluster: &str, region: &str, canonical: &str) -> Option<Grantee> {
        let of_cluster = || self.0.iter().filter(|entry| entry.cluster == cluster && entry.region == region);
        let by_entry = of_cluster()
            .filter(|entry| entry.source == GrantSource::AccessEntry)
            .find(|entry| without_path(&entry.principal).eq_ignore_ascii_case(canonical));
        // aws-iam-authenticator compares the ARN in aws-auth as text, so an ARN with a path never matches (#268).
        let by_map = || {
            of_cluster()
                .filter(|entry| entry.source == GrantSource::AwsAuth)
                .find(|entry| entry.principal.eq_ignore_ascii_case(canonical))
        };
        by_entry.or_else(by_map).map(|entry| entry.grantee.clone())
    }

    fn put(&mut self, source: GrantSource, cluster: &str, region: &str, principal: &str, grantee: Grantee) {
        assert!(Arn::parse(principal).is_some(), "{principal} is not an ARN");
        self.0.retain(|entry| {
            entry.source != source
                || (entry.cluster.as_str(), entry.region.as_str(), entry.principal.as_str())
                    != (cluster, region, principal)
        });
        let (cluster, region, principal) = (cluster.to_owned(), region.to_owned(), principal.to_owned());
        self.0.push(Entry { cluster, region, source, principal, grantee });
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
    fn role_path_matches_access_entry_not_aws_auth() {
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
