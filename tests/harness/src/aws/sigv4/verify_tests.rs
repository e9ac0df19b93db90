use super::*;
use crate::aws::access_key::AccessKey;
use crate::aws::sigv4::Signer;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = b"Action=GetCallerIdentity";

fn now() -> SystemTime {
    parse_compact("20260101T120000Z").unwrap()
}

/// Changes the headers after signing.
type Tamper = fn(&mut Vec<(String, String)>);

/// A request to STS in eu-west-1 that can be made invalid before or after signing.
struct Case {
    key: AccessKey,
    at: SystemTime,
    region: &'static str,
    service: &'static str,
    host: &'static str,
    known: Option<KnownKey>,
    tamper: Tamper,
    body_sent: &'static [u8],
    tolerance: Duration,
}

fn valid() -> Case {
    let token = "session-token".to_owned();
    Case {
        key: AccessKey {
            id: "ASIA".into(),
            secret: SECRET.into(),
            arn: String::new(),
            session_token: Some(token.clone()),
        },
        at: now(),
        region: "eu-west-1",
        service: "sts",
        host: "sts.eu-west-1.amazonaws.com",
        known: Some(KnownKey { secret: SECRET.into(), session_token: Some(token), expires: Some(now() + TOLERANCE) }),
        tamper: |_| {},
        body_sent: BODY,
        tolerance: TOLERANCE,
    }
}

fn check(case: Case) -> Result<String, AuthError> {
    let signer = Signer { key: &case.key, region: case.region, service: case.service, at: case.at };
    let mut headers = vec![("host".to_owned(), case.host.to_owned())];
    headers.extend(signer.sign_headers("POST", "/", &[("host", case.host)], BODY));
    (case.tamper)(&mut headers);
    let request = SignedRequest { method: "POST", path: "/", query: "", headers: &headers, body: case.body_sent };
    let known = std::cell::Cell::new(case.known);
    verify(&request, "sts", VerificationTime { now: now(), tolerance: case.tolerance }, |_| known.take())
        .map(|verified| verified.region)
}

fn signature_error(case: Case) -> String {
    match check(case) {
        Err(AuthError::Signature(message)) => message,
        other => panic!("expected a signature error, got {other:?}"),
    }
}

#[test]
fn valid_request_accepted() {
    assert_eq!(check(valid()), Ok("eu-west-1".to_owned()));
    assert_eq!(check(Case { host: "127.0.0.1:4566", ..valid() }), Ok("eu-west-1".to_owned()));
    assert_eq!(check(Case { host: "sts.amazonaws.com", region: "us-east-1", ..valid() }), Ok("us-east-1".to_owned()));
    assert_eq!(check(Case { at: now() - TOLERANCE, ..valid() }), Ok("eu-west-1".to_owned()));
    assert_eq!(check(Case { at: now() + TOLERANCE, ..valid() }), Ok("eu-west-1".to_owned()));
}

#[test]
fn unknown_key_or_expired_session_rejected() {
    assert_eq!(check(Case { known: None, ..valid() }), Err(AuthError::UnknownKey));
    let other_token = KnownKey { secret: SECRET.into(), session_token: Some("another".into()), expires: None };
    assert_eq!(check(Case { known: Some(other_token), ..valid() }), Err(AuthError::UnknownKey));
    let ended = KnownKey { secret: SECRET.into(), session_token: Some("session-token".into()), expires: Some(now()) };
    assert_eq!(check(Case { known: Some(ended), ..valid() }), Err(AuthError::SessionExpired));
    let untoken = |headers: &mut Vec<(String, String)>| headers.retain(|(name, _)| name != "x-amz-security-token");
    assert_eq!(check(Case { tamper: untoken, ..valid() }), Err(AuthError::UnknownKey));
}

#[test]
fn changed_request_signature_mismatch() {
    let mut wrong = valid();
    wrong.key.secret.push('x');
    assert_eq!(signature_error(wrong), MISMATCH);
    assert_eq!(signature_error(Case { body_sent: b"Action=AssumeRole", ..valid() }), MISMATCH);
    let rehosted = |headers: &mut Vec<(String, String)>| headers[0].1 = "127.0.0.1".to_owned();
    assert_eq!(signature_error(Case { tamper: rehosted, ..valid() }), MISMATCH);
    let redated = |headers: &mut Vec<(String, String)>| headers[1].1 = "20260101T120001Z".to_owned();
    assert_eq!(signature_error(Case { tamper: redated, ..valid() }), MISMATCH);
}

#[test]
fn wrong_time_or_scope_has_its_own_message() {
    let second = Duration::from_secs(1);
    assert_eq!(
        signature_error(Case { at: now() - TOLERANCE - second, ..valid() }),
        "Signature expired: 20260101T114459Z is now earlier than 20260101T114500Z (20260101T120000Z - 15 min.)"
    );
    assert_eq!(
        signature_error(Case { at: now() + TOLERANCE + second, ..valid() }),
        "Signature not yet current: 20260101T121501Z is still later than 20260101T121500Z (20260101T120000Z + 15 min.)"
    );
    let strict = Duration::from_mins(5);
    assert_eq!(check(Case { at: now() - strict, tolerance: strict, ..valid() }), Ok("eu-west-1".to_owned()));
    assert_eq!(
        signature_error(Case { at: now() - strict - second, tolerance: strict, ..valid() }),
        "Signature expired: 20260101T115459Z is now earlier than 20260101T115500Z (20260101T120000Z - 5 min.)"
    );
    assert_eq!(
        signature_error(Case { service: "eks", ..valid() }),
        "Credential should be scoped to correct service: 'sts'. "
    );
    assert_eq!(
        signature_error(Case { region: "us-east-1", ..valid() }),
        "Credential should be scoped to a valid region. "
    );
    let yesterday = |headers: &mut Vec<(String, String)>| {
        let authorization = headers.iter_mut().find(|(name, _)| name == "authorization").unwrap();
        authorization.1 = authorization.1.replace("/20260101/", "/20251231/");
    };
    let message = signature_error(Case { tamper: yesterday, ..valid() });
    assert!(message.starts_with("Date in Credential scope does not match YYYYMMDD"), "{message}");
}

#[test]
fn partial_signature_incomplete_none_missing() {
    let bare = |headers: &mut Vec<(String, String)>| headers.retain(|(name, _)| name == "host");
    assert_eq!(check(Case { tamper: bare, ..valid() }), Err(AuthError::Missing));
    let tampers: [Tamper; 4] = [
        |headers| headers.retain(|(name, _)| name != "x-amz-date"),
        |headers| headers.last_mut().unwrap().1 = "Basic Zm9vOmJhcg==".to_owned(),
        |headers| headers.last_mut().unwrap().1 = "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host".to_owned(),
        |headers| {
            let authorization = headers.last_mut().unwrap();
            authorization.1 = authorization.1.split(", Signature").next().unwrap().to_owned();
        },
    ];
    for tamper in tampers {
        let rejected = check(Case { tamper, ..valid() });
        assert!(matches!(rejected, Err(AuthError::Incomplete(_))), "{rejected:?}");
    }
    let unsigned_host = |headers: &mut Vec<(String, String)>| {
        let authorization = headers.last_mut().unwrap();
        authorization.1 = authorization.1.replace("SignedHeaders=host;", "SignedHeaders=");
    };
    assert!(signature_error(Case { tamper: unsigned_host, ..valid() }).contains("must be a 'SignedHeader'"));
}
