use std::time::{Duration, SystemTime};

use super::client::{REGION, Response, assume, sts};
use super::{ACCOUNT, DEVELOPERS, aws};
use crate::aws::access_key::AccessKey;
use crate::aws::{Op, Role};
use crate::time::rfc3339;
use crate::{Aws, AwsHandle};

const HOUR: Duration = Duration::from_hours(1);
const LONG: &str = "arn:aws:iam::111122223333:role/long";

/// Returns an AWS with `dev` and an MFA device, and a role of up to twelve hours that requires MFA.
fn mfa_fixture() -> (Aws, AccessKey, String) {
    let (aws, dev) = aws();
    aws.add_role(Role::new(DEVELOPERS).trusts(&dev.arn).requires_mfa());
    aws.add_role(Role::new(LONG).trusts(&dev.arn).requires_mfa().max_session_duration(12 * HOUR));
    let serial = aws.mfa_device(&dev.arn).serial;
    (aws, dev, serial)
}

fn session_token(aws: &AwsHandle, key: &AccessKey, parameters: &str) -> Response {
    sts(aws, key, "GetSessionToken", parameters).unwrap()
}

fn with_code(aws: &AwsHandle, serial: &str) -> String {
    format!("&SerialNumber={serial}&TokenCode={}", aws.mfa_code(serial))
}

/// Returns the credentials of a GetSessionToken response, which does not contain the principal.
fn key_of(response: &Response, of: &AccessKey) -> AccessKey {
    AccessKey {
        id: response.element("AccessKeyId").to_owned(),
        secret: response.element("SecretAccessKey").to_owned(),
        arn: of.arn.clone(),
        session_token: Some(response.element("SessionToken").to_owned()),
    }
}

fn lifetime(response: &Response, from: SystemTime) -> Duration {
    let ends = [900, 3600, 43_200, 129_600].map(Duration::from_secs);
    ends.into_iter()
        .find(|end| rfc3339(from + *end) == response.element("Expiration"))
        .unwrap_or_else(|| panic!("{response:?}"))
}

#[test]
fn session_token_same_user_up_to_36_hours() {
    let (aws, dev) = aws();
    let response = session_token(&aws, &dev, "");
    assert_eq!((response.status, lifetime(&response, aws.clock().now())), (200, 12 * HOUR));
    assert_eq!(lifetime(&session_token(&aws, &dev, "&DurationSeconds=900"), aws.clock().now()), HOUR / 4);
    assert_eq!(lifetime(&session_token(&aws, &dev, "&DurationSeconds=129600"), aws.clock().now()), 36 * HOUR);
    for (seconds, constraint) in [("899", "greater than or equal to 900"), ("129601", "less than or equal to 129600")] {
        let error = session_token(&aws, &dev, &format!("&DurationSeconds={seconds}")).error();
        assert_eq!(
            error,
            format!(
                "400 ValidationError: 1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to \
                 satisfy constraint: Member must have value {constraint}"
            )
        );
    }
    let key = key_of(&response, &dev);
    let who = [&dev, &key].map(|key| sts(&aws, key, "GetCallerIdentity", "").unwrap());
    assert_eq!((who[1].element("Arn"), who[1].element("UserId")), (dev.arn.as_str(), who[0].element("UserId")));
    let rejected = "403 AccessDenied: Cannot call GetSessionToken with session credentials";
    assert_eq!(session_token(&aws, &key, "").error(), rejected);
    aws.expire_sessions(&dev.arn);
    assert!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().error().starts_with("403 ExpiredToken"));
    assert_eq!(sts(&aws, &dev, "GetCallerIdentity", "").unwrap().status, 200);
    aws.deny(&dev.arn, "sts:GetSessionToken");
    assert!(session_token(&aws, &dev, "").error().contains("is not authorized to perform: sts:GetSessionToken"));
}

