//! Each reason for which STS refuses AssumeRole: what AWS says, what the role's trust policy says, and who fixes it.

pub(crate) mod account;

use std::time::Duration;

use rolecall_aws::role_failure::{RoleFailureReason, TrustPolicyReading};
use rolecall_aws::sts::MfaCode;
use rolecall_core::config::inputs::StepInputs;
use rolecall_harness::{AccessKey, DeniedBy, Op, PolicyType, Role};
use rolecall_protocol::{Hint, Secret};
use serde_json::json;

use crate::fixture::{REGION, ROLE};
use account::{Account, SECRET_ID, USER, step};

const OTHER_ACCOUNT: &str = "444455556666";

#[test]
fn trust_policy_of_another_principal_shows_the_statement_to_add() {
    let account = Account::new(|role| role.trusts("arn:aws:iam::111122223333:user/other"));
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::TrustPolicy);
    assert_eq!(failure.cause, format!("role {ROLE}: the trust policy names neither {USER} nor its account"));
    let [request] = failure.requests.as_slice() else { panic!("{failure:?}") };
    assert_eq!(request.to, "an administrator of the AWS account 111122223333");
    let statement = json!({ "Effect": "Allow", "Principal": { "AWS": USER }, "Action": "sts:AssumeRole" });
    assert_eq!(request.statement, Some(statement));
    account.assert_fixed_by(|role| role.trusts(USER));
}

#[test]
fn trust_policy_that_names_a_deleted_user_is_recognised() {
    let account = Account::new(|role| role.trusts("AIDAEXAMPLEEXAMPLEEX"));
    let failure = account.failure();
    assert!(failure.cause.contains("AIDAEXAMPLEEXAMPLEEX, the id of a deleted user or role"), "{}", failure.cause);
    assert!(failure.requests[0].request.starts_with("Replace AIDAEXAMPLEEXAMPLEEX in the trust policy"));
}

#[test]
fn external_id_missing_and_different() {
    let mut account = Account::new(|role| role.trusts(USER).external_id(SECRET_ID));
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::ExternalId);
    assert!(failure.cause.ends_with("requires an external id, and the call has none"), "{}", failure.cause);
    account.step.external_id = Some("another".parse().unwrap());
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::ExternalId);
    assert!(failure.cause.ends_with("requires another external id"), "{}", failure.cause);
    assert!(failure.fix.unwrap().as_str().contains("external_id"));
    account.step.external_id = Some(SECRET_ID.parse().unwrap());
    account.assert_fixed_by(|role| role);
}

#[test]
fn mfa_required_by_the_trust_policy() {
    let account = Account::new(|role| role.trusts(USER).requires_mfa());
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::Mfa);
    let fix = failure.fix.unwrap().to_string();
    assert!(fix.contains("mfa_serial") && fix.ends_with("rolecall login work"), "{fix}");
    let recent = Account::new(|role| role.trusts(USER).requires_mfa_within(Duration::from_hours(1)));
    assert_eq!(recent.failure().reason, RoleFailureReason::Mfa);
}

#[test]
fn session_tags_and_source_identity_need_permissions_of_their_own() {
    let mut account = Account::new(|role| role.trusts(USER));
    let tags = [("team".parse().unwrap(), "blue".parse().unwrap())].into();
    account.step.inputs = Some(StepInputs { tags, ..StepInputs::default() }.into());
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::SessionTags);
    assert_eq!(failure.requests[0].statement.as_ref().unwrap()["Action"], json!(["sts:AssumeRole", "sts:TagSession"]));
    account.assert_fixed_by(Role::allows_tag_session);

    let inputs = StepInputs { source_identity: Some("dev".parse().unwrap()), ..StepInputs::default() };
    account.step.inputs = Some(inputs.into());
    assert_eq!(account.failure().reason, RoleFailureReason::SourceIdentity);
    account.assert_fixed_by(Role::allows_source_identity);
}

#[test]
fn session_name_and_tag_that_the_trust_policy_requires() {
    let account = Account::new(|role| role.trusts(USER).requires_session_name_like("ops-*"));
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::SessionName);
    assert!(failure.cause.ends_with("requires a session name like ops-*"), "{}", failure.cause);
    let account = Account::new(|role| role.trusts(USER).requires_tag("team", "blue"));
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::SessionTags);
    assert_eq!(failure.fix.as_ref().map(Hint::as_str), Some("Set the tag \"team\" in tags of the profile."));
}

