mod access;
mod assume_role;
mod botocore;
mod client;
mod denials;
mod eks;
mod faults;
mod instance_and_container;
mod log;
mod mfa;
mod sso;
mod web_identity;

use std::time::Duration;

use super::*;
use crate::aws::sigv4::Signer;
use crate::clock::Clock;
use client::{REGION, http, sts};

const ACCOUNT: &str = "111122223333";
const DEVELOPERS: &str = "arn:aws:iam::111122223333:role/team/developers";

/// Returns an AWS whose clock stands still, with the user `dev`, who may assume `team/developers`.
fn aws() -> (Aws, AccessKey) {
    let aws = Aws::start(Clock::manual(Clock::system().now()));
    let dev = aws.add_user(ACCOUNT, "dev");
    aws.add_role(Role::new(DEVELOPERS).trusts(&dev.arn));
    (aws, dev)
}

#[test]
fn caller_identity_in_xml_and_json() {
    let (aws, dev) = aws();
    let response = sts(&aws, &dev, "GetCallerIdentity", "").unwrap();
    assert_eq!(
        (response.status, response.element("Arn"), response.element("Account")),
        (200, dev.arn.as_str(), ACCOUNT)
    );
    assert!(response.element("UserId").starts_with("AIDA") && response.head.contains("content-type: text/xml"));
    assert!(
        response.body.contains("xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"")
            && response.head.contains("\r\ndate: ")
    );

    let query = presigned(&aws, &dev, "sts.eu-west-1.amazonaws.com");
    let headers = [("host", "sts.eu-west-1.amazonaws.com"), ("x-k8s-aws-id", "prod"), ("accept", "application/json")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let response = http(aws.addr(), "GET", &format!("/?{query}"), &headers, "").unwrap();
    let result = &response.json()["GetCallerIdentityResponse"]["GetCallerIdentityResult"];
    assert_eq!((response.status, result["Arn"].as_str()), (200, Some(dev.arn.as_str())));

    let mut other_cluster = headers;
    other_cluster[1].1 = "staging".to_owned();
    let response = http(aws.addr(), "GET", &format!("/?{query}"), &other_cluster, "").unwrap();
    assert_eq!((response.status, response.json()["Error"]["Code"].as_str()), (403, Some("SignatureDoesNotMatch")));
    assert_eq!(aws.log()[2].outcome, Outcome::Error { status: 403, code: "SignatureDoesNotMatch".to_owned() });
}

fn presigned(aws: &Aws, key: &AccessKey, host: &str) -> String {
    let signer = Signer { key, region: REGION, service: "sts", at: aws.clock().now() };
    let query = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    signer.presign("/", &query, &[("host", host), ("x-k8s-aws-id", "prod")], "60")
}

#[test]
fn invalid_key_rejected_with_sts_codes() {
    let (aws, dev) = aws();
    let error = |key: &AccessKey| sts(&aws, key, "GetCallerIdentity", "").unwrap().error();
    let stranger = AccessKey { id: "AKIASTRANGER".to_owned(), ..dev.clone() };
    assert_eq!(error(&stranger), "403 InvalidClientTokenId: The security token included in the request is invalid.");
    let wrong_secret = AccessKey { secret: "wrong".to_owned(), ..dev.clone() };
    assert!(
        error(&wrong_secret)
            .starts_with("403 SignatureDoesNotMatch: The request signature we calculated does not match")
    );
    let session = aws.session(DEVELOPERS, "dev", Duration::from_mins(1));
    let mixed = AccessKey { session_token: Some("other".to_owned()), ..session.clone() };
    assert!(error(&mixed).starts_with("403 InvalidClientTokenId"));
    aws.clock().advance(Duration::from_mins(1));
    assert_eq!(error(&session), "403 ExpiredToken: The security token included in the request is expired");
    aws.remove_key(&dev.id);
    assert!(error(&dev).starts_with("403 InvalidClientTokenId"));
    let bare = http(aws.addr(), "GET", "/?Action=GetCallerIdentity", &[("host".into(), "x".into())], "").unwrap();
    assert_eq!(bare.error(), "403 MissingAuthenticationToken: Request is missing Authentication Token");
}

#[test]
fn unknown_action_rejected_and_logged() {
    let (aws, dev) = aws();
    let response = sts(&aws, &dev, "DecodeAuthorizationMessage", "").unwrap();
    assert!(response.error().starts_with("400 InvalidAction: Could not find operation DecodeAuthorizationMessage"));
    assert_eq!(aws.calls(Op::Unknown), 1);
}

#[test]
fn aws_dropped_frees_the_port() {
    let (aws, dev) = aws();
    let handle = aws.handle();
    drop(aws);
    assert_eq!(sts(&handle, &dev, "GetCallerIdentity", "").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    std::net::TcpListener::bind(handle.addr()).unwrap();
}
