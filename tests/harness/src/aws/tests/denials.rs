use std::time::Duration;

use serde_json::json;

use super::client::{assume, sts};
use super::{DEVELOPERS, aws};
use crate::aws::{DeniedBy, PolicyType, Role};

#[test]
fn denied_call_names_the_policy_if_it_is_scripted() {
    let (aws, dev) = aws();
    let start = format!(
        "403 AccessDenied: User: {} is not authorized to perform: sts:AssumeRole on resource: {DEVELOPERS}",
        dev.arn
    );
    for (by, end) in [
        (
            DeniedBy::NotAllowed(PolicyType::Identity),
            " because no identity-based policy allows the sts:AssumeRole action",
        ),
        (
            DeniedBy::NotAllowed(PolicyType::PermissionsBoundary),
            " because no permissions boundary allows the sts:AssumeRole action",
        ),
        (DeniedBy::ExplicitDeny(PolicyType::Identity), " with an explicit deny in an identity-based policy"),
        (DeniedBy::ExplicitDeny(PolicyType::ServiceControl), " with an explicit deny in a service control policy"),
        (DeniedBy::ExplicitDenyIn(PolicyType::Session, "arn:x"), " with an explicit deny in a session policy: arn:x"),
    ] {
        aws.deny_by(&dev.arn, "sts:AssumeRole", by);
        assert_eq!(assume(&aws, &dev, DEVELOPERS, "").error(), format!("{start}{end}"));
    }
    aws.allow(&dev.arn, "sts:AssumeRole");
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200);
}

#[test]
fn trust_policy_is_named_in_the_same_account() {
    let (aws, dev) = aws();
    aws.name_trust_policies();
    aws.update_role(DEVELOPERS, |role| role.external_id("x:1/2"));
    let error = assume(&aws, &dev, DEVELOPERS, "").error();
    assert!(error.ends_with("because no role trust policy allows the sts:AssumeRole action"), "{error}");
    aws.update_role(DEVELOPERS, |role| role.distrusts(&dev.arn));
    let error = assume(&aws, &dev, DEVELOPERS, "&ExternalId=x:1/2").error();
    assert!(error.ends_with("sts:AssumeRole with an explicit deny in the role trust policy"), "{error}");
    let other = "arn:aws:iam::444455556666:role/other";
    aws.add_role(Role::new(other));
    assert!(assume(&aws, &dev, other, "").error().ends_with(other));
}

#[test]
fn sts_in_a_disabled_region_is_rejected() {
    let (aws, dev) = aws();
    aws.disable_sts("eu-west-1");
    let error = sts(&aws, &dev, "GetCallerIdentity", "").unwrap().error();
    assert!(
        error.starts_with("403 RegionDisabledException: STS is not activated in this region for account:111122223333."),
        "{error}"
    );
}

#[test]
fn trust_document_has_what_the_role_enforces() {
    let role = Role::new(DEVELOPERS)
        .trusts("arn:aws:iam::111122223333:root")
        .external_id("x")
        .requires_mfa()
        .requires_mfa_within(Duration::from_hours(1))
        .requires_tag("team", "blue")
        .requires_session_name_like("dev-*")
        .requires_source_ip("127.0.0.1/32")
        .distrusts("arn:aws:iam::111122223333:user/other");
    assert_eq!(
        role.trust_document(),
        json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                    "Condition": {
                        "StringEquals": { "sts:ExternalId": "x", "aws:RequestTag/team": "blue" },
                        "Bool": { "aws:MultiFactorAuthPresent": "true" },
                        "NumericLessThan": { "aws:MultiFactorAuthAge": "3600" },
                        "StringLike": { "sts:RoleSessionName": "dev-*" },
                        "IpAddress": { "aws:SourceIp": "127.0.0.1/32" },
                    },
                },
                {
                    "Sid": "Distrusted",
                    "Effect": "Deny",
                    "Principal": { "AWS": "arn:aws:iam::111122223333:user/other" },
                    "Action": "sts:AssumeRole",
                },
            ],
        })
    );
}
