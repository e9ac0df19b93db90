use aws_sdk_sts::types::AssumedRoleUser;
use aws_smithy_types::DateTime;

use rolecall_core::config::NameTemplate;

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn step() -> RoleStep {
    RoleStep {
        role: "arn:aws:iam::111122223333:role/team/developers".parse().unwrap(),
        session_name: NameTemplate::new("dev@laptop", "", "", ""),
        external_id: None,
        duration: Duration::from_hours(1),
        inputs: None,
    }
}

fn response(arn: &str, seconds: i64) -> AssumeRoleOutput {
    let credentials = StsCredentials::builder()
        .access_key_id("ASIAEXAMPLE")
        .secret_access_key("secret")
        .session_token("token")
        .expiration(DateTime::from_secs(seconds))
        .build()
        .unwrap();
    let user = AssumedRoleUser::builder().assumed_role_id("x").arn(arn).build().unwrap();
    AssumeRoleOutput::builder().credentials(credentials).assumed_role_user(user).build()
}

const ARN: &str = "arn:aws:sts::111122223333:assumed-role/developers/dev@laptop";

#[test]
fn session_from_response_complete() {
    let session = session_from_response(&response(ARN, 3600), &step(), NOW).unwrap();
    assert_eq!(session.arn.as_deref(), Some(ARN));
    assert_eq!(session.expires(), Some(NOW + Duration::from_hours(1)));
}

/// Fault matrix row 65.
#[test]
fn session_from_response_past_expiry_rejected_far_limited() {
    for seconds in [0, -1, i64::MIN / 2] {
        assert_eq!(
            session_from_response(&response(ARN, seconds), &step(), NOW).unwrap_err().kind,
            AwsErrorKind::InvalidResponse
        );
    }
    let far = session_from_response(&response(ARN, 253_402_300_799), &step(), NOW).unwrap();
    assert_eq!(far.expires(), Some(NOW + Duration::from_hours(12)));
}

/// Fault matrix row 66.
#[test]
fn session_from_response_other_role_rejected() {
    for arn in [
        "",
        "arn:aws:sts::111122223333:assumed-role/admins/dev@laptop",
        "arn:aws:sts::999988887777:assumed-role/developers/dev@laptop",
        "arn:aws-cn:sts::111122223333:assumed-role/developers/dev@laptop",
        "arn:aws:sts::111122223333:assumed-role/developers",
    ] {
        assert!(
            session_from_response(&response(arn, 3600), &step(), NOW).unwrap_err().message.contains("another role"),
            "{arn}"
        );
    }
}

#[test]
fn body_hint_names_the_permission() {
    let hint = |kind, message: &str| {
        let error = AwsError::new(kind, message);
        StsError { operation: StsOperation::GetCallerIdentity, error }
            .body(&"work".parse().unwrap())
            .hint
            .unwrap()
            .to_string()
    };
    let denied = |action: &str| hint(AwsErrorKind::Denied, &format!("User: x is not authorized to perform: {action}"));
    assert!(denied("sts:TagSession").contains("sts:TagSession"));
    assert!(denied("sts:SetSourceIdentity").contains("sts:SetSourceIdentity"));
    assert!(denied("sts:AssumeRole").contains("trust policy"));
    for message in [
        "Packed size of session tags consumes 101% of allotted space.",
        "Packed policy consumes 120% of allotted space, please use smaller policy.",
        "PackedPolicyTooLarge (status 400)",
    ] {
        assert!(hint(AwsErrorKind::Rejected, message).contains("fewer or shorter"), "{message}");
    }
    assert!(hint(AwsErrorKind::Rejected, "1 validation error detected").contains("rolecall show"));
}
