use std::time::Duration;

use super::client::{assume, sts};
use super::{ACCOUNT, DEVELOPERS, aws};
use crate::aws::{Op, Role};
use crate::time::rfc3339;

#[test]
fn trusted_user_session_valid_until_expiry() {
    let (aws, dev) = aws();
    let response = assume(&aws, &dev, DEVELOPERS, "&DurationSeconds=900");
    let key = response.key();
    assert_eq!((response.status, key.arn.as_str()), (200, "arn:aws:sts::111122223333:assumed-role/developers/dev"));
    assert!(key.id.starts_with("ASIA") && key.session_token.as_ref().unwrap().len() == 700);
    assert_eq!(response.element("Expiration"), rfc3339(aws.clock().now() + Duration::from_mins(15)));
    let who = sts(&aws, &key, "GetCallerIdentity", "").unwrap();
    assert_eq!((who.element("Arn"), who.element("UserId")), (key.arn.as_str(), response.element("AssumedRoleId")));
    aws.clock().advance(Duration::from_mins(15));
    assert!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().error().starts_with("403 ExpiredToken"));
}

#[test]
fn untrusted_principal_denied_with_real_text() {
    let (aws, dev) = aws();
    let denied = |user: &str, action: &str, role: &str| {
        format!("403 AccessDenied: User: {user} is not authorized to perform: {action} on resource: {role}")
    };
    let other = aws.add_user(ACCOUNT, "other");
    assert_eq!(assume(&aws, &other, DEVELOPERS, "").error(), denied(&other.arn, "sts:AssumeRole", DEVELOPERS));
    let nowhere = "arn:aws:iam::111122223333:role/nowhere";
    assert_eq!(assume(&aws, &dev, nowhere, "").error(), denied(&dev.arn, "sts:AssumeRole", nowhere));
    aws.update_role(DEVELOPERS, |role| role.trusts("arn:aws:iam::111122223333:root"));
    assert_eq!(assume(&aws, &other, DEVELOPERS, "").status, 200);
    aws.deny(&other.arn, "sts:AssumeRole");
    assert_eq!(assume(&aws, &other, DEVELOPERS, "").status, 403);

    let partner = "arn:aws:iam::444455556666:role/partner";
    aws.add_role(Role::new(partner).trusts(&dev.arn).external_id("x:1/2"));
    for (external_id, status) in [("", 403), ("&ExternalId=x:1/3", 403), ("&ExternalId=x:1/2", 200)] {
        assert_eq!(assume(&aws, &dev, partner, external_id).status, status, "{external_id}");
    }
    let tags = "&ExternalId=x:1/2&Tags.member.1.Key=team&Tags.member.1.Value=a";
    assert_eq!(assume(&aws, &dev, partner, tags).error(), denied(&dev.arn, "sts:TagSession", partner));
    let identity = "&ExternalId=x:1/2&SourceIdentity=dev";
    assert_eq!(assume(&aws, &dev, partner, identity).error(), denied(&dev.arn, "sts:SetSourceIdentity", partner));
    aws.update_role(partner, |role| role.allows_tag_session().allows_source_identity());
    assert_eq!(assume(&aws, &dev, partner, tags).status, 200);
    assert_eq!(assume(&aws, &dev, partner, identity).element("SourceIdentity"), "dev");
}

#[test]
fn duration_above_limit_rejected_chain_one_hour() {
    let (aws, dev) = aws();
    let twelve = "arn:aws:iam::111122223333:role/twelve";
    aws.add_role(Role::new(twelve).trusts(&dev.arn).trusts(DEVELOPERS).max_session_duration(Duration::from_hours(12)));
    let base = assume(&aws, &dev, DEVELOPERS, "").key();
    let too_long = "400 ValidationError: The requested DurationSeconds exceeds the ";
    let bounds = |value: &str, constraint: &str| {
        format!(
            "400 ValidationError: 1 validation error detected: Value '{value}' at 'durationSeconds' failed to satisfy \
                 constraint: Member must have value {constraint}"
        )
    };
    for (key, role, seconds, expected) in [
        (&dev, DEVELOPERS, "900", None),
        (&dev, DEVELOPERS, "3600", None),
        (&dev, DEVELOPERS, "899", Some(bounds("899", "greater than or equal to 900"))),
        (&dev, DEVELOPERS, "-1", Some(bounds("-1", "greater than or equal to 900"))),
        (&dev, twelve, "43200", None),
        (&dev, twelve, "43201", Some(bounds("43201", "less than or equal to 43200"))),
        (&base, twelve, "3600", None),
        (&dev, DEVELOPERS, "3601", Some(format!("{too_long}MaxSessionDuration set for this role."))),
        (&base, twelve, "3601", Some(format!("{too_long}1 hour session limit for roles assumed by role chaining."))),
    ] {
        let response = assume(&aws, key, role, &format!("&DurationSeconds={seconds}"));
        assert_eq!((response.status != 200).then(|| response.error()), expected, "{seconds} s of {role} for {key:?}");
    }
}

