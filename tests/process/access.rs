//! `rolecall access` from start to end: the real client and daemon, with the access entries of the embedded EKS.

use std::collections::BTreeSet;

use rolecall_harness::{Op, Role};
use serde_json::json;

use crate::fixture::{ACCOUNT, Fixture, HANG_GUARD, REGION, ROLE, error_line};

fn entries(fixture: &Fixture) -> BTreeSet<String> {
    let entries = fixture.aws.access_entries("prod", REGION);
    entries.iter().map(|entry| entry["principalArn"].as_str().unwrap().to_owned()).collect()
}

fn user(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{name}")
}

#[test]
fn grant_to_200_principals_explains_three_and_repeats_nothing() {
    let fixture = Fixture::added();
    let names: Vec<String> = (0..197).map(|number| format!("user{number}")).collect();
    for name in &names {
        fixture.aws.add_user(ACCOUNT, name);
    }
    fixture.api.add_pod("web", "web-1");
    fixture.aws.throttle_every(Op::CreateAccessEntry, 7);
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/developers/session");
    let file = format!("# the team\n{}\nno-such-user\ntwo words\n{session}\n", names.join("\n"));
    let file = fixture.sandbox.write("users.txt", &file);
    let arguments = ["access", "grant", "prod", "--user", "--from", file.to_str().unwrap()];
    let arguments = [&arguments[..], &["--policy", "AmazonEKSViewPolicy", "--namespace", "web", "--yes"]].concat();

    let said = fixture.rolecall(&arguments);
    said.assert_code(1);
    assert!(said.stdout.ends_with("Made 197 changes, 3 refused.\n"), "{said}");
    let explained: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(explained.len(), 3, "{said}");
    for (line, place) in explained.iter().zip(["users.txt:199): ", "users.txt:200): ", "users.txt:201): "]) {
        assert!(line.starts_with("rolecall: ") && line.contains(place), "{said}");
    }
    let granted = entries(&fixture);
    assert_eq!(granted.len(), 198, "the role of the profile had an entry before");
    assert!(names.iter().all(|name| granted.contains(&user(name))));

    let created = fixture.aws.calls(Op::CreateAccessEntry);
    let again = fixture.rolecall(&arguments);
    again.assert_code(1);
    assert!(again.stdout.ends_with("Nothing to change, 197 unchanged, 3 refused.\n"), "{again}");
    assert_eq!(fixture.aws.calls(Op::CreateAccessEntry), created);
}

#[test]
fn dry_run_and_ctrl_c_leave_everything_as_it_was() {
    let fixture = Fixture::added();
    fixture.aws.add_user(ACCOUNT, "alice");
    let before = entries(&fixture);
    let arguments = ["access", "grant", "prod", "--user", "alice", "--policy", "AmazonEKSViewPolicy"];
    let said = fixture.rolecall(&[&arguments[..], &["--dry-run"]].concat());
    said.assert_ok();
    assert!(
        said.stdout.contains("+ gets access (access entry: AmazonEKSViewPolicy (cluster))\n    user/alice\n"),
        "{said}"
    );
    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().args(arguments));
    terminal.wait_for("[y/N] ", HANG_GUARD);
    terminal.interrupt();
    assert!(!terminal.wait_exit(HANG_GUARD).success());
    assert_eq!(entries(&fixture), before);
    assert_eq!(fixture.aws.calls(Op::CreateAccessEntry), 0);

    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().args(arguments));
    terminal.wait_for("[y/N] ", HANG_GUARD);
    terminal.type_text("y\r");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(entries(&fixture).contains(&user("alice")));
}

#[test]
fn granted_role_enters_and_a_revoked_one_does_not() {
    let fixture = Fixture::added();
    let viewers = format!("arn:aws:iam::{ACCOUNT}:role/team/viewers");
    fixture.aws.add_role(Role::new(&viewers).trusts(&fixture.user.arn));
    let add = ["add", "view", "--cluster", "prod", "--region", REGION, "--role-arn", &viewers, "--source", "work"];
    let said = fixture.rolecall(&add);
    assert!(said.stdout.contains("is not mapped in the cluster prod"), "{said}");

    let grant = ["access", "grant", "prod", "--role", "viewers", "--policy", "AmazonEKSViewPolicy", "--yes"];
    let report = fixture.rolecall(&[&grant[..], &["-o", "json"]].concat());
    report.assert_ok();
    assert_eq!(report.json()["results"], json!([{"target": viewers, "action": "create"}]), "IAM names the path");
    let said = fixture.rolecall(&["access", "list", "prod"]);
    said.assert_ok();
    assert!(said.stdout.contains("role/team/viewers  role  access entry"), "{said}");
    let said = fixture.rolecall(&add);
    assert!(said.stdout.contains("the cluster knows you as"), "{said}");

    let revoke = ["access", "revoke", "prod", "--role", "viewers", "--yes"];
    let said = fixture.rolecall(&revoke);
    said.assert_ok();
    assert!(said.stdout.ends_with("✓ role/team/viewers has no access any more\nMade 1 change.\n"), "{said}");
    assert_eq!(entries(&fixture), BTreeSet::from([ROLE.to_owned()]));
}

#[test]
fn revoke_of_the_own_last_way_in_is_refused() {
    let fixture = Fixture::added();
    let line = error_line(&fixture.rolecall(&["access", "revoke", "prod", "--role", "developers", "--yes"]), 1);
    assert!(line.contains("your own last way into the cluster"), "{line}");
    assert_eq!(entries(&fixture), BTreeSet::from([ROLE.to_owned()]));
}

#[test]
fn unknown_policy_and_aws_auth_mode_are_explained() {
    let fixture = Fixture::added();
    let grant = |policy| fixture.rolecall(&["access", "grant", "prod", "--role", "x", "--policy", policy, "--yes"]);
    let line = error_line(&grant("AmazonEKSVeiwPolicy"), 1);
    assert!(line.contains("AmazonEKSViewPolicy"), "{line}");
    let said = fixture.rolecall(&["access", "policies", "prod"]);
    said.assert_ok();
    assert!(said.stdout.contains("  AmazonEKSClusterAdminPolicy  "), "{said}");
    fixture.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    let said = fixture.rolecall(&["access", "list", "prod"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("cluster prod uses aws-auth alone (CONFIG_MAP)\n"), "{said}");
}
