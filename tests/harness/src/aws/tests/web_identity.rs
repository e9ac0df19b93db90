use std::time::Duration;

use super::client::{Response, http, sts};
use super::{DEVELOPERS, aws};
use crate::aws::{Aws, Op, Role};

const SUBJECT: &str = "repo:acme/shop:ref:refs/heads/main";

/// Calls AssumeRoleWithWebIdentity without a signature, as an SDK does.
fn assume(aws: &Aws, token: &str, parameters: &str) -> Response {
    let headers = [("host", "sts.eu-west-1.amazonaws.com"), ("content-type", "application/x-www-form-urlencoded")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let body = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={DEVELOPERS}&RoleSessionName=ci\
         &WebIdentityToken={token}{parameters}"
    );
    http(aws.addr(), "POST", "/", &headers, &body).unwrap()
}

#[test]
fn web_identity_trusted_subject_gets_session() {
    let (aws, _) = aws();
    let token = aws.web_identity_token(SUBJECT);
    let denied = "403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity";
    assert_eq!(assume(&aws, &token, "").error(), denied);
    aws.add_role(Role::new(DEVELOPERS).trusts_web_identity("repo:acme/*"));
    let response = assume(&aws, &token, "&DurationSeconds=900");
    assert_eq!((response.status, response.element("SubjectFromWebIdentityToken")), (200, SUBJECT));
    let key = response.key();
    assert_eq!(key.arn, "arn:aws:sts::111122223333:assumed-role/developers/ci");
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().element("Arn"), key.arn);
    assert_eq!(assume(&aws, &aws.web_identity_token("repo:other/shop"), "").error(), denied);
    assert!(assume(&aws, &token, "&DurationSeconds=3601").error().contains("MaxSessionDuration set for this role"));
    let call = &aws.log_of(Op::AssumeRoleWithWebIdentity)[0];
    assert_eq!((call.caller_arn.as_deref(), call.role_arn.as_deref()), (None, Some(DEVELOPERS)));
    assert_eq!((call.params["WebIdentityToken"].as_str(), call.region.as_deref()), ("[secret]", Some("eu-west-1")));
    assert!(aws.secrets().contains(&token));
}

#[test]
fn web_identity_unknown_or_expired_rejected() {
    let (aws, _) = aws();
    aws.add_role(Role::new(DEVELOPERS).trusts_web_identity("*"));
    let token = aws.web_identity_token_for(SUBJECT, Duration::from_mins(5));
    assert_eq!(assume(&aws, &token, "").status, 200);
    aws.clock().advance(Duration::from_mins(5));
    assert!(
        assume(&aws, &token, "").error().starts_with("400 ExpiredTokenException: Token expired: current date/time")
    );
    let unknown = assume(&aws, "a.b.c", "").error();
    assert!(unknown.starts_with("400 InvalidIdentityToken: Couldn't retrieve verification key"), "{unknown}");
    assert!(assume(&aws, "opaque", "").error().starts_with("400 InvalidIdentityToken: The ID Token provided is not"));
    assert!(assume(&aws, "a", "").error().starts_with("400 ValidationError: 1 validation error detected: "));
}
