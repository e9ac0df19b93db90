//! Policies as they stand in accounts, and calls that they allow or deny.

mod any_json;

use rolecall_protocol::RoleArn;
use serde_json::json;

use super::*;

const USER: &str = "arn:aws:iam::111122223333:user/team/dev";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/ci/build-7";
const SSO_SESSION: &str =
    "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Developers_0123456789abcdef/dev@example.com";

fn facts(caller: &Caller) -> AssumeRoleFacts<'_> {
    AssumeRoleFacts {
        caller,
        session_name: "dev@laptop",
        external_id: None,
        mfa: MfaUse::Without { is_temporary: false },
        tags: BTreeMap::new(),
        transitive_tags: Vec::new(),
        source_identity: None,
    }
}

fn caller(arn: &str) -> Caller {
    Caller::parse(arn).unwrap()
}

fn statement(principal: &str, condition: serde_json::Value) -> serde_json::Value {
    let mut one = json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:AssumeRole" });
    if !condition.is_null() {
        one["Condition"] = condition;
    }
    one
}

fn policy(statements: &serde_json::Value) -> TrustPolicy {
    TrustPolicy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string()).unwrap()
}

#[track_caller]
fn verdict(statements: &serde_json::Value, facts: &AssumeRoleFacts<'_>) -> TrustVerdict {
    policy(statements).judge(facts)
}

