//! `rolecall doctor` with the answers of the real API server and authenticator.

use rolecall_harness::Output;
use serde_json::Value;

use crate::fixture::Fixture;

/// Diagnoses the profile `dev`. Returns its findings, and asserts that the first problem or warning of the text is that of the
/// data.
#[track_caller]
fn diagnose(fixture: &Fixture, options: &[&str], code: i32) -> Vec<Value> {
    let doctor = |more: &[&str]| -> Output { fixture.rolecall(&[&["doctor", "dev"][..], options, more].concat()) };
    let data = doctor(&["-o", "json"]).assert_code(code).json();
    let findings = data["profiles"][0]["findings"].as_array().unwrap_or_else(|| panic!("{data:#}")).clone();
    if let Some(bad) = findings.iter().find(|finding| finding["state"] != "ok") {
        let text = doctor(&[]).assert_code(code).stdout.clone();
        let first = text.lines().find(|line| line.starts_with("✗ ") || line.starts_with("! "));
        assert!(first.is_some_and(|line| line.ends_with(bad["cause"].as_str().unwrap())), "{text}");
    }
    findings
}

/// Returns the first finding that is not as it should be.
#[track_caller]
fn first(fixture: &Fixture, code: i32) -> Value {
    let findings = diagnose(fixture, &[], code);
    let first = findings.iter().find(|finding| finding["state"] != "ok");
    first.unwrap_or_else(|| panic!("nothing is wrong: {findings:#?}")).clone()
}

#[track_caller]
fn assert_healthy(fixture: &Fixture, options: &[&str]) {
    let findings = diagnose(fixture, options, 0);
    assert!(findings.iter().all(|finding| finding["state"] == "ok"), "{findings:#?}");
}

/// The profile `dev` is the role `NAME-KIND`, and the profile `admin` a role that aws-auth maps as an administrator: with its session
/// the daemon reads why `dev` is rejected.
struct Subject {
    fixture: Fixture,
    role: String,
    administrators: String,
}

impl Subject {
    fn new(name: &str, kind: &str) -> Option<Self> {
        let fixture = Fixture::new(name)?;
        let (admin, role) = (fixture.role("admins", &fixture.user.arn), fixture.role(kind, &fixture.user.arn));
        let administrators = format!("- rolearn: {admin}\n  username: admin\n  groups: [system:masters]\n");
        fixture.aws_auth.apply(&[("mapRoles", &administrators)]);
        fixture.add("admin", &["--role-arn", &admin]);
        fixture.add("dev", &["--role-arn", &role]);
        Some(Self { fixture, role, administrators })
    }

    /// Maps an ARN to the user `dev`.
    #[track_caller]
    fn map(&self, arn: &str, groups: &str) {
        let roles = format!("{}- rolearn: {arn}\n  username: dev\n  groups: [{groups}]\n", self.administrators);
        self.fixture.aws_auth.apply(&[("mapRoles", &roles)]);
        // The API server keeps a token that it accepted, so the next check needs another one.
        self.fixture.rolecall(&["refresh", "dev"]).assert_ok();
    }
}

#[test]
fn role_that_is_not_mapped_is_named_with_its_grant() {
    let Some(subject) = Subject::new("doctor-unmapped", "developers") else { return };
    let finding = first(&subject.fixture, 1);
    assert_eq!(finding["code"], "not_mapped", "{finding:#}");
    assert!(finding["consequence"].as_str().unwrap().contains("You must be logged in to the server (Unauthorized)"));
    let command = finding["administrator"]["commands"][0].as_str().unwrap();
    assert!(command.contains("--via aws-auth") && command.contains(&subject.role), "{command}");
    // kubectl says the same, and the plugin names the doctor.
    let said = subject.fixture.kubectl("dev", &["get", "pods"]);
    said.assert_code(1);
    let ours: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert_eq!(ours, ["rolecall: dev: the cluster rejects this role (401). Run: rolecall doctor dev"], "{said}");
    subject.map(&subject.role, "system:masters");
    assert_healthy(&subject.fixture, &[]);
}

#[test]
fn mapping_with_a_path_is_named() {
    let Some(subject) = Subject::new("doctor-path", "team/developers") else { return };
    subject.map(&subject.role, "system:masters");
    let finding = first(&subject.fixture, 1);
    assert_eq!(finding["code"], "mapping_path_in_arn", "{finding:#}");
    assert!(finding["cause"].as_str().unwrap().contains("mapRoles"), "{finding:#}");
    subject.map(&subject.role.replace("team/", ""), "system:masters");
    assert_healthy(&subject.fixture, &[]);
}

#[test]
fn mapping_in_other_case_is_healthy() {
    let Some(subject) = Subject::new("doctor-case", "Developers") else { return };
    subject.map(&subject.role.to_uppercase(), "system:masters");
    assert_healthy(&subject.fixture, &[]);
}

/// The authenticator rejects a token that was signed for another cluster.
#[test]
fn token_for_another_cluster_is_named() {
    let Some(subject) = Subject::new("doctor-foreign", "developers") else { return };
    subject.map(&subject.role, "system:masters");
    assert_healthy(&subject.fixture, &[]);
    let path = subject.fixture.sandbox.config_home().join("rolecall/config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, dev) = text.split_once("[profiles.dev]").unwrap();
    let dev = dev.replacen("cluster = \"prod\"", "cluster = \"prdo\"", 1);
    std::fs::write(&path, format!("{before}[profiles.dev]{dev}")).unwrap();
    subject.fixture.rolecall(&["agent", "restart"]).assert_ok();
    let finding = first(&subject.fixture, 1);
    assert_eq!(finding["code"], "cluster_name_wrong", "{finding:#}");
    assert!(finding["fix"].as_str().unwrap().contains("cluster = \"prod\""), "{finding:#}");
}

#[test]
fn user_without_rights_is_warned_of_403() {
    let Some(subject) = Subject::new("doctor-rbac", "developers") else { return };
    let namespace = subject.fixture.namespace_for_viewers();
    subject.map(&subject.role, &namespace);
    let finding = first(&subject.fixture, 0);
    assert_eq!((&finding["code"], &finding["state"]), (&"forbidden".into(), &"warning".into()), "{finding:#}");
    let consequence = finding["consequence"].as_str().unwrap();
    assert!(consequence.contains("Error from server (Forbidden): pods is forbidden: User \"dev\""), "{finding:#}");
    let said = subject.fixture.kubectl("dev", &["get", "pods"]);
    assert!(consequence.ends_with(said.stderr.trim()), "kubectl: {said}");
    assert_healthy(&subject.fixture, &["-n", &namespace]);
}
