//! The names in the optional parameters of AssumeRole.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{InvalidName, check_characters, check_partition, check_session_name, is_account, is_iam_character};

name! {
    /// A SourceIdentity: 2 to 64 characters of `[A-Za-z0-9_+=,.@-]` (STS API, AssumeRole).
    SourceIdentity, "source identity", check_session_name
}

name! {
    /// The ARN of a managed policy, `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`: 20 to 2,048 characters (STS API,
    /// PolicyDescriptorType). The account of AWS's own policies is `aws`.
    PolicyArn, "policy ARN", check_policy_arn
}

name! {
    /// The key of a session tag: 1 to 128 letters, digits, spaces and `_.:/=+-@`, not starting with `aws:` (STS API,
    /// Tag).
    TagKey, "tag key", check_tag_key
}

name! {
    /// The value of a session tag: up to 256 letters, digits, spaces and `_.:/=+-@` (STS API, Tag).
    TagValue, "tag value", check_tag_value
}

impl PolicyArn {
    /// Returns the partition: `aws`, `aws-cn`, `aws-us-gov`, …
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
    check_characters(path, "letters, digits and '_+=,.@-/' after policy/", |c| is_iam_character(c) || c == '/')
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
    check_characters(text, "letters, digits, spaces and '_.:/=+-@'", |c| {
        c.is_alphanumeric() || is_space(c) || "_.:/=+-@".contains(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_rejected<T: FromStr<Err = InvalidName> + fmt::Debug>(text: &str, why: &str) {
        let error = text.parse::<T>().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn policy_arn_valid_is_parsed_and_invalid_is_rejected() {
        for valid in [
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "arn:aws-cn:iam::111122223333:policy/team/eks_only",
            "arn:aws-us-gov:iam::aws:policy/aws-service-role/X",
        ] {
            assert_eq!(valid.parse::<PolicyArn>().unwrap().as_str(), valid);
        }
        assert_eq!("arn:aws-cn:iam::aws:policy/X".parse::<PolicyArn>().unwrap().partition(), "aws-cn");
        assert_rejected::<PolicyArn>("ReadOnlyAccess", "must look like");
        assert_rejected::<PolicyArn>("arn:aws:iam::aws:role/X-and-more", "must look like");
        assert_rejected::<PolicyArn>("arn:aws:sts::aws:policy/X", "must look like");
        assert_rejected::<PolicyArn>("arn:aws:iam:eu-west-1:aws:policy/X", "must look like");
        assert_rejected::<PolicyArn>("arn:gcp:iam::aws:policy/ReadOnly", "names no partition");
        assert_rejected::<PolicyArn>("arn:aws:iam::1:policy/ReadOnly", "twelve digits, or aws");
        assert_rejected::<PolicyArn>("arn:aws:iam::aws:policy//X", "empty path segment");
        assert_rejected::<PolicyArn>("arn:aws:iam::aws:policy/X\n", "may hold only");
        assert_rejected::<PolicyArn>(&format!("arn:aws:iam::aws:policy/{}", "x".repeat(2048)), "must look like");
    }

    #[test]
    fn tag_text_of_any_language_is_valid() {
        for valid in ["team", "Kostenstelle Größe", "a:b/c=d+e-f@g_h.i", "x"] {
            valid.parse::<TagKey>().unwrap();
            valid.parse::<TagValue>().unwrap();
        }
        "".parse::<TagValue>().unwrap();
        "é".repeat(128).parse::<TagKey>().unwrap();
        "é".repeat(256).parse::<TagValue>().unwrap();
        assert_rejected::<TagKey>("", "1 to 128");
        assert_rejected::<TagKey>(&"é".repeat(129), "1 to 128");
        assert_rejected::<TagValue>(&"é".repeat(257), "at most 256");
        assert_rejected::<TagKey>("AWS:team", "may not begin with aws:");
        assert_rejected::<TagKey>("a,b", "not ','");
        assert_rejected::<TagValue>("a\nb", "not '\\n'");
        assert_rejected::<TagValue>("a*", "not '*'");
    }

    #[test]
    fn source_identity_is_an_iam_name() {
        "dev@example.com".parse::<SourceIdentity>().unwrap();
        assert_rejected::<SourceIdentity>("x", "2 to 64");
        assert_rejected::<SourceIdentity>("a b", "not ' '");
        assert_rejected::<SourceIdentity>("aws:dev", "not ':'");
    }
}