/// The sentences of the problems.
#[track_caller]
fn problems(statements: &serde_json::Value, facts: &AssumeRoleFacts<'_>) -> Vec<String> {
    verdict(statements, facts).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn caller_is_read_from_each_arn_of_get_caller_identity() {
    for (arn, kind, policy_arn) in [
        (USER, CallerKind::User { name: "dev".to_owned() }, USER),
        (
            SESSION,
            CallerKind::RoleSession { role: "ci".to_owned(), session: "build-7".to_owned() },
            "arn:aws:iam::111122223333:role/ci",
        ),
        ("arn:aws-cn:iam::111122223333:root", CallerKind::Root, "arn:aws-cn:iam::111122223333:root"),
        (
            "arn:aws:sts::111122223333:federated-user/x",
            CallerKind::FederatedUser,
            "arn:aws:sts::111122223333:federated-user/x",
        ),
    ] {
        let found = caller(arn);
        assert_eq!((found.kind(), found.policy_arn().as_str()), (&kind, policy_arn), "{arn}");
    }
    for other in [
        "",
        "x",
        "arn:aws:iam::1:user/x",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::111122223333:role/x",
        "arn:aws:sts::111122223333:assumed-role/x",
        "arn:aws:iam::111122223333:user/a\u{1b}b",
    ] {
        assert_eq!(Caller::parse(other), None, "{other}");
    }
    let known = caller(SESSION).with_role_arn("arn:aws:iam::111122223333:role/team/ci");
    assert_eq!(known.policy_arn(), "arn:aws:iam::111122223333:role/team/ci");
    assert_eq!(caller(SESSION).with_role_arn("arn:aws:iam::111122223333:role/team/cd"), caller(SESSION));
    assert_eq!(caller(SSO_SESSION).permission_set(), Some("Developers"));
}

#[test]
fn judge_principal_account_and_everyone_are_named() {
    let user = caller(USER);
    let named = |principal: &str| {
        let found = verdict(&json!([statement(principal, json!(null))]), &facts(&user));
        (found.named_as, found.may_allow())
    };
    assert_eq!(named(USER), (Some(NamedAs::Principal), true));
    assert_eq!(named("arn:aws:iam::111122223333:root"), (Some(NamedAs::Account), true));
    assert_eq!(named("111122223333"), (Some(NamedAs::Account), true));
    assert_eq!(named("*"), (Some(NamedAs::Everyone), true));
    for other in ["arn:aws:iam::111122223333:user/dev", "arn:aws:iam::444455556666:root", "444455556666"] {
        assert_eq!(named(other), (None, false), "{other}");
    }
    let session = caller(SESSION);
    for role in ["arn:aws:iam::111122223333:role/team/ci", "arn:aws:iam::111122223333:role/ci", SESSION] {
        let found = verdict(&json!(statement(role, json!(null))), &facts(&session));
        assert_eq!(found.named_as, Some(NamedAs::Principal), "{role}");
    }
}

#[test]
fn judge_caller_that_no_statement_names() {
    let user = caller(USER);
    let other = json!([statement("arn:aws:iam::111122223333:user/other", json!(null))]);
    assert_eq!(problems(&other, &facts(&user)), [format!("the trust policy names neither {USER} nor its account")]);
    // The role that the policy named was deleted, and made again.
    let deleted = json!([statement("AROAEXAMPLEEXAMPLEEX", json!(null))]);
    assert_eq!(
        verdict(&deleted, &facts(&user)).problems,
        [TrustProblem::DeletedPrincipal { id: "AROAEXAMPLEEXAMPLEEX".to_owned() }]
    );
}

#[test]
fn judge_roles_of_other_kinds_allow_other_actions() {
    let user = caller(USER);
    let identity_center = json!([{
        "Effect": "Allow",
        "Principal": { "Federated": "arn:aws:iam::111122223333:saml-provider/AWSSSO_0123456789abcdef_DO_NOT_DELETE" },
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        "Condition": { "StringEquals": { "SAML:aud": "https://signin.aws.amazon.com/saml" } },
    }]);
    assert_eq!(
        problems(&identity_center, &facts(&user)),
        ["the trust policy allows sts:AssumeRoleWithSAML, sts:TagSession, and not sts:AssumeRole"]
    );
    let github = json!([{
        "Effect": "Allow",
        "Principal": { "Federated": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": { "token.actions.githubusercontent.com:aud": "sts.amazonaws.com" },
            "StringLike": { "token.actions.githubusercontent.com:sub": "repo:example/app:*" },
        },
    }]);
    assert_eq!(
        problems(&github, &facts(&user)),
        ["the trust policy allows sts:AssumeRoleWithWebIdentity, and not sts:AssumeRole"]
    );
    // The role of nodes that eksctl makes.
    let nodes = json!([{
        "Effect": "Allow",
        "Principal": { "Service": ["ec2.amazonaws.com"] },
        "Action": ["sts:AssumeRole"],
    }]);
    assert!(matches!(verdict(&nodes, &facts(&user)).problems.as_slice(), [TrustProblem::NotNamed { .. }]));
}

#[test]
fn judge_external_id_missing_or_different_is_not_shown() {
    let other_account = caller("arn:aws:iam::444455556666:user/dev");
    let condition = json!({ "StringEquals": { "sts:ExternalId": "a-shared-secret" } });
    let statements = json!([statement("arn:aws:iam::444455556666:root", condition)]);
    let missing = problems(&statements, &facts(&other_account));
    assert_eq!(missing, ["the trust policy requires an external id, and the call has none"]);
    let with = |id| AssumeRoleFacts { external_id: Some(id), ..facts(&other_account) };
    let different = problems(&statements, &with("another"));
    assert_eq!(different, ["the trust policy requires another external id"]);
    assert!(!format!("{missing:?}{different:?}").contains("a-shared-secret"));
    let right = verdict(&statements, &with("a-shared-secret"));
    assert_eq!((right.named_as, right.problems), (Some(NamedAs::Account), vec![]));
}

#[test]
fn judge_mfa_conditions_by_kind_of_credentials() {
    let user = caller(USER);
    let with = |mfa| AssumeRoleFacts { mfa, ..facts(&user) };
    let required = [TrustProblem::Unmet(Requirement::Mfa)];
    let (key, session) = (MfaUse::Without { is_temporary: false }, MfaUse::Without { is_temporary: true });
    let allow = |condition| json!([statement(USER, condition)]);
    let strict = allow(json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } }));
    let lenient = allow(json!({ "BoolIfExists": { "aws:multifactorauthpresent": true } }));
    for mfa in [MfaUse::Code, MfaUse::Session] {
        assert_eq!(verdict(&strict, &with(mfa)).problems, []);
        assert_eq!(verdict(&lenient, &with(mfa)).problems, []);
    }
    assert_eq!(verdict(&strict, &with(key)).problems, required);
    assert_eq!(verdict(&strict, &with(session)).problems, required);
    // An access key of a user does not have the key of the condition.
    assert_eq!(verdict(&lenient, &with(key)).problems, []);
    assert_eq!(verdict(&lenient, &with(session)).problems, required);

    let recent = allow(json!({ "NumericLessThan": { "aws:MultiFactorAuthAge": "3600" } }));
    assert_eq!(verdict(&recent, &with(MfaUse::Code)).problems, []);
    assert_eq!(verdict(&recent, &with(key)).problems, required);
    assert_eq!(
        verdict(&recent, &with(MfaUse::Session)).problems,
        [TrustProblem::NotJudged { key: "aws:MultiFactorAuthAge".to_owned() }]
    );
}

#[test]
fn judge_deny_statement_comes_first_with_its_reason() {
    let user = caller(USER);
    let deny = json!({
        "Sid": "NoMfa", "Effect": "Deny", "Principal": "*", "Action": "sts:*",
        "Condition": { "BoolIfExists": { "aws:MultiFactorAuthPresent": "false" } },
    });
    let statements = json!([statement("arn:aws:iam::111122223333:user/other", json!(null)), deny]);
    let found = problems(&statements, &facts(&user));
    // For an access key, the key of the condition is absent, so IfExists holds.
    assert_eq!(found[0], "the statement \"NoMfa\" of the trust policy denies the call: it requires MFA");
    assert_eq!(found.len(), 2);
    let with_mfa = problems(&statements, &AssumeRoleFacts { mfa: MfaUse::Code, ..facts(&user) });
    assert_eq!(with_mfa.len(), 1, "{with_mfa:?}");

    let by_network = json!([
        statement(USER, json!(null)),
        { "Effect": "Deny", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole",
          "Condition": { "NotIpAddress": { "aws:SourceIp": ["203.0.113.0/24"] } } },
    ]);
    let found = verdict(&by_network, &facts(&user));
    assert_eq!(found.problems, [TrustProblem::NotJudged { key: "aws:SourceIp".to_owned() }]);
    assert!(found.may_allow());

    let all_but = json!([statement(USER, json!(null)), {
        "Effect": "Deny", "NotPrincipal": { "AWS": [USER, "arn:aws:iam::111122223333:root"] }, "Action": "*" }]);
    assert_eq!(verdict(&all_but, &facts(&user)).problems, []);
}

