use std::time::{Duration, SystemTime};

use super::client::{Got, REGION, assume, sts};
use super::{ACCOUNT, DEVELOPERS};
use crate::aws::access_key::AccessKey;
use crate::aws::{Op, Role};
use crate::clock::Clock;
use crate::time::rfc3339;
use crate::{Aws, AwsHandle};

const HOUR: Duration = Duration::from_hours(1);
const LONG: &str = "arn:aws:iam::111122223333:role/long";

/// An AWS whose time stands still, with `dev`.
fn still() -> (Aws, AccessKey) {
    let aws = Aws::start(Clock::manual(Clock::system().now()));
    let dev = aws.add_user(ACCOUNT, "dev");
    (aws, dev)
}

/// `dev`, with a device, and a role that lasts twelve hours and wants a code.
fn guarded() -> (Aws, AccessKey, String) {
    let (aws, dev) = still();
    aws.add_role(Role::new(DEVELOPERS).trusts(&dev.arn).requires_mfa());
    aws.add_role(Role::new(LONG).trusts(&dev.arn).requires_mfa().max_session_duration(12 * HOUR));
    let serial = aws.mfa_device(&dev.arn).serial;
    (aws, dev, serial)
}

fn session_token(aws: &AwsHandle, key: &AccessKey, parameters: &str) -> Got {
    sts(aws, key, "GetSessionToken", parameters).unwrap()
}

fn with_code(aws: &AwsHandle, serial: &str) -> String {
    format!("&SerialNumber={serial}&TokenCode={}", aws.mfa_code(serial))
}

/// GetSessionToken says nothing of whose credentials these are.
fn key_of(got: &Got, whose: &AccessKey) -> AccessKey {
    AccessKey {
        id: got.element("AccessKeyId").to_owned(),
        secret: got.element("SecretAccessKey").to_owned(),
        arn: whose.arn.clone(),
        session_token: Some(got.element("SessionToken").to_owned()),
    }
}

fn lasts(got: &Got, from: SystemTime) -> Duration {
    let ends = [900, 3600, 43_200, 129_600].map(Duration::from_secs);
    ends.into_iter().find(|end| rfc3339(from + *end) == got.element("Expiration")).unwrap_or_else(|| panic!("{got:?}"))
}

#[test]
fn a_session_of_ones_own_is_the_same_user_for_up_to_36_hours() {
    let (aws, dev) = still();
    let got = session_token(&aws, &dev, "");
    assert_eq!((got.status, lasts(&got, aws.clock().now())), (200, 12 * HOUR));
    assert_eq!(lasts(&session_token(&aws, &dev, "&DurationSeconds=900"), aws.clock().now()), HOUR / 4);
    assert_eq!(lasts(&session_token(&aws, &dev, "&DurationSeconds=129600"), aws.clock().now()), 36 * HOUR);
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
    let key = key_of(&got, &dev);
    let who = [&dev, &key].map(|key| sts(&aws, key, "GetCallerIdentity", "").unwrap());
    assert_eq!((who[1].element("Arn"), who[1].element("UserId")), (dev.arn.as_str(), who[0].element("UserId")));
    let refused = "403 AccessDenied: Cannot call GetSessionToken with session credentials";
    assert_eq!(session_token(&aws, &key, "").error(), refused);
    aws.end_sessions(&dev.arn);
    assert!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().error().starts_with("403 ExpiredToken"));
    assert_eq!(sts(&aws, &dev, "GetCallerIdentity", "").unwrap().status, 200);
    aws.deny(&dev.arn, "sts:GetSessionToken");
    assert!(session_token(&aws, &dev, "").error().contains("is not authorized to perform: sts:GetSessionToken"));
}

#[test]
fn a_role_that_wants_mfa_takes_a_code_or_a_session_that_had_one() {
    let (aws, dev, serial) = guarded();
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

    // A role's credentials do not remember the code.
    aws.update_role(LONG, |long| long.trusts(DEVELOPERS));
    assert_eq!(assume(&aws, &role, LONG, "").status, 403);
    let refused = "403 AccessDenied: Cannot call GetSessionToken with session credentials";
    assert_eq!(session_token(&aws, &role, "").error(), refused);

    aws.update_role(DEVELOPERS, |role| role.requires_mfa_within(HOUR));
    assert_eq!(assume(&aws, &with, DEVELOPERS, "").status, 200);
    aws.clock().advance(HOUR);
    assert_eq!(assume(&aws, &with, DEVELOPERS, "").error(), denied);
    assert_eq!(assume(&aws, &dev, DEVELOPERS, &with_code(&aws, &serial)).status, 200);
}

#[test]
fn only_a_code_with_the_call_itself_may_have_more_than_an_hour() {
    let (aws, dev, serial) = guarded();
    let session = key_of(&session_token(&aws, &dev, &with_code(&aws, &serial)), &dev);
    assert_eq!(assume(&aws, &session, LONG, "&DurationSeconds=3600").status, 200);
    assert_eq!(
        assume(&aws, &session, LONG, "&DurationSeconds=3601").error(),
        "400 ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
         role chaining."
    );
    aws.clock().advance(Duration::from_secs(30));
    let got = assume(&aws, &dev, LONG, &format!("&DurationSeconds=43200{}", with_code(&aws, &serial)));
    assert_eq!((got.status, lasts(&got, aws.clock().now())), (200, 12 * HOUR));
}

#[test]
fn codes_are_refused_in_the_words_of_sts() {
    let (aws, dev, serial) = guarded();
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
    assert_eq!(session_token(&aws, &dev, &code).status, 200, "another's try does not use it up");
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
