//! `rolecall credentials` and `rolecall env` with real processes: the AWS profile, terminals, the audit log.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, HANG_GUARD, error_line};

impl Fixture {
    fn aws_config(&self) -> std::path::PathBuf {
        self.sandbox.home().join(".aws/config")
    }
}

#[test]
fn credentials_install_adds_an_aws_profile() {
    let fixture = Fixture::configured();
    let before = fs::read_to_string(fixture.aws_config()).unwrap();
    fs::set_permissions(fixture.aws_config(), fs::Permissions::from_mode(0o640)).unwrap();
    let said = fixture.rolecall(&["credentials", "prod", "--install", "prod-aws"]);
    said.assert_ok();
    assert!(said.stdout.contains("AWS profile prod-aws added to"), "{said}");
    let after = fs::read_to_string(fixture.aws_config()).unwrap();
    let added = after.strip_prefix(&before).unwrap();
    assert!(added.contains("[profile prod-aws]\ncredential_process = /"), "{added}");
    assert!(added.contains("rolecall credentials prod\nregion = eu-west-1\n"), "{added}");
    assert_eq!(fixture.aws_config().metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let said = fixture.rolecall(&["credentials", "prod", "--install", "prod-aws"]);
    assert!(said.stdout.contains("already"), "{said}");
    assert_eq!(fs::read_to_string(fixture.aws_config()).unwrap(), after);
    // The program and arguments of the section are those that work.
    let process = added.lines().find_map(|line| line.strip_prefix("credential_process = ")).unwrap();
    let mut words = process.split(' ');
    let said = fixture.sandbox.run(fixture.sandbox.command(words.next().unwrap()).args(words));
    said.assert_ok();
    assert_eq!(said.json()["Version"], 1);

    // The AWS profile of a source, and another section.
    let line = error_line(&fixture.rolecall(&["credentials", "prod", "--install", "work"]), 1);
    assert!(line.contains("source work uses the AWS profile work, and would wait for itself"), "{line}");
    fixture.sandbox.append_aws_config("[profile mine]\nregion = eu-west-1\n");
    let line = error_line(&fixture.rolecall(&["credentials", "prod", "--install", "mine"]), 1);
    assert!(line.contains("AWS profile mine exists, and is not one of Rolecall. Nothing was written."), "{line}");
    let said = fixture.rolecall(&["credentials", "prod", "--install", "--print"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("[profile prod]\n"), "{said}");
}

#[test]
fn terminal_gets_no_session_without_force() {
    let fixture = Fixture::configured();
    for arguments in [&["credentials", "prod"][..], &["env", "prod"]] {
        let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().args(arguments));
        terminal.wait_for("standard output is a terminal", HANG_GUARD);
        terminal.assert_exit(1, HANG_GUARD);
        assert_eq!(fixture.assume_role_calls(), 0);
    }
}

#[test]
fn env_is_read_by_the_shell() {
    let fixture = Fixture::configured();
    // Only builtins: the environment of another program would be a leak.
    let script = "eval \"$(rolecall env prod)\" && test -z \"${AWS_PROFILE+x}\" && test \"$AWS_REGION\" = eu-west-1 && \
                  test -n \"$AWS_SESSION_TOKEN\"";
    let mut command = fixture.sandbox.command("/bin/sh");
    fixture.sandbox.run(command.args(["-c", script]).env("AWS_PROFILE", "other")).assert_ok();
    let script = "eval \"$(rolecall env --unset)\" && test -z \"${AWS_SESSION_TOKEN+x}\"";
    let mut command = fixture.sandbox.command("/bin/sh");
    fixture.sandbox.run(command.args(["-c", script]).env("AWS_SESSION_TOKEN", "x")).assert_ok();
}

#[test]
fn credentials_are_recorded_in_the_audit_log() {
    let fixture = Fixture::configured();
    fixture.rolecall(&["credentials", "prod"]).assert_ok();
    fixture.rolecall(&["env", "prod"]).assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let said = fixture.rolecall(&["audit", "--profile", "prod", "-o", "json"]);
    let records = said.json();
    let records = records.as_array().unwrap();
    let cached: Vec<_> = records.iter().map(|record| record["cached"].as_bool()).collect();
    assert_eq!(cached, [Some(false), Some(true)], "{said}");
    for record in records {
        assert_eq!((record["operation"].as_str(), record["decision"].as_str()), (Some("credentials"), Some("allowed")));
        assert_eq!(record["key_id"].as_str().map(str::len), Some(4), "{record}");
    }
}

/// The AWS profiles of `--install` follow their profile: `rename` keeps their names, `remove` removes them.
#[test]
fn installed_aws_profile_follows_rename_and_remove() {
    let fixture = Fixture::configured();
    let before = fs::read_to_string(fixture.aws_config()).unwrap();
    fixture.rolecall(&["credentials", "prod", "--install"]).assert_ok();
    let said = fixture.rolecall(&["rename", "prod", "live"]);
    assert!(said.assert_ok().stdout.contains("the AWS profile prod in ~/.aws/config now uses live\n"), "{said}");
    let renamed = fs::read_to_string(fixture.aws_config()).unwrap();
    assert!(renamed.contains("[profile prod]\n") && renamed.contains("rolecall credentials live\n"), "{renamed}");

    // A file that others can change is not edited, and the profile is removed all the same.
    fs::set_permissions(fixture.aws_config(), fs::Permissions::from_mode(0o666)).unwrap();
    let said = fixture.rolecall(&["rename", "live", "prod-eu"]);
    assert!(said.assert_ok().stderr.contains("~/.aws/config is unchanged: "), "{said}");
    assert_eq!(fs::read_to_string(fixture.aws_config()).unwrap(), renamed);
    fs::set_permissions(fixture.aws_config(), fs::Permissions::from_mode(0o640)).unwrap();
    fixture.rolecall(&["credentials", "prod-eu", "--install", "prod"]).assert_ok();

    let said = fixture.rolecall(&["remove", "prod-eu"]);
    assert!(said.assert_ok().stdout.contains("removed the AWS profile prod from ~/.aws/config\n"), "{said}");
    // An empty line in front of the section goes with it.
    assert_eq!(fs::read_to_string(fixture.aws_config()).unwrap().trim_end(), before.trim_end());
    assert_eq!(fixture.aws_config().metadata().unwrap().permissions().mode() & 0o777, 0o640);
}