#[test]
fn identity_policy_missing_where_the_account_is_trusted() {
    let account = Account::new(|role| role.trusts("arn:aws:iam::111122223333:root"));
    // AWS does not always name the policy.
    for by in [None, Some(DeniedBy::NotAllowed(PolicyType::Identity))] {
        match by {
            Some(by) => account.aws.deny_by(USER, "sts:AssumeRole", by),
            None => account.aws.deny(USER, "sts:AssumeRole"),
        }
        let failure = account.failure();
        assert_eq!(failure.reason, RoleFailureReason::IdentityPolicy, "{by:?}");
        let [request] = failure.requests.as_slice() else { panic!("{failure:?}") };
        assert_eq!(request.statement, Some(json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE })));
        assert_eq!(
            request.commands,
            ["aws iam put-user-policy --user-name dev --policy-name assume-developers --policy-document \
              '{\"Statement\":[{\"Action\":\"sts:AssumeRole\",\"Effect\":\"Allow\",\"Resource\":\
              \"arn:aws:iam::111122223333:role/developers\"}],\"Version\":\"2012-10-17\"}'"]
        );
    }
}

#[test]
fn policies_that_aws_names_say_who_changes_them() {
    let account = Account::new(|role| role.trusts(USER));
    let arn = "arn:aws:organizations::999988887777:policy/o-example/service_control_policy/p-example";
    let of_account = "an administrator of the AWS account 111122223333";
    for (by, reason, to, text) in [
        (
            DeniedBy::ExplicitDenyIn(PolicyType::ServiceControl, arn),
            RoleFailureReason::OrganizationPolicy,
            "an administrator of the AWS organization of the account 111122223333",
            arn,
        ),
        (
            DeniedBy::NotAllowed(PolicyType::ServiceControl),
            RoleFailureReason::OrganizationPolicy,
            "an administrator of the AWS organization of the account 111122223333",
            "the service control policy of",
        ),
        (
            DeniedBy::ExplicitDeny(PolicyType::ResourceControl),
            RoleFailureReason::OrganizationPolicy,
            "an administrator of the AWS organization of the account 111122223333",
            "resource control policy",
        ),
        (
            DeniedBy::NotAllowed(PolicyType::PermissionsBoundary),
            RoleFailureReason::PermissionsBoundary,
            of_account,
            "the permissions boundary of",
        ),
        (
            DeniedBy::ExplicitDeny(PolicyType::Identity),
            RoleFailureReason::ExplicitDeny,
            of_account,
            "a Deny statement in the identity policy",
        ),
        (
            DeniedBy::NotAllowed(PolicyType::Session),
            RoleFailureReason::SessionPolicy,
            "an administrator of the service that makes the session arn:aws:iam::111122223333:user/dev",
            "the session policy of",
        ),
        (
            DeniedBy::NotAllowed(PolicyType::VpcEndpoint),
            RoleFailureReason::VpcEndpointPolicy,
            "an administrator of the VPC endpoint of STS, which this network uses",
            "the VPC endpoint policy of",
        ),
    ] {
        account.aws.deny_by(USER, "sts:AssumeRole", by);
        let failure = account.failure();
        assert_eq!((failure.reason, failure.requests[0].to.as_str()), (reason, to), "{by:?}");
        assert!(failure.cause.contains(text), "{}", failure.cause);
    }
    assert_eq!(account.aws.calls(Op::GetRole), 0, "the message leaves no doubt");
}

#[test]
fn deny_statement_of_the_trust_policy_is_named() {
    let account = Account::new(|role| role.trusts(USER).distrusts(USER));
    for _ in 0..2 {
        let failure = account.failure();
        assert_eq!(failure.reason, RoleFailureReason::ExplicitDeny);
        assert!(failure.cause.contains("the statement \"Distrusted\" of the trust policy denies"), "{}", failure.cause);
        account.aws.name_trust_policies();
    }
}

#[test]
fn condition_that_cannot_be_judged_is_named() {
    let account = Account::new(|role| role.trusts(USER).requires_source_ip("203.0.113.0/24"));
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::Denied);
    assert!(failure.cause.contains("cannot be judged from here: aws:SourceIp"), "{}", failure.cause);
    account.assert_fixed_by(|role| role.requires_source_ip("127.0.0.1/32"));
}