#[test]
fn invalid_parameters_rejected_with_sts_texts() {
    let (aws, dev) = aws();
    let error = |parameters: &str| sts(&aws, &dev, "AssumeRole", parameters).unwrap().error();
    let one = "400 ValidationError: 1 validation error detected: ";
    let broken = "failed to satisfy constraint: Member must";
    let arn = format!("&RoleArn={DEVELOPERS}");
    assert_eq!(
        error(&format!("{arn}&RoleSessionName=a%20b")),
        format!(r"{one}Value 'a b' at 'roleSessionName' {broken} satisfy regular expression pattern: [\w+=,.@-]*")
    );
    assert_eq!(
        error(&format!("{arn}&RoleSessionName=a")),
        format!("{one}Value 'a' at 'roleSessionName' {broken} have length greater than or equal to 2")
    );
    assert_eq!(
        error("&RoleSessionName=dev"),
        format!("{one}Value null at 'roleArn' failed to satisfy constraint: Member must not be null")
    );
    assert!(error("").starts_with("400 ValidationError: 2 validation errors detected: Value null at 'roleArn'"));
    let invalid = "arn:aws:iam::111122223333:user/dev";
    assert_eq!(
        error(&format!("&RoleArn={invalid}&RoleSessionName=dev")),
        format!("400 ValidationError: {invalid} is invalid")
    );
    let wrong = |parameters: &str| error(&format!("{arn}&RoleSessionName=dev{parameters}"));
    for parameters in [
        "&ExternalId=a".to_owned(),
        "&ExternalId=a%20b".to_owned(),
        format!("&ExternalId={}", "a".repeat(1225)),
        "&SourceIdentity=a%2Fb".to_owned(),
        "&DurationSeconds=soon".to_owned(),
        format!("&Tags.member.1.Key={}&Tags.member.1.Value=v", "k".repeat(129)),
        (1..=51).map(|n| ["&TransitiveTagKeys.member.", &n.to_string(), "=k"].concat()).collect(),
        (1..=11).map(|n| ["&PolicyArns.member.", &n.to_string(), ".arn=arn:aws:iam::aws:policy/p"].concat()).collect(),
    ] {
        assert!(wrong(&parameters).starts_with(one), "{parameters}");
    }
    assert!(wrong("&Policy=%7B").starts_with("400 MalformedPolicyDocument"));
    assert!(aws.log_of(Op::AssumeRole).iter().all(|call| call.outcome != crate::Outcome::Ok));
}

#[test]
fn tags_lengthen_token_until_packed_limit() {
    let (aws, dev) = aws();
    aws.update_role(DEVELOPERS, Role::allows_tag_session);
    let tags = |count: usize| -> String {
        let value = "v".repeat(200);
        (1..=count)
            .map(|n| {
                let key = format!("{n:k>100}");
                ["&Tags.member.", &n.to_string(), ".Key=", &key, "&Tags.member.", &n.to_string(), ".Value=", &value]
                    .concat()
            })
            .collect()
    };
    let long = assume(&aws, &dev, DEVELOPERS, &tags(10));
    assert!(long.element("SessionToken").len() > 2_480, "{long:?}");
    let full = assume(&aws, &dev, DEVELOPERS, &tags(20));
    assert_eq!(full.error(), "400 PackedPolicyTooLarge: Packed size of session tags consumes 148% of allotted space.");
    aws.update_role(DEVELOPERS, |role| role.session_token_length(3_000));
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").element("SessionToken").len(), 3_000);
}

#[test]
fn invalid_tags_rejected_with_sts_texts() {
    let (aws, dev) = aws();
    aws.update_role(DEVELOPERS, Role::allows_tag_session);
    let tag = |n: usize, key: &str, value: &str| format!("&Tags.member.{n}.Key={key}&Tags.member.{n}.Value={value}");
    let error = |parameters: &str| assume(&aws, &dev, DEVELOPERS, parameters).error();
    let invalid = "400 InvalidParameterValue: ";
    assert_eq!(
        error(&(tag(1, "team", "a") + &tag(2, "Team", "b"))),
        format!("{invalid}Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    );
    assert!(error(&tag(1, "AWS:team", "a")).starts_with(&format!("{invalid}Tag keys that begin with aws: ")));
    assert_eq!(
        error(&(tag(1, "team", "a") + "&TransitiveTagKeys.member.1=other")),
        format!("{invalid}The specified transitive tag key must be included in the requested tags.")
    );
    let one = "400 ValidationError: 1 validation error detected: ";
    assert_eq!(
        error("&Tags.member.1.Key=team"),
        format!("{one}Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null")
    );
    assert!(error(&tag(1, "te%23am", "a")).starts_with(&format!("{one}Value 'te#am' at 'tags.1.member.key' failed")));
    assert!(error(&tag(1, "team", "a%0Ab")).contains(" at 'tags.1.member.value' failed to satisfy constraint"));
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &tag(1, "%C3%A4rger", "")).status, 200);
    let policy = |text: &str| error(&format!("&Policy={text}"));
    assert_eq!(policy("[]"), "400 MalformedPolicyDocument: Syntax errors in policy.");
    assert_eq!(policy("%7B%7D"), "400 MalformedPolicyDocument: Syntax errors in policy.");
    assert!(policy(&"x".repeat(2049)).starts_with(one));
    let user = "arn:aws:iam::111122223333:user/dev";
    assert_eq!(error(&format!("&PolicyArns.member.1.arn={user}")), format!("400 ValidationError: {user} is invalid"));
}

