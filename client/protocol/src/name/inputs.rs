//! What AssumeRole takes beside the role and the session's name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{InvalidName, all, check_partition, check_session_name, is_account, is_iam};

name! {
    /// A SourceIdentity: 2 to 64 of `[A-Za-z0-9_+=,.@-]`, not beginning with `aws:` (STS API, AssumeRole).
    SourceIdentity, "source identity", check_session_name
}

name! {
    /// The ARN of a managed policy, `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`, where the account of AWS's own is
    /// `aws`: 20 to 2,048 characters (STS API, PolicyDescriptorType).
    PolicyArn, "policy ARN", check_policy_arn
}

name! {
    /// The key of a session tag: 1 to 128 letters, digits, spaces and `_.:/=+-@`, not beginning with `aws:` (STS API, Tag).
    TagKey, "tag key", check_tag_key
}

name! {
    /// The value of a session tag: up to 256 letters, digits, spaces and `_.:/=+-@` (STS API, Tag).
    TagValue, "tag value", check_tag_value
}

impl PolicyArn {
    /// The partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.as_str().split(':').nth(1).unwrap_or_default()
    }
}

fn check_policy_arn(text: &str) -> Result<(), String> {
    const SHAPE: &str = "must look like arn:aws:iam::111122223333:policy/NAME, or arn:aws:iam::aws:policy/NAME";
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = fields.as_slice() else {
        return Err(SHAPE.to_owned());
    };
    check_partition(partition)?;
    let Some(path) = resource.strip_prefix("policy/").filter(|_| (20..=2048).contains(&text.len())) else {
        return Err(SHAPE.to_owned());
    };
    if *account != "aws" && !is_account(account) {
        return Err("needs an account of twelve digits, or aws".to_owned());
    }
    if path.split('/').any(str::is_empty) {
        return Err("has an empty path segment or name".to_owned());
    }
    all(path, "letters, digits and '_+=,.@-/' after policy/", |c| is_iam(c) || c == '/')
}

fn check_tag_key(text: &str) -> Result<(), String> {
    if !(1..=128).contains(&text.chars().count()) {
        return Err("must have 1 to 128 characters".to_owned());
    }
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err("may not begin with aws:, which is AWS's own".to_owned());
    }
    check_tag_text(text)
}

fn check_tag_value(text: &str) -> Result<(), String> {
    if text.chars().count() > 256 {
        return Err("must have at most 256 characters".to_owned());
    }
    check_tag_text(text)
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
fn check_tag_text(text: &str) -> Result<(), String> {
    let is_space = |c: char| c.is_whitespace() && !c.is_control();
    all(text, "letters, digits, spaces and '_.:/=+-@'", |c| {
        c.is_alphanumeric() || is_space(c) || "_.:/=+-@".contains(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused<T: FromStr<Err = InvalidName> + fmt::Debug>(text: &str, why: &str) {
        let error = text.parse::<T>().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn policies_are_arns_of_iam() {
        for good in [
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "arn:aws-cn:iam::111122223333:policy/team/eks_only",
            "arn:aws-us-gov:iam::aws:policy/aws-service-role/X",
        ] {
            assert_eq!(good.parse::<PolicyArn>().unwrap().as_str(), good);
        }
        assert_eq!("arn:aws-cn:iam::aws:policy/X".parse::<PolicyArn>().unwrap().partition(), "aws-cn");
        refused::<PolicyArn>("ReadOnlyAccess", "must look like");
        refused::<PolicyArn>("arn:aws:iam::aws:role/X-and-more", "must look like");
        refused::<PolicyArn>("arn:aws:sts::aws:policy/X", "must look like");
        refused::<PolicyArn>("arn:aws:iam:eu-west-1:aws:policy/X", "must look like");
        refused::<PolicyArn>("arn:gcp:iam::aws:policy/ReadOnly", "names no partition");
        refused::<PolicyArn>("arn:aws:iam::1:policy/ReadOnly", "twelve digits, or aws");
        refused::<PolicyArn>("arn:aws:iam::aws:policy//X", "empty path segment");
        refused::<PolicyArn>("arn:aws:iam::aws:policy/X\n", "may hold only");
        refused::<PolicyArn>(&format!("arn:aws:iam::aws:policy/{}", "x".repeat(2048)), "must look like");
    }

    #[test]
    fn tags_are_words_of_any_language() {
        for good in ["team", "Kostenstelle Größe", "a:b/c=d+e-f@g_h.i", "x"] {
            good.parse::<TagKey>().unwrap();
            good.parse::<TagValue>().unwrap();
        }
        "".parse::<TagValue>().unwrap();
        "é".repeat(128).parse::<TagKey>().unwrap();
        "é".repeat(256).parse::<TagValue>().unwrap();
        refused::<TagKey>("", "1 to 128");
        refused::<TagKey>(&"é".repeat(129), "1 to 128");
        refused::<TagValue>(&"é".repeat(257), "at most 256");
        refused::<TagKey>("AWS:team", "may not begin with aws:");
        refused::<TagKey>("a,b", "not ','");
        refused::<TagValue>("a\nb", "not '\\n'");
        refused::<TagValue>("a*", "not '*'");
    }

    #[test]
    fn source_identities_are_names() {
        "dev@example.com".parse::<SourceIdentity>().unwrap();
        refused::<SourceIdentity>("x", "2 to 64");
        refused::<SourceIdentity>("a b", "not ' '");
        refused::<SourceIdentity>("aws:dev", "not ':'");
    }
}