#[test]
fn mfa_role_accepts_code_or_mfa_session() {
    let (aws, dev, serial) = mfa_fixture();
    let denied = format!(
        "403 AccessDenied: User: {} is not authorized to perform: sts:AssumeRole on resource: {DEVELOPERS}",
        dev.arn
    );
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").error(), denied);
    let without = key_of(&session_token(&aws, &dev, ""), &dev);
    assert_eq!(assume(&aws, &without, DEVELOPERS, "").error(), denied);
    let with = key_of(&session_token(&aws, &dev, &with_code(&aws, &serial)), &dev);
    let role = assume(&aws, &with, DEVELOPERS, "").key();
    assert_eq!(role.arn, "arn:aws:sts::111122223333:assumed-role/developers/dev");
    aws.clock().advance(Duration::from_secs(30));
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &with_code(&aws, &serial)).status, 200);

    // Credentials of a role do not record the code.
    aws.update_role(LONG, |long| long.trusts(DEVELOPERS));
    assert_eq!(assume(&aws, &role, LONG, "").status, 403);
    let rejected = "403 AccessDenied: Cannot call GetSessionToken with session credentials";
    assert_eq!(session_token(&aws, &role, "").error(), rejected);

    aws.update_role(DEVELOPERS, |role| role.requires_mfa_within(HOUR));
    assert_eq!(assume(&aws, &with, DEVELOPERS, "").status, 200);
    aws.clock().advance(HOUR);
    assert_eq!(assume(&aws, &with, DEVELOPERS, "").error(), denied);
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &with_code(&aws, &serial)).status, 200);
}

#[test]
fn over_one_hour_needs_code_in_the_call() {
    let (aws, dev, serial) = mfa_fixture();
    let session = key_of(&session_token(&aws, &dev, &with_code(&aws, &serial)), &dev);
    assert_eq!(assume(&aws, &session, LONG, "&DurationSeconds=3600").status, 200);
    assert_eq!(
        assume(&aws, &session, LONG, "&DurationSeconds=3601").error(),
        "400 ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
         role chaining."
    );
    aws.clock().advance(Duration::from_secs(30));
    let response = assume(&aws, &dev, LONG, &format!("&DurationSeconds=43200{}", with_code(&aws, &serial)));
    assert_eq!((response.status, lifetime(&response, aws.clock().now())), (200, 12 * HOUR));
}

#[test]
fn invalid_code_rejected_with_sts_texts() {
    let (aws, dev, serial) = mfa_fixture();
    let other = aws.add_user(ACCOUNT, "other");
    let failed = "403 AccessDenied: MultiFactorAuthentication failed";
    let invalid = format!("{failed} with invalid MFA one time pass code. ");
    let code = with_code(&aws, &serial);
    let next = aws.mfa_code_at(&serial, aws.clock().now() + Duration::from_secs(30));
    assert_eq!(session_token(&aws, &dev, &code).status, 200);
    assert_eq!(session_token(&aws, &dev, &code).error(), invalid);
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &code).error(), invalid);
    let next = format!("&SerialNumber={serial}&TokenCode={next}");
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &next).status, 200);
    aws.clock().advance(Duration::from_secs(30));
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &next).error(), invalid);

    let not_yours = format!("{failed}, unable to validate MFA code.  Please verify your MFA serial number is valid ");
    let code = with_code(&aws, &aws.mfa_device(&dev.arn).serial);
    assert!(session_token(&aws, &other, &code).error().starts_with(&not_yours));
    assert_eq!(session_token(&aws, &dev, &code).status, 200, "an attempt of another user does not redeem it");
    let lost = aws.mfa_device(&other.arn).serial;
    let code = with_code(&aws, &lost);
    aws.remove_mfa_device(&lost);
    assert!(session_token(&aws, &other, &code).error().starts_with(&not_yours));
    let both = format!("{failed}, must provide both MFA serial number and one time pass code.");
    assert_eq!(session_token(&aws, &dev, "&TokenCode=123456").error(), both);
    assert_eq!(session_token(&aws, &dev, &format!("&SerialNumber={serial}")).error(), both);
    for code in ["12345", "1234567", "12345a", "%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A6"] {
        let error = session_token(&aws, &dev, &format!("&SerialNumber={serial}&TokenCode={code}")).error();
        assert!(error.starts_with("400 ValidationError: 1 validation error detected: Value '"), "{error}");
    }
    let log = aws.log_of(Op::GetSessionToken);
    assert!(log.iter().all(|call| call.params.get("TokenCode").is_none_or(|code| code == "[secret]")), "{log:?}");
    assert_eq!((log[0].params["SerialNumber"].as_str(), log[0].region.as_deref()), (serial.as_str(), Some(REGION)));
}