#[test]
fn trust_condition_unmet_denied() {
    let (aws, dev) = aws();
    let tag = "&Tags.member.1.Key=team&Tags.member.1.Value=a";
    let role = || Role::new(DEVELOPERS).trusts(&dev.arn);
    for (role, wrong, right) in [
        (role().requires_session_name_like("d?v*"), "&RoleSessionName=other", "&RoleSessionName=dev-1"),
        (role().requires_source_identity("dev"), "&SourceIdentity=other", "&SourceIdentity=dev"),
        (role().requires_source_identity("dev"), "", "&SourceIdentity=dev"),
        (role().requires_tag("team", "a"), "", tag),
        (role().requires_tag("team", "b"), tag, "&Tags.member.1.Key=team&Tags.member.1.Value=b"),
    ] {
        aws.add_role(role);
        let ask = |parameters: &str| {
            let name = if parameters.contains("RoleSessionName") { "" } else { "&RoleSessionName=dev" };
            sts(&aws, &dev, "AssumeRole", &format!("&RoleArn={DEVELOPERS}{name}{parameters}")).unwrap()
        };
        let denied = format!("is not authorized to perform: sts:AssumeRole on resource: {DEVELOPERS}");
        assert!(ask(wrong).error().ends_with(&denied), "{wrong}");
        assert_eq!(ask(right).status, 200, "{right}");
    }
}

#[test]
fn role_chain_keeps_source_identity_and_tags() {
    let (aws, dev) = aws();
    let next = "arn:aws:iam::111122223333:role/next";
    aws.update_role(DEVELOPERS, |role| role.allows_tag_session().allows_source_identity());
    let chained = || Role::new(next).trusts(DEVELOPERS);
    aws.add_role(chained());
    let tags = "&Tags.member.1.Key=team&Tags.member.1.Value=a&Tags.member.2.Key=cost&Tags.member.2.Value=7";
    let transitive = format!("{tags}&TransitiveTagKeys.member.1=team");
    let denied = |response: super::client::Response, action: &str| {
        assert!(
            response.error().contains(&format!("is not authorized to perform: {action} on resource: {next}")),
            "{response:?}"
        );
    };
    let tagged = assume(&aws, &dev, DEVELOPERS, &transitive).key();
    denied(assume(&aws, &tagged, next, ""), "sts:TagSession");
    aws.add_role(chained().allows_tag_session().requires_principal_tag("cost", "7"));
    let second = assume(&aws, &tagged, next, "").key();
    let third = "arn:aws:iam::111122223333:role/third";
    aws.add_role(Role::new(third).trusts(next).allows_tag_session().requires_principal_tag("team", "a"));
    assert_eq!(assume(&aws, &second, third, "").status, 200, "a transitive tag is inherited");
    aws.update_role(third, |role| role.requires_principal_tag("cost", "7"));
    assert_eq!(assume(&aws, &second, third, "").status, 403, "another tag is not");
    let logged = &aws.log()[0].params;
    assert_eq!([&logged["Tags.member.1.Key"], &logged["TransitiveTagKeys.member.1"]], ["team", "team"]);
    let conflicting = "&Tags.member.1.Key=TEAM&Tags.member.1.Value=b";
    assert!(
        assume(&aws, &tagged, next, conflicting).error().starts_with("400 InvalidParameterValue: One of the specified")
    );

    let named = assume(&aws, &dev, DEVELOPERS, "&SourceIdentity=dev").key();
    aws.add_role(chained());
    denied(assume(&aws, &named, next, ""), "sts:SetSourceIdentity");
    aws.add_role(chained().requires_source_identity("dev"));
    assert_eq!(assume(&aws, &named, next, "").element("SourceIdentity"), "dev");
    aws.add_role(chained().allows_source_identity());
    denied(assume(&aws, &named, next, "&SourceIdentity=other"), "sts:SetSourceIdentity");
    assert_eq!(assume(&aws, &named, next, "&SourceIdentity=dev").element("SourceIdentity"), "dev");
}
