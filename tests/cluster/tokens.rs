//! The authenticator accepts every token that Rolecall mints.

use std::time::Duration;

use rolecall_harness::{Role, Sandbox};
use serde_json::{Value, json};

use crate::control_plane::{ACCOUNT, CLUSTER, FIPS_REGION};
use crate::fixture::Fixture;

/// Returns a mapping of aws-auth for each role.
fn map_roles(roles: &[&str]) -> String {
    let mapping = |role: &&str| {
        format!(
            "- rolearn: {role}\n  username: \"rolecall:{{{{SessionName}}}}\"\n  groups: [developers, \"{{{{AccountID}}}}\"]\n"
        )
    };
    roles.iter().map(mapping).collect()
}

fn groups(user: &Value) -> Vec<&str> {
    user["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect()
}

/// Asserts that a profile is the session of a role, mapped by [`map_roles`].
#[track_caller]
fn assert_role_session(fixture: &Fixture, profile: &str, role_name: &str) {
    let user = fixture.whoami(profile);
    let extra = &user["extra"];
    let session = extra["sessionName"][0].as_str().unwrap();
    assert_eq!(user["username"], format!("rolecall:{}", session.replace('@', "-")), "{user:#}");
    assert_eq!(groups(&user), ["developers", ACCOUNT, "system:authenticated"], "{profile}");
    assert_eq!(extra["canonicalArn"], json!([format!("arn:aws:iam::{ACCOUNT}:role/{role_name}")]), "{user:#}");
    assert_eq!(extra["arn"], json!([format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role_name}/{session}")]), "{user:#}");
    let key = extra["accessKeyId"][0].as_str().unwrap();
    let principal = extra["arn"][0].as_str();
    assert_eq!(fixture.control_plane.aws.owner_of(key).as_deref(), principal, "{user:#}");
}

#[test]
fn tokens_of_every_kind_of_profile_are_accepted() {
    let Some(fixture) = Fixture::new("kinds") else { return };
    let aws = &fixture.control_plane.aws;
    let plain = fixture.role("plain", &fixture.user.arn);
    let hub = fixture.role("hub", &fixture.user.arn);
    let chained = fixture.role("chained", &hub);
    let with_path = fixture.role("platform/team/with-path", &fixture.user.arn);
    let tagged = fixture.role("tagged", &fixture.user.arn);
    aws.update_role(&tagged, |role| role.requires_tag("team", "shop").requires_source_identity("kinds-dev"));
    let restricted = fixture.role("restricted", &fixture.user.arn);
    aws.update_role(&restricted, |role| role.external_id("handshake").max_session_duration(Duration::from_hours(12)));
    let long = fixture.role("long", &fixture.user.arn);
    // Close to the longest session token that fits into an EKS token.
    aws.update_role(&long, |role| role.session_token_length(2400));
    let path_removed = with_path.replace("platform/team/", "");
    let roles = map_roles(&[&plain, &chained, &path_removed, &tagged, &restricted, &long]);
    let users = format!("- userarn: {}\n  username: dev\n  groups: [people]\n", fixture.user.arn);
    fixture.aws_auth.apply(&[("mapRoles", &roles), ("mapUsers", &users)]);

    fixture.add("user", &[]);
    let user = fixture.whoami("user");
    assert_eq!((&user["username"], groups(&user)), (&json!("dev"), vec!["people", "system:authenticated"]));
    assert_eq!(user["extra"]["arn"], json!([fixture.user.arn]), "{user:#}");

    fixture.add("plain", &["--role-arn", &plain]);
    assert_role_session(&fixture, "plain", "kinds-plain");
    fixture.add("chained", &["--role-arn", &chained, "--via", &hub]);
    assert_role_session(&fixture, "chained", "kinds-chained");
    // STS reports the session without the role's path.
    fixture.add("path", &["--role-arn", &with_path]);
    assert_role_session(&fixture, "path", "kinds-with-path");
    let tags = ["--tag", "team=shop", "--transitive-tag", "team", "--source-identity", "kinds-dev"];
    fixture.add("tagged", &[&["--role-arn", &tagged][..], &tags].concat());
    assert_role_session(&fixture, "tagged", "kinds-tagged");
    let policy = ["--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess", "--session-name", "kinds@laptop"];
    let limits = ["--external-id", "handshake", "--duration", "12h"];
    fixture.add("restricted", &[&["--role-arn", &restricted][..], &limits, &policy].concat());
    assert_role_session(&fixture, "restricted", "kinds-restricted");
    fixture.add("long", &["--role-arn", &long]);
    assert_role_session(&fixture, "long", "kinds-long");
}

/// Whether the authenticator accepts the host of a token depends on its table of STS endpoints.
#[test]
fn tokens_for_every_sts_endpoint_are_accepted() {
    let Some(fixture) = Fixture::new("endpoints") else { return };
    let role = fixture.role("role", &fixture.user.arn);
    fixture.aws_auth.apply(&[("mapRoles", &map_roles(&[&role]))]);
    let add = ["--cluster", CLUSTER, "--region", FIPS_REGION, "--aws-profile", "work", "--role-arn", &role];
    for (profile, options, host) in [
        ("regional", &[][..], "sts.us-east-1.amazonaws.com"),
        ("dual", &["--dual-stack"], "sts.us-east-1.api.aws"),
        ("fips", &["--fips"], "sts-fips.us-east-1.amazonaws.com"),
        ("both", &["--fips", "--dual-stack"], "sts-fips.us-east-1.api.aws"),
    ] {
        fixture.rolecall(&[&["add", profile][..], &add, options].concat()).assert_ok();
        assert_role_session(&fixture, profile, "endpoints-role");
        let hosts = fixture.control_plane.sts_hosts();
        assert!(hosts.contains(&format!("{host}:443")), "{host}: {hosts:?}");
    }
}

/// A cluster of another partition has an authenticator of that partition.
#[test]
fn tokens_of_other_partitions_are_accepted() {
    let Some(fixture) = Fixture::new("partitions") else { return };
    let control_plane = &fixture.control_plane;
    for (partition, region) in [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")] {
        let user = control_plane.aws.add_user_key(&format!("arn:{partition}:iam::{ACCOUNT}:user/dev"));
        let role = format!("arn:{partition}:iam::{ACCOUNT}:role/partitions");
        control_plane.aws.add_role(Role::new(&role).trusts(&user.arn));
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &control_plane.aws.endpoint());
        let ca = sandbox.write("home/ca.pem", &control_plane.ca_pem).display().to_string();
        let server = ["--server", &control_plane.url, "--certificate-authority", &ca, "--no-verify"];
        let add = ["add", "other", "--region", region, "--aws-profile", "work", "--role-arn", &role];
        sandbox.run(sandbox.rolecall().args([&add[..], &server].concat())).assert_ok();
        let said = sandbox.run(sandbox.rolecall().args(["token", "other"]));
        let token = said.assert_ok().json()["status"]["token"].as_str().unwrap().to_owned();
        let identity = control_plane.verify(partition, "other", &token);
        let identity = identity.assert_ok().json();
        assert_eq!(identity["CanonicalARN"], role, "{identity:#}");
        // The authenticator of another partition does not.
        let refused = control_plane.verify("aws", "other", &token);
        if partition == "aws-cn" {
            refused.assert_code(1);
            assert!(refused.stderr.contains("does not support hostname sts.cn-north-1"), "{refused}");
        }
    }
}
