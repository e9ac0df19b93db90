//! Messages are true, are printed once, and name the next command.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, error_line};

#[test]
fn config_invalid_from_start_is_reported_by_every_command() {
    let fixture = Fixture::configured();
    fixture.write_config("[profiles.prod]\ncluster = 3\n");
    let said = fixture.rolecall(&["status"]);
    said.assert_ok();
    assert_eq!(said.stderr, "");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("! ") && lines[0].contains("config.toml:2: profiles.prod.cluster: "), "{lines:?}");
    assert_eq!(&lines[1..], ["  No profile is served until this is fixed."]);
    for arguments in [&["list"][..], &["list", "-q"], &["list", "--json"], &["kubeconfig", "--all"]] {
        let line = error_line(&fixture.rolecall(arguments), 1);
        assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
        assert!(line.ends_with(". No profile is served until this is fixed"), "{line}");
    }
    let said = fixture.rolecall(&["agent", "status"]);
    said.assert_ok();
    let row = format!("  config    {} (broken, see rolecall status)\n", fixture.config_path().display());
    assert!(said.stdout.contains(&row), "{}", said.stdout);
}

#[test]
fn config_invalid_later_keeps_last_valid_in_force() {
    let fixture = Fixture::added();
    fixture.write_config("[profiles.prod]\ncluster = 3\n");
    // An unknown name makes the daemon read the file, even if the file watch has not reported the change yet.
    fixture.rolecall(&["show", "unknown"]).assert_code(1);
    let said = fixture.rolecall(&["status"]);
    said.assert_ok();
    assert_eq!(said.stdout.matches("stays in force until this is fixed.\n").count(), 1, "{}", said.stdout);
    assert!(said.stdout.contains("  The configuration read at "), "{}", said.stdout);
    assert!(said.stdout.contains("\n● prod"), "{}", said.stdout);
    let said = fixture.rolecall(&["list"]);
    said.assert_ok();
    assert!(said.stderr.ends_with(" stays in force until this is fixed\n"), "{}", said.stderr);
    assert!(said.stdout.contains("prod"), "{}", said.stdout);
}

#[test]
fn commands_without_profiles_print_the_same_hint() {
    let fixture = Fixture::bare();
    let words = "rolecall: there are no profiles yet. Begin with: rolecall import, rolecall discover or rolecall add";
    for command in ["list", "status"] {
        let said = fixture.rolecall(&[command]);
        said.assert_ok().assert_stdout_empty();
        assert_eq!(said.stderr.trim_end(), words, "{command}");
    }
    assert_eq!(error_line(&fixture.rolecall(&["kubeconfig", "--all"]), 1), words);
}

#[test]
fn remove_reports_missing_context() {
    let fixture = Fixture::added();
    let said = fixture.rolecall(&[
        "remove",
        "prod",
        "--kubeconfig",
        &fixture.sandbox.home().join("other").display().to_string(),
    ]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ removed the profile prod; no context prod in ~/other\n");
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains("rolecall-prod"));

    let fixture = Fixture::added();
    let (a, b) = (fixture.sandbox.home().join("a"), fixture.sandbox.home().join("b"));
    let list = std::env::join_paths([a, b]).unwrap();
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(["remove", "prod"]).env("KUBECONFIG", list));
    said.assert_ok();
    assert_eq!(said.stdout, "✓ removed the profile prod; no context prod in ~/a, ~/b\n");
}

#[test]
fn use_without_context_names_the_command_that_writes_it() {
    let fixture = Fixture::added();
    fs::remove_file(fixture.sandbox.kubeconfig()).unwrap();
    let line = error_line(&fixture.rolecall(&["use", "prod"]), 1);
    assert!(line.ends_with("Write that of the profile prod with: rolecall kubeconfig prod --use"), "{line}");
    let line = error_line(&fixture.rolecall(&["use", "nix"]), 1);
    assert!(line.starts_with("rolecall: there is no context \"nix\" in "), "{line}");
    assert!(line.ends_with("There is no profile of that name either; see: rolecall list"), "{line}");
    fixture.rolecall(&["kubeconfig", "prod", "--use"]).assert_ok();
    let line = error_line(&fixture.rolecall(&["use", "prdo"]), 1);
    assert!(line.ends_with("Did you mean prod?"), "{line}");
}

#[test]
fn kubeconfig_with_one_unknown_name_writes_nothing() {
    let fixture = Fixture::added();
    fs::remove_file(fixture.sandbox.kubeconfig()).unwrap();
    let line = error_line(&fixture.rolecall(&["kubeconfig", "prod", "prdo"]), 1);
    assert_eq!(line, "rolecall: there is no profile \"prdo\". Nothing was written. Did you mean prod?");
    assert!(!fixture.sandbox.kubeconfig().exists());
}

#[test]
fn kubeconfig_without_describe_omits_add_options() {
    let fixture = Fixture::added();
    fixture.aws.deny(crate::fixture::ROLE, "eks:DescribeCluster");
    fixture.aws.deny(&fixture.user.arn, "eks:DescribeCluster");
    let said = fixture.rolecall(&["kubeconfig", "prod"]);
    said.assert_code(1);
    assert!(said.stderr.contains("eks:DescribeCluster") && !said.stderr.contains("--server"), "{}", said.stderr);
}

#[test]
fn runtime_folder_open_to_others_hints_chmod_if_own() {
    let fixture = Fixture::configured();
    let folder = fixture.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["token", "prod"][..], &["agent", "stop"]] {
        let line = error_line(&fixture.rolecall(arguments), 3);
        assert!(line.ends_with(&format!("Make the folder private: chmod 700 {}", folder.display())), "{line}");
    }
    // A folder that Rolecall did not create may have other uses.
    let other = fixture.sandbox.home().join("shared");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = fixture.sandbox.rolecall();
    let said = fixture.sandbox.run(command.args(["token", "prod"]).env("ROLECALL_SOCKET", other.join("agent.sock")));
    let line = error_line(&said, 3);
    assert!(!line.contains("chmod") && line.contains("ROLECALL_SOCKET"), "{line}");
}

#[test]
fn agent_stop_without_daemon_prints_no_success_mark() {
    let fixture = Fixture::configured();
    let said = fixture.rolecall(&["agent", "stop"]);
    said.assert_ok();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("the agent is not running\n", ""));
}

#[test]
fn refresh_of_long_lived_keys_rereads_them() {
    let fixture = Fixture::bare();
    fixture.rolecall(&["add", "prod", "--region", crate::fixture::REGION, "--aws-profile", "work"]).assert_ok();
    let said = fixture.rolecall(&["refresh", "prod"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ prod: the source's keys were read again (access key …"), "{}", said.stdout);
    let said = fixture.rolecall(&["show", "prod"]);
    assert!(said.stdout.contains("  until       no end (long-lived keys)\n"), "{}", said.stdout);
}

#[test]
fn help_works_as_a_command() {
    let fixture = Fixture::bare();
    for arguments in [&["help"][..], &["help", "add"], &["help", "agent", "stop"]] {
        assert!(fixture.rolecall(arguments).assert_ok().stdout.contains("Usage: rolecall"), "{arguments:?}");
    }
    assert!(fixture.rolecall(&["help", "add"]).stdout.contains("--certificate-authority"));
}
