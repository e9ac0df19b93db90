use std::time::Duration;

use super::{ACCOUNT, DEVELOPERS, aws};
use crate::aws::{Op, Role};
use crate::testing::{assume, sts};
use crate::time::rfc3339;

#[test]
fn a_trusted_user_gets_a_session_that_works_until_it_ends() {
    let (aws, dev) = aws();
    let got = assume(&aws, &dev, DEVELOPERS, "&DurationSeconds=900");
    let key = got.key();
    assert_eq!((got.status, key.arn.as_str()), (200, "arn:aws:sts::111122223333:assumed-role/developers/dev"));
    assert!(key.id.starts_with("ASIA") && key.session_token.as_ref().unwrap().len() == 700);
    let soon = [900, 899].map(|seconds| rfc3339(aws.clock().now() + Duration::from_secs(seconds)));
    assert!(soon.iter().any(|expires| expires == got.element("Expiration")), "{soon:?} {got:?}");
    let who = sts(&aws, &key, "GetCallerIdentity", "").unwrap();
    assert_eq!((who.element("Arn"), who.element("UserId")), (key.arn.as_str(), got.element("AssumedRoleId")));
    aws.clock().advance(Duration::from_mins(15));
    assert!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().error().starts_with("403 ExpiredToken"));
}

#[test]
fn trust_decides_and_its_denial_has_the_real_text() {
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
fn durations_have_limits_and_chains_one_hour() {
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
        let got = assume(&aws, key, role, &format!("&DurationSeconds={seconds}"));
        assert_eq!((got.status != 200).then(|| got.error()), expected, "{seconds} s of {role} for {key:?}");
    }
}

#[test]
fn parameters_are_validated_in_the_words_of_sts() {
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
fn tags_make_the_session_token_longer_until_there_is_no_room() {
    let (aws, dev) = aws();
    aws.update_role(DEVELOPERS, Role::allows_tag_session);
    let tags = |count: usize| -> String {
        let (key, value) = ("k".repeat(100), "v".repeat(200));
        (1..=count)
            .map(|n| {
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
