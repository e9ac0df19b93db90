//! The names in a profile: of the profile itself, its cluster, its region, its role and so on.
//!
//! [`FromStr`] is the only constructor of these types and validates the text, so every value is well formed. The
//! client's command line and the daemon's configuration use the same types. Clones share one allocation, since the
//! daemon holds many copies.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// A text that is not a valid name. The message has the type of name and the broken rule: `region: must look like
/// eu-west-1`. It quotes at most one character of the text, escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct InvalidName {
    what: &'static str,
    rule: String,
}

impl InvalidName {
    fn new(what: &'static str, rule: impl Into<String>) -> Self {
        Self { what, rule: rule.into() }
    }
}

/// Declares a type for a validated string: the type's name, its name in messages, and the function that validates it.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(rule) => Err(InvalidName::new($what, rule)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a profile: 1 to 64 characters of `[A-Za-z0-9._-]`, starting with a letter or digit. The alphabet is
    /// small because the name is also the name of the kubeconfig context and a segment of a URL path.
    ProfileName, "profile name", check_label
}

name! {
    /// The name of a source, with the rules of [`ProfileName`].
    SourceName, "source name", check_label
}

name! {
    /// The name of an access key in the OS keyring, with the rules of [`ProfileName`].
    KeyName, "key name", check_label
}

name! {
    /// The serial number of an MFA device: the ARN of a virtual device, or the number on a hardware device. 9 to 256
    /// characters of `[A-Za-z0-9_+=/:,.@-]` (STS API, GetSessionToken).
    MfaSerial, "MFA serial number", check_mfa_serial
}

name! {
    /// The name of an EKS cluster: 1 to 100 characters of `[0-9A-Za-z_-]`, starting with a letter or digit (EKS API,
    /// CreateCluster).
    ClusterName, "cluster name", check_cluster
}

name! {
    /// The name of a Kubernetes namespace: 1 to 63 characters of `[a-z0-9-]`, starting and ending with a letter or digit
    /// (RFC 1123 label).
    Namespace, "namespace", check_namespace
}

name! {
    /// An AWS region such as `eu-west-1`: at most 32 characters that match `[a-z]{2,}(-[a-z]+)+-[0-9]+`. Since it
    /// becomes part of a host name, a text such as `evil.com#` must not pass.
    Region, "region", check_region
}

name! {
    /// The ARN of an IAM role, `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`: 20 to 2,048 characters (STS API,
    /// AssumeRole).
    RoleArn, "role ARN", check_role_arn
}

name! {
    /// A RoleSessionName: 2 to 64 characters of `[A-Za-z0-9_+=,.@-]` (STS API, AssumeRole).
    SessionName, "session name", check_session_name
}

name! {
    /// An ExternalId: 2 to 1,224 characters of `[A-Za-z0-9_+=,.@:/-]` (STS API, AssumeRole).
    ExternalId, "external id", check_external_id
}

mod inputs;

pub use inputs::{PolicyArn, SourceIdentity, TagKey, TagValue};

impl Region {
    /// Returns `us-east-1`, which is enabled in every account of the partition `aws`.
    #[must_use]
    pub fn us_east_1() -> Self {
        Self("us-east-1".into())
    }
}

impl RoleArn {
    /// Returns the partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// Returns the account id, twelve digits.
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// Returns the name of the role, without its path.
    pub fn role_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    fn part(&self, index: usize) -> &str {
        self.0.split(':').nth(index).unwrap_or_default()
    }
}