#[test]
fn judge_tags_source_identity_and_session_name() {
    let user = caller(USER);
    let tags = BTreeMap::from([("team", "blue")]);
    let tagged = AssumeRoleFacts { tags, source_identity: Some("dev"), ..facts(&user) };
    let plain = json!([statement(USER, json!(null))]);
    assert_eq!(
        problems(&plain, &tagged),
        ["the trust policy does not allow sts:TagSession", "the trust policy does not allow sts:SetSourceIdentity"]
    );
    let all = json!([{
        "Effect": "Allow", "Principal": { "AWS": [USER] },
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": { "StringEquals": { "aws:RequestTag/team": "red", "sts:SourceIdentity": "${aws:username}" } },
    }]);
    assert_eq!(problems(&all, &tagged)[0], "the trust policy requires another value of the session tag \"team\"");
    let red = AssumeRoleFacts { tags: BTreeMap::from([("Team", "red")]), ..tagged };
    assert_eq!(problems(&all, &red), Vec::<String>::new());
    assert!(problems(&all, &facts(&user))[0].contains("session tag \"team\", and the call has none"));

    let named =
        json!([statement(USER, json!({ "StringLike": { "sts:RoleSessionName": ["${aws:username}", "x-*"] } }))]);
    assert_eq!(
        problems(&named, &facts(&user)),
        ["the trust policy requires a session name like ${aws:username} or x-*"]
    );
    let right = AssumeRoleFacts { session_name: "dev", ..facts(&user) };
    assert_eq!(verdict(&named, &right).problems, []);
}

#[test]
fn judge_closest_statement_counts() {
    let user = caller(USER);
    let statements = json!([
        statement(
            "*",
            json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" }, "StringEquals": { "sts:ExternalId": "x" } })
        ),
        statement("111122223333", json!({ "StringEquals": { "aws:PrincipalOrgID": "o-example" } })),
    ]);
    let found = verdict(&statements, &facts(&user));
    assert_eq!(found.named_as, Some(NamedAs::Account));
    assert_eq!(found.problems, [TrustProblem::NotJudged { key: "aws:PrincipalOrgID".to_owned() }]);
}

#[test]
fn judge_principal_arn_of_a_session_with_unknown_path() {
    let session = caller(SSO_SESSION);
    let root = "arn:aws:iam::111122223333:root";
    let like = |role: &str| json!([statement(root, json!({ "ArnLike": { "aws:PrincipalArn": role } }))]);
    let by_path = like("arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Developers_*");
    assert_eq!(
        verdict(&by_path, &facts(&session)).problems,
        [TrustProblem::NotJudged { key: "aws:PrincipalArn".to_owned() }]
    );
    assert_eq!(verdict(&like("arn:aws:iam::111122223333:role/*"), &facts(&session)).problems, []);
}

#[test]
fn statements_to_add_name_caller_and_role() {
    let role: RoleArn = "arn:aws:iam::444455556666:role/team/deployers".parse().unwrap();
    let plain = PermissionNeeds::default();
    let all = PermissionNeeds { tags: true, source_identity: true };
    assert_eq!(
        trust_statement(&caller(USER), plain),
        json!({ "Effect": "Allow", "Principal": { "AWS": USER }, "Action": "sts:AssumeRole" })
    );
    assert_eq!(
        identity_statement(&role, all),
        json!({ "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                "Resource": "arn:aws:iam::444455556666:role/team/deployers" })
    );
    assert_eq!(
        trust_statement(&caller(SSO_SESSION), plain),
        json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" }, "Action": "sts:AssumeRole",
                "Condition": { "ArnLike": { "aws:PrincipalArn":
                    "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_Developers_*" } } })
    );
}

/// The statement that Rolecall proposes allows the call for which it was made.
#[test]
fn statement_to_add_allows_the_call() {
    for arn in [USER, SESSION, SSO_SESSION, "arn:aws:iam::111122223333:root"] {
        let found = caller(arn);
        let facts =
            AssumeRoleFacts { tags: BTreeMap::from([("team", "blue")]), source_identity: Some("dev"), ..facts(&found) };
        let statements = json!([trust_statement(&found, PermissionNeeds::of(&facts))]);
        assert!(verdict(&statements, &facts).may_allow(), "{arn}");
    }
}

#[test]
fn parse_other_texts_are_errors() {
    for (text, error) in [
        ("", TrustPolicyError::NotJson),
        ("%7B", TrustPolicyError::NotJson),
        ("[]", TrustPolicyError::NoStatement),
        ("{}", TrustPolicyError::NoStatement),
    ] {
        assert_eq!(TrustPolicy::parse(text), Err(error), "{text}");
    }
    let large = format!("{{\"Statement\":[],\"Id\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(TrustPolicy::parse(&large), Err(TrustPolicyError::TooLarge));
}
