//! Shortens the ARNs of the profile's own account.

use rolecall_protocol::{Endpoint, ProfileDetails, ProfileName, RoleArn, escape_controls};

use crate::daemon::Daemon;

/// The partition and the account of a profile, in which its cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) partition: String,
    pub(super) id: String,
}

impl Account {
    /// Asks the daemon, without a call to AWS. `None` if neither the role nor a session is known.
    pub(super) fn find(daemon: &Daemon, profile: &ProfileName) -> Option<Self> {
        let details: ProfileDetails = daemon.call_json(&Endpoint::Profile(profile.clone()), b"").ok()?;
        Self::of(&details)
    }

    /// The account in the ARN of the role, or else of the session.
    pub(super) fn of(details: &ProfileDetails) -> Option<Self> {
        let session = details.status.session.as_ref().and_then(|session| session.arn.as_deref());
        Self::of_arn(details.status.role_arn.as_ref().map(RoleArn::as_str).or(session)?)
    }

    /// An account that the user named, in the partition of a region.
    pub(super) fn in_region(id: &str, region: &str) -> Self {
        let partitions = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("eusc-", "aws-eusc"),
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-isof-", "aws-iso-f"),
        ];
        let partition = partitions.into_iter().find(|(prefix, _)| region.starts_with(prefix));
        Self { partition: partition.map_or("aws", |(_, partition)| partition).to_owned(), id: id.to_owned() }
    }

    fn of_arn(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        match parts.as_slice() {
            ["arn", partition, _, _, id, ..] if !id.is_empty() => {
                Some(Self { partition: (*partition).to_owned(), id: (*id).to_owned() })
            }
            _ => None,
        }
    }

    /// The part of the ARNs of IAM that all principals of the account share.
    pub(super) fn iam_prefix(&self) -> String {
        format!("arn:{}:iam::{}:", self.partition, self.id)
    }
}

/// An ARN for a table: `role/NAME` or `user/NAME` within the account, `assumed-role/…` for a session of it.
pub(super) fn short_arn(arn: &str, account: Option<&Account>) -> String {
    let short = account.and_then(|account| {
        let sts = format!("arn:{}:sts::{}:", account.partition, account.id);
        [account.iam_prefix(), sts].iter().find_map(|prefix| {
            let is_own = arn.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
            arn.get(prefix.len()..).filter(|_| is_own)
        })
    });
    escape_controls(short.unwrap_or(arn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_arn_only_within_the_account() {
        let account = Account::of_arn("arn:aws:iam::111122223333:role/team/developers");
        let short = |arn| short_arn(arn, account.as_ref());
        assert_eq!(short("arn:aws:iam::111122223333:role/team/x"), "role/team/x");
        assert_eq!(short("ARN:aws:IAM::111122223333:user/dev"), "user/dev");
        assert_eq!(short("arn:aws:sts::111122223333:assumed-role/x/{{SessionName}}"), "assumed-role/x/{{SessionName}}");
        for other in ["arn:aws:iam::999988887777:role/x", "arn:aws-cn:iam::111122223333:role/x", "111122223333", "é"] {
            assert_eq!(short(other), other);
        }
        assert_eq!(short("a\u{1b}"), "a\\u{1b}");
        assert_eq!(short_arn("arn:aws:iam::111122223333:role/x", None), "arn:aws:iam::111122223333:role/x");
        assert_eq!(Account::of_arn("developers"), None);
    }

    #[test]
    fn in_region_selects_the_partition() {
        for (region, prefix) in [
            ("eu-west-1", "arn:aws:iam::111122223333:"),
            ("cn-north-1", "arn:aws-cn:iam::111122223333:"),
            ("us-gov-west-1", "arn:aws-us-gov:iam::111122223333:"),
            ("us-isob-east-1", "arn:aws-iso-b:iam::111122223333:"),
        ] {
            assert_eq!(Account::in_region("111122223333", region).iam_prefix(), prefix);
        }
    }
}