#[test]
fn role_that_does_not_exist_suggests_one() {
    let mut account = Account::new(|role| role.trusts(USER));
    account.step = step("arn:aws:iam::111122223333:role/develoeprs");
    let failure = account.failure();
    assert_eq!((failure.reason, failure.trust_policy), (RoleFailureReason::RoleNotFound, TrustPolicyReading::NoRole));
    assert_eq!(failure.fix.as_ref().map(Hint::as_str), Some("Did you mean developers? Set role_arn of the profile."));
    // The role has another path.
    account.step = step("arn:aws:iam::111122223333:role/team/developers");
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::RoleNotFound);
    assert!(failure.fix.unwrap().as_str().starts_with(&format!("Did you mean {ROLE}?")));
    // Without the permission to list roles, there is no suggestion.
    account.aws.deny(USER, "iam:ListRoles");
    account.step = step("arn:aws:iam::111122223333:role/develoeprs");
    assert_eq!(
        account.failure().fix.as_ref().map(Hint::as_str),
        Some("Set role_arn of the profile to a role that exists.")
    );
}

#[test]
fn role_that_the_caller_may_not_read_names_the_permission() {
    let account = Account::new(|role| role.trusts("arn:aws:iam::111122223333:user/other"));
    account.aws.deny(USER, "iam:GetRole");
    let failure = account.failure();
    assert_eq!(failure.trust_policy, TrustPolicyReading::Denied { action: "iam:GetRole" });
    assert!(failure.cause.ends_with("cannot be read without iam:GetRole"), "{}", failure.cause);
    account.aws.name_trust_policies();
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::TrustPolicy);
}

#[test]
fn role_of_another_account_needs_both_statements() {
    let mut account = Account::new(|role| role);
    let role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/deployers");
    account.aws.add_role(Role::new(&role));
    account.step = step(&role);
    let failure = account.failure();
    assert_eq!((failure.reason, &failure.trust_policy), (RoleFailureReason::Denied, &TrustPolicyReading::OtherAccount));
    let to: Vec<&str> = failure.requests.iter().map(|request| request.to.as_str()).collect();
    assert_eq!(
        to,
        ["an administrator of the AWS account 444455556666", "an administrator of the AWS account 111122223333"]
    );
    assert_eq!(account.aws.calls(Op::GetRole), 0);
    assert!(failure.fix.unwrap().as_str().contains("external id or MFA"));
}

#[test]
fn sts_of_a_disabled_region_names_region_and_account() {
    let account = Account::new(|role| role.trusts(USER));
    account.aws.disable_sts(REGION);
    let failure = account.failure();
    assert_eq!(failure.reason, RoleFailureReason::RegionDisabled);
    assert_eq!(failure.cause, "STS is not activated in eu-west-1 for the account 111122223333");
    assert!(failure.requests[0].request.starts_with("Activate STS in eu-west-1"));
}

#[test]
fn credentials_that_aws_rejects_by_kind() {
    let mut account = Account::new(|role| role.trusts("*"));
    account.base = account.aws.session(ROLE, "ci", Duration::from_hours(1));
    account.aws.expire_sessions(ROLE);
    let failure = account.failure();
    assert_eq!(
        (failure.reason, failure.fix.as_ref().map(Hint::as_str)),
        (RoleFailureReason::CredentialsExpired, Some("rolecall login work"))
    );
    account.base = AccessKey { secret: "x".repeat(40), ..account.user.clone() };
    assert_eq!(account.failure().reason, RoleFailureReason::WrongSignature);
    account.aws.remove_key(&account.user.id);
    account.base = account.user.clone();
    assert_eq!(account.failure().reason, RoleFailureReason::UnknownAccessKey);
}

/// Rolecall requests a shorter session by itself, except where the call has an MFA code.
#[test]
fn duration_above_the_maximum_of_the_role() {
    let mut account = Account::new(|role| role.trusts(USER));
    account.step.duration = Duration::from_hours(2);
    let device = account.aws.mfa_device(USER);
    let code = Secret::new(account.aws.mfa_code(&device.serial));
    let serial = device.serial.parse().unwrap();
    let failure = account.failure_with(Some(MfaCode { serial: &serial, code: &code }));
    assert_eq!(failure.reason, RoleFailureReason::Duration);
    assert_eq!(
        failure.requests[0].commands,
        ["aws iam update-role --role-name developers --max-session-duration 7200"]
    );
}
