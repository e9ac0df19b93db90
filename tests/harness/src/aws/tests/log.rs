use super::client::{assume, eks, sts};
use super::{DEVELOPERS, aws};
use crate::aws::{Op, Outcome};

#[test]
fn call_log_shows_callers_without_secrets() {
    let (aws, dev) = aws();
    let serial = aws.mfa_device(&dev.arn).serial;
    let code = format!("&SerialNumber={serial}&TokenCode={}", aws.mfa_code(&serial));
    let key = assume(&aws, &dev, DEVELOPERS, &format!("&DurationSeconds=900{code}")).key();
    eks(&aws, &key, "/clusters/a%20b");
    sts(&aws, &key, "GetCallerIdentity", "").unwrap();
    let log = aws.log();
    let (assumed, described) = (&log[0], &log[1]);
    assert_eq!((assumed.op, assumed.outcome.clone()), (Op::AssumeRole, Outcome::Ok));
    assert_eq!(assumed.caller_arn.as_deref(), Some(dev.arn.as_str()));
    assert_eq!((assumed.role_arn.as_deref(), assumed.session_name.as_deref()), (Some(DEVELOPERS), Some("dev")));
    assert_eq!((assumed.region.as_deref(), assumed.host.clone()), (Some("eu-west-1"), aws.addr().to_string()));
    assert_eq!((assumed.params["DurationSeconds"].as_str(), assumed.params["TokenCode"].as_str()), ("900", "[secret]"));
    assert_eq!((described.params["name"].as_str(), described.caller_arn.as_deref()), ("a b", Some(key.arn.as_str())));
    assert_eq!(described.outcome, Outcome::Error { status: 404, code: "ResourceNotFoundException".to_owned() });
    assert_eq!(aws.times(Op::GetCallerIdentity).len(), 1);

    let (secrets, written) = (aws.secrets(), format!("{log:?} {key:?}"));
    assert_eq!(secrets.len(), 3, "a user's secret, a session's secret and token");
    assert!(secrets.contains(&key.secret) && secrets.contains(key.session_token.as_ref().unwrap()));
    assert!(secrets.iter().all(|secret| !written.contains(secret)));
}
