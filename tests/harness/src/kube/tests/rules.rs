use super::*;

#[test]
fn valid_token_mapped_with_eks_extras() {
    let (aws, api, session) = fixture();
    let token = token(&api, &session).mint();
    let unmapped = authenticate(&api, &token).unwrap_err();
    assert_eq!(unmapped, "ARN is not mapped: arn:aws:iam::111122223333:role/developers");
    aws.grant("prod", REGION, DEVELOPERS, "dev:{{SessionName}}:{{SessionNameRaw}}:{{AccountID}}", &["view"]);
    let user = authenticate(&api, &token).unwrap();
    assert_eq!(user.username, "dev:dev-laptop:dev@laptop:111122223333");
    assert_eq!(user.groups, ["view", "system:authenticated"]);
    assert!(user.uid.starts_with("aws-iam-authenticator:111122223333:AROA"));
    let extra = |name: &str| user.extra[name][0].as_str();
    assert_eq!(extra("arn"), "arn:aws:sts::111122223333:assumed-role/developers/dev@laptop");
    assert_eq!(extra("canonicalArn"), "arn:aws:iam::111122223333:role/developers");
    assert_eq!((extra("sessionName"), extra("accessKeyId")), ("dev@laptop", session.id.as_str()));
}

#[test]
fn token_breaking_any_rule_rejected() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    let valid = || token(&api, &session);
    let long = "x".repeat(4_096);
    for (expected, spec) in [
        ("", valid()),
        ("", valid().scheme("HTTPS")),
        ("", valid().append("#fragment")),
        ("", valid().expires("0")),
        ("", valid().expires("900")),
        ("", valid().host("sts.eu-west-1.api.aws")),
        ("token is too large", valid().param("Action", &long)),
        ("token is missing expected", valid().prefix("k8s-aws-v2.")),
        ("token is missing expected", valid().prefix("")),
        ("Invalid", valid().prefix("k8s-aws-v1.=")),
        ("unexpected scheme \"http\"", valid().scheme("http")),
        ("unexpected path", valid().path("/x")),
        ("unexpected path", valid().path("")),
        ("unexpected hostname \"evil.example\"", valid().host("evil.example")),
        ("unexpected hostname", valid().host("sts.eu-west-1.amazonaws.com:443")),
        ("unexpected hostname", valid().host("sts.cn-north-1.amazonaws.com.cn")),
        ("non-whitelisted query parameter \"x\"", valid().param("X", "1")),
        ("query parameter with multiple values", valid().append("&action=GetCallerIdentity")),
        ("malformed query parameter", valid().append(";")),
        ("unexpected action", valid().param("Action", "GetSessionToken")),
        ("client did not sign the x-k8s-aws-id header", valid().without_cluster()),
        ("invalid X-Amz-Expires", valid().expires("901")),
        ("invalid X-Amz-Expires", valid().expires("-1")),
        ("invalid X-Amz-Expires", valid().expires("1m")),
        ("X-Amz-Date parameter is expired", old(&api, &session, 15 * 60 + 1)),
        ("error from AWS (expected 200, got 403)", TokenSpec::new(&session, REGION, "staging", api.shared.clock.now())),
        (
            "error from AWS (expected 200, got 403)",
            TokenSpec::new(&session, "us-east-1", "prod", api.shared.clock.now()).host("sts.eu-west-1.amazonaws.com"),
        ),
    ] {
        let found = authenticate(&api, &spec.mint()).err().unwrap_or_default();
        assert!(
            if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) },
            "{expected}: {found}"
        );
    }
    let padded = format!("{}=", valid().mint());
    assert!(authenticate(&api, &padded).is_err());
}

fn old(api: &ApiServer, key: &AccessKey, seconds: u64) -> TokenSpec {
    TokenSpec::new(key, REGION, "prod", api.shared.clock.now() - Duration::from_secs(seconds))
}

#[test]
fn token_expires_after_15_min_or_with_its_session() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    assert!(authenticate(&api, &old(&api, &session, 14 * 60).mint()).is_ok());
    let short = aws.session(DEVELOPERS, "dev", Duration::from_mins(5));
    let token = token(&api, &short).mint();
    assert!(authenticate(&api, &token).is_ok());
    aws.clock().advance(Duration::from_mins(6));
    let error = authenticate(&api, &token).unwrap_err();
    assert!(error.contains("ExpiredToken"), "{error}");
}

#[test]
fn token_repeated_within_two_minutes_cached() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    let token = token(&api, &session).mint();
    let authenticated = || authenticate(&api, &token).is_ok();
    assert!(authenticated() && authenticated() && authenticated());
    assert_eq!((api.sts_calls(), api.cache_hits(), aws.calls(Op::GetCallerIdentity)), (1, 2, 1));
    aws.clock().advance(Duration::from_mins(2));
    assert!(authenticated());
    api.clear_token_cache();
    assert!(authenticated());
    assert_eq!(api.sts_calls(), 3);
    let call = &aws.log()[0];
    assert_eq!(
        (call.host.as_str(), call.caller_arn.as_deref()),
        ("sts.eu-west-1.amazonaws.com", Some(session.arn.as_str()))
    );
    aws.clock().advance(Duration::from_mins(2));
    aws.fault(Op::GetCallerIdentity, Fault::Status(503));
    assert!(!authenticated() && authenticated(), "a failure is not cached");
}

#[test]
fn aws_auth_role_path_never_matches() {
    let (aws, api, session) = fixture();
    let dev = aws.add_user("111122223333", "dev");
    api.map_user(&dev.arn, "dev", &["system:masters"]);
    assert_eq!(authenticate(&api, &token(&api, &dev).mint()).unwrap().username, "dev");
    api.map_role(DEVELOPERS, "never", &[]);
    assert!(authenticate(&api, &token(&api, &session).mint()).is_err(), "a path in aws-auth never matches");
    api.map_role("arn:aws:iam::111122223333:role/developers", "now", &[]);
    assert_eq!(authenticate(&api, &token(&api, &session).mint()).unwrap().username, "now");
}
