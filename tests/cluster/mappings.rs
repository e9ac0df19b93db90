//! How the authenticator reads aws-auth: the facts that `rolecall access` relies on.

use std::time::Duration;

use rolecall_harness::AccessKey;
use serde_json::json;

use crate::control_plane::ACCOUNT;
use crate::fixture::Fixture;

/// Returns a session of a role.
fn session(fixture: &Fixture, role: &str) -> AccessKey {
    fixture.control_plane.aws.session(role, "dev@laptop", Duration::from_hours(1))
}

#[track_caller]
fn assert_rejected(fixture: &Fixture, key: &AccessKey) {
    let found = fixture.control_plane.whoami(key);
    assert!(found.as_ref().is_err_and(|message| message.contains("Unauthorized")), "{}: {found:?}", key.arn);
}

#[track_caller]
fn assert_accepted(fixture: &Fixture, key: &AccessKey, username: &str) {
    let user = fixture.control_plane.whoami(key).unwrap_or_else(|message| panic!("{}: {message}", key.arn));
    assert_eq!(user["username"], username, "{user:#}");
}

#[test]
fn mapping_with_role_path_never_matches() {
    let Some(fixture) = Fixture::new("paths") else { return };
    let role = fixture.role("platform/admins", &fixture.user.arn);
    let key = session(&fixture, &role);
    let mapping = |arn: &str| format!("- rolearn: {arn}\n  username: admin\n");
    fixture.aws_auth.apply(&[("mapRoles", &mapping(&role))]);
    assert_rejected(&fixture, &key);
    fixture.aws_auth.apply(&[("mapRoles", &mapping(&role.replace("platform/", "")))]);
    assert_accepted(&fixture, &key, "admin");
    // Nor does the ARN of a session.
    let assumed = format!("arn:aws:sts::{ACCOUNT}:assumed-role/paths-admins/dev@laptop");
    fixture.aws_auth.apply(&[("mapRoles", &mapping(&assumed))]);
    assert_rejected(&fixture, &session(&fixture, &role));
}

/// The path of a user belongs to its ARN everywhere.
#[test]
fn mapping_of_user_needs_its_path() {
    let Some(fixture) = Fixture::new("userpaths") else { return };
    let key = fixture.control_plane.aws.add_user(ACCOUNT, "team/userpaths");
    let mapping = |arn: &str| format!("- userarn: {arn}\n  username: dev\n");
    fixture.aws_auth.apply(&[("mapUsers", &mapping(&key.arn.replace("team/", "")))]);
    assert_rejected(&fixture, &key);
    fixture.aws_auth.apply(&[("mapUsers", &mapping(&key.arn))]);
    assert_accepted(&fixture, &key, "dev");
}

#[test]
fn mapping_matches_without_case() {
    let Some(fixture) = Fixture::new("case") else { return };
    let role = fixture.role("Developers", &fixture.user.arn);
    let key = session(&fixture, &role);
    for (name, arn) in [("rolearn", role.to_uppercase()), ("RoleARN", role.to_lowercase()), ("roleArn", role)] {
        let mapping = format!("- {name}: {arn}\n  UserName: \"{name}:{{{{SessionName}}}}:{{{{SessionNameRaw}}}}\"\n");
        fixture.aws_auth.apply(&[("mapRoles", &mapping)]);
        let username = format!("{name}:dev-laptop:dev@laptop");
        // The API server caches a token for two minutes, with the former username.
        let user = rolecall_harness::within(crate::config_map::WATCH_TIMEOUT, || {
            fixture.control_plane.whoami(&key).ok().filter(|user| user["username"] == username)
        });
        assert!(user.is_some(), "{username}: {:?}", fixture.control_plane.whoami(&key));
    }
}

#[test]
fn later_duplicate_of_a_role_wins() {
    let Some(fixture) = Fixture::new("twice") else { return };
    let role = fixture.role("developers", &fixture.user.arn);
    let mapping = format!("- rolearn: {role}\n  username: first\n- rolearn: {role}\n  username: second\n");
    fixture.aws_auth.apply(&[("mapRoles", &mapping)]);
    assert_accepted(&fixture, &session(&fixture, &role), "second");
}

#[test]
fn invalid_yaml_in_map_roles_removes_every_role() {
    let Some(fixture) = Fixture::new("broken") else { return };
    let role = fixture.role("admins", &fixture.user.arn);
    let roles = format!("- rolearn: {role}\n  username: admin\n  groups:\n    - system:masters\n");
    let users = format!("- userarn: {}\n  username: dev\n", fixture.user.arn);
    fixture.aws_auth.apply(&[("mapRoles", &roles), ("mapUsers", &users)]);
    assert_accepted(&fixture, &session(&fixture, &role), "admin");
    // One line with another indentation.
    let broken = format!("{roles} - rolearn: arn:aws:iam::{ACCOUNT}:role/new\n");
    fixture.aws_auth.apply(&[("mapRoles", &broken), ("mapUsers", &users)]);
    assert_rejected(&fixture, &session(&fixture, &role));
    assert_accepted(&fixture, &fixture.user, "dev");
    let log = fixture.control_plane.authenticator_log();
    assert!(log.contains("Only saving data that was good"), "{log}");
}

#[test]
fn groups_of_a_wrong_type_lose_the_groups_alone() {
    let Some(fixture) = Fixture::new("groups") else { return };
    let role = fixture.role("admins", &fixture.user.arn);
    let other = fixture.role("others", &fixture.user.arn);
    let mapping = format!(
        "- rolearn: {role}\n  username: admin\n  groups: system:masters\n- rolearn: {other}\n  username: other\n"
    );
    fixture.aws_auth.apply(&[("mapRoles", &mapping)]);
    let user = fixture.control_plane.whoami(&session(&fixture, &role)).unwrap();
    assert_eq!((&user["username"], &user["groups"]), (&json!("admin"), &json!(["system:authenticated"])));
    assert_accepted(&fixture, &session(&fixture, &other), "other");
}

#[test]
fn deleting_aws_auth_removes_every_mapping() {
    let Some(fixture) = Fixture::new("deleted") else { return };
    let role = fixture.role("admins", &fixture.user.arn);
    let roles = format!("- rolearn: {role}\n  username: admin\n");
    let users = format!("- userarn: {}\n  username: dev\n", fixture.user.arn);
    fixture.aws_auth.apply(&[("mapRoles", &roles), ("mapUsers", &users)]);
    assert_accepted(&fixture, &session(&fixture, &role), "admin");
    fixture.aws_auth.delete();
    fixture.aws_auth.wait_until_rejected(&session(&fixture, &role));
    fixture.aws_auth.wait_until_rejected(&fixture.user);
    // An administrator with a certificate repairs it.
    fixture.aws_auth.apply(&[("mapRoles", &roles)]);
    fixture.aws_auth.wait_until_accepted(&session(&fixture, &role));
}