/// Returns the names of `known` that are similar to `wanted`, for a hint after a typing mistake: at most three, the
/// most similar first.
pub fn similar_names<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut close: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (edit_distance(wanted, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(wanted.len()) / 3 || name.contains(wanted))
        .collect();
    close.sort_unstable();
    close.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Returns the number of edits (insert, delete, replace, swap of neighbours) between two names, ignoring case.
fn edit_distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

fn check_label(text: &str) -> Result<(), String> {
    if !(1..=64).contains(&text.len()) {
        return Err("must have 1 to 64 characters".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin with a letter or a digit".to_owned());
    }
    check_characters(text, "letters, digits, '.', '_' and '-'", |c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn check_cluster(text: &str) -> Result<(), String> {
    if !(1..=100).contains(&text.len()) {
        return Err("must have 1 to 100 characters".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin with a letter or a digit".to_owned());
    }
    check_characters(text, "letters, digits, '_' and '-'", |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

fn check_namespace(text: &str) -> Result<(), String> {
    if !(1..=63).contains(&text.len()) {
        return Err("must have 1 to 63 characters".to_owned());
    }
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(is_edge) || !text.ends_with(is_edge) {
        return Err("must begin and end with a lower-case letter or a digit".to_owned());
    }
    check_characters(text, "lower-case letters, digits and '-'", |c| is_edge(c) || c == '-')
}

fn check_region(text: &str) -> Result<(), String> {
    const RULE: &str = "must look like eu-west-1";
    let words: Vec<&str> = text.split('-').collect();
    let lower = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let shaped = match words.as_slice() {
        [first, middle @ .., number] if !middle.is_empty() => {
            first.len() >= 2
                && lower(first)
                && middle.iter().all(lower)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    };
    if shaped && text.len() <= 32 { Ok(()) } else { Err(RULE.to_owned()) }
}

fn check_role_arn(text: &str) -> Result<(), String> {
    const SHAPE: &str = "must look like arn:aws:iam::111122223333:role/NAME";
    if !(20..=2048).contains(&text.len()) {
        return Err(SHAPE.to_owned());
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = fields.as_slice() else {
        return Err(SHAPE.to_owned());
    };
    check_partition(partition)?;
    if *service != "iam" || !region.is_empty() {
        return Err(if *service == "sts" {
            format!("is of a session, not of a role; {SHAPE}")
        } else {
            SHAPE.to_owned()
        });
    }
    if !is_account(account) {
        return Err("needs an account of twelve digits".to_owned());
    }
    let Some(path) = resource.strip_prefix("role/") else {
        return Err(SHAPE.to_owned());
    };
    if path.split('/').any(str::is_empty) {
        return Err("has an empty path segment or name".to_owned());
    }
    check_characters(path, "letters, digits and '_+=,.@-/' after role/", |c| is_iam_character(c) || c == '/')
}

fn check_partition(partition: &str) -> Result<(), String> {
    let known = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"].contains(&partition) || partition.starts_with("aws-iso");
    if known && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Ok(());
    }
    Err("names no partition of AWS (aws, aws-cn, aws-us-gov, aws-eusc, aws-iso…)".to_owned())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn check_session_name(text: &str) -> Result<(), String> {
    if !(2..=64).contains(&text.len()) {
        return Err("must have 2 to 64 characters".to_owned());
    }
    check_characters(text, "letters, digits and '_+=,.@-'", is_iam_character)
}

fn check_external_id(text: &str) -> Result<(), String> {
    if !(2..=1224).contains(&text.len()) {
        return Err("must have 2 to 1,224 characters".to_owned());
    }
    check_characters(text, "letters, digits and '_+=,.@:/-'", |c| is_iam_character(c) || ":/".contains(c))
}

fn check_mfa_serial(text: &str) -> Result<(), String> {
    if !(9..=256).contains(&text.len()) {
        return Err("must have 9 to 256 characters".to_owned());
    }
    check_characters(text, "letters, digits and '_+=/:,.@-'", |c| is_iam_character(c) || "/:".contains(c))
}

/// Whether a character may stand in an IAM name: `[\w+=,.@-]`, ASCII only.
pub(crate) fn is_iam_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

fn check_characters(text: &str, allowed: &str, is_allowed: impl Fn(char) -> bool) -> Result<(), String> {
    match text.chars().find(|c| !is_allowed(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("may hold only {allowed}, not '{}'", c.escape_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection<T: FromStr<Err = InvalidName> + fmt::Debug>(text: &str) -> String {
        match text.parse::<T>() {
            Ok(value) => panic!("{value:?} should have been rejected"),
            Err(error) => error.to_string(),
        }
    }

    /// Fault matrix row 35.
    #[test]
    fn role_arn_valid_has_parts_and_invalid_is_rejected() {
        let arn: RoleArn = "arn:aws-cn:iam::111122223333:role/team/ops/developers".parse().unwrap();
        assert_eq!((arn.partition(), arn.account(), arn.role_name()), ("aws-cn", "111122223333", "developers"));
        for invalid in [
            "",
            "developers",
            "arn:aws:iam::111122223333:user/dev",
            "arn:aws:iam::1111:role/developers",
            "arn:aws:iam:eu-west-1:111122223333:role/developers",
            "arn:azure:iam::111122223333:role/developers",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role//developers",
            "arn:aws:iam::111122223333:role/dev*",
            "arn:aws:iam::111122223333:role/dev%0aX",
            "arn:aws:iam::111122223333:role/dev\nX",
            "arn:aws:iam::111122223333:role/dév",
        ] {
            rejection::<RoleArn>(invalid);
        }
        assert!(rejection::<RoleArn>("arn:aws:sts::111122223333:assumed-role/dev/s").contains("not of a role"));
        rejection::<RoleArn>(&format!("arn:aws:iam::111122223333:role/{}", "x".repeat(5000)));
    }

    #[test]
    fn namespace_follows_the_rules_of_a_dns_label() {
        for valid in ["web", "a", "kube-system", "1-2", &"x".repeat(63)] {
            valid.parse::<Namespace>().unwrap();
        }
        for invalid in ["", "Web", "-web", "web-", "web.x", "web\n", "a/b", &"x".repeat(64)] {
            rejection::<Namespace>(invalid);
        }
    }

    /// Fault matrix row 36.
    #[test]
    fn region_text_of_another_host_is_rejected() {
        for valid in ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "eusc-de-east-1", "ap-southeast-7"] {
            valid.parse::<Region>().unwrap();
        }
        for invalid in [
            "",
            "eu-west",
            "EU-WEST-1",
            "evil.com#",
            "us-east-1.evil",
            "us-east-1@x",
            "us--1",
            "u-east-1",
            "us-east-1\n",
        ] {
            rejection::<Region>(invalid);
        }
    }

    /// Fault matrix row 37.
    #[test]
    fn cluster_name_with_line_break_is_rejected() {
        "prod_2-eu".parse::<ClusterName>().unwrap();
        for invalid in ["", "-prod", "prod\r\nx", "prod.eu", "prod eu"] {
            rejection::<ClusterName>(invalid);
        }
    }

    #[test]
    fn invalid_name_message_has_the_rule_without_the_text() {
        assert_eq!(
            rejection::<ProfileName>("pr/od"),
            "profile name: may hold only letters, digits, '.', '_' and '-', not '/'"
        );
        assert_eq!(rejection::<SessionName>("x"), "session name: must have 2 to 64 characters");
    }

    #[test]
    fn similar_names_are_close_and_few() {
        let known = ["prod", "staging", "audit", "production-eu"];
        assert_eq!(similar_names("prdo", known), ["prod"]);
        assert_eq!(similar_names("prod", known), ["prod", "production-eu"]);
        assert!(similar_names("zebra", known).is_empty());
    }
}
