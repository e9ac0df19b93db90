//! Sources that depend on the daemon's environment: HOME, variables, child processes.

use std::fs;

use rolecall_harness::{AwsProfile, Role, within};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, error_line, profile};

fn use_aws_profile(fixture: &Fixture, aws_profile: &str) {
    fixture
        .write_config(&format!("[sources.work]\naws_profile = \"{aws_profile}\"\n\n{}", profile("prod", "work", ROLE)));
}

#[test]
fn source_of_aws_login_works_until_logout_then_hints() {
    let fixture = Fixture::bare();
    let login = fixture.aws.login(&fixture.user.arn);
    let file = fixture.sandbox.write_login_session("console", &login, &fixture.aws.endpoint());
    use_aws_profile(&fixture, "console");
    let _daemon = fixture.sandbox.start_daemon();
    let token = fixture.token();
    token.assert_ok();
    fixture.api.username(token.json()["status"]["token"].as_str().unwrap()).unwrap();
    // After a logout elsewhere, the cached session is still served, but it cannot be renewed.
    fs::remove_file(&file).unwrap();
    let line = error_line(&fixture.rolecall(&["refresh", "prod"]), 5);
    assert!(line.starts_with(
        "rolecall: prod: the login of source \"work\" has expired. The current session stays valid until "
    ));
    assert!(line.ends_with(" Run: rolecall login work"), "{line}");
    // The daemon reads the new login from the file that `aws login` writes.
    let again = fixture.aws.login(&fixture.user.arn);
    fixture.sandbox.write_login_session("console", &again, &fixture.aws.endpoint());
    let found = within(HANG_GUARD, || (fixture.rolecall(&["refresh", "prod"]).code() == Some(0)).then_some(()));
    assert!(found.is_some(), "the new login is not found");
}

#[test]
fn source_of_container_credentials_works() {
    let fixture = Fixture::bare();
    let own = "arn:aws:iam::111122223333:role/task";
    fixture.aws.add_role(Role::new(own));
    let other = "arn:aws:iam::111122223333:role/team/operators";
    fixture.aws.add_role(Role::new(other).trusts(own));
    fixture.aws.update_role(ROLE, |role| role.trusts(other));
    let container = fixture.aws.container_credentials(own);
    fixture.sandbox.write_aws_config("task", &AwsProfile::role_of(other, "EcsContainer"), &fixture.aws.endpoint());
    use_aws_profile(&fixture, "task");
    let file = fixture.sandbox.write("container-token", container.token());
    let mut command = fixture.sandbox.rolecalld();
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHESHELL00000");
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!(container.fetched(), 1);
}

/// The helper of `credential_process` needs a variable of the shell.
fn with_helper() -> Fixture {
    let fixture = Fixture::bare();
    let (id, secret) = (&fixture.user.id, &fixture.user.secret);
    let output = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
    let script = format!(
        "[ \"$AWS_VAULT_BACKEND\" = pass ] || {{ echo \"no backend, secret=$SET\" >&2; exit 1; }}\nenv >\"$HOME/seen\"\necho '{output}'\n"
    );
    let helper = fixture.sandbox.write("home/helper", &script);
    let profile = AwsProfile::process(&format!("sh {}", helper.display()));
    fixture.sandbox.write_aws_config("helped", &profile, &fixture.aws.endpoint());
    fixture
}

fn environment_config(environment: &str) -> String {
    format!("[sources.work]\naws_profile = \"helped\"\n\n{environment}\n{}", profile("prod", "work", ROLE))
}

/// Fault matrix row 99.
#[test]
fn helper_without_its_variable_is_explained() {
    let fixture = with_helper();
    fixture.write_config(&environment_config(""));
    let line = error_line(&fixture.token(), 1);
    let expected = "the credential_process of AWS profile \"helped\": the command failed (exit status: 1); it printed: no backend, secret=";
    assert!(line.contains(expected) && line.contains("[environment] of config.toml"), "{line}");
    let log = fs::read_to_string(fixture.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    assert!(!log.contains("no backend"), "{log}");
    // A value in the configuration takes effect without a restart.
    fixture.write_config(&environment_config("[environment]\nset = { AWS_VAULT_BACKEND = \"pass\" }"));
    let found = within(HANG_GUARD, || (fixture.token().code() == Some(0)).then_some(()));
    assert!(found.is_some(), "{}", fixture.token());
}

/// Fault matrix row 52.
#[test]
fn helper_gets_passed_variables_also_after_a_restart() {
    let fixture = with_helper();
    fixture.write_config(&environment_config("[environment]\npass = [\"AWS_VAULT_BACKEND\"]"));
    let run = |arguments: &[&str]| {
        let mut command = fixture.sandbox.rolecall();
        command.env("AWS_VAULT_BACKEND", "pass").env("AWS_PROFILE", "other").env("SSL_CERT_FILE", "/nowhere");
        fixture.sandbox.run(command.env("UNLISTED", "x").args(arguments))
    };
    run(&["token", "prod"]).assert_ok();
    let seen = fixture.sandbox.home().join("seen");
    let names = || -> Vec<String> {
        let text = fs::read_to_string(&seen).unwrap();
        text.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect()
    };
    for (name, is_given) in [
        ("HOME", true),
        ("AWS_VAULT_BACKEND", true),
        ("UNLISTED", false),
        ("AWS_PROFILE", false),
        ("SSL_CERT_FILE", false),
    ] {
        assert_eq!(names().iter().any(|known| known == name), is_given, "{name}: {:?}", names());
    }
    run(&["agent", "restart"]).assert_ok();
    fs::remove_file(&seen).unwrap();
    run(&["refresh", "prod"]).assert_ok();
    assert!(names().iter().any(|name| name == "AWS_VAULT_BACKEND"), "{:?}", names());
}

/// Fault matrix row 52.
#[test]
fn daemon_started_by_hand_ignores_variables_of_the_shell() {
    let fixture = with_helper();
    fixture.write_config(&environment_config("[environment]\npass = [\"AWS_VAULT_BACKEND\"]"));
    let mut command = fixture.sandbox.rolecalld();
    command.env("AWS_VAULT_BACKEND", "pass").env("UNLISTED", "x").env("HTTPS_PROXY", "http://127.0.0.1:1");
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    let text = fs::read_to_string(fixture.sandbox.home().join("seen")).unwrap();
    assert!(!text.contains("UNLISTED") && !text.contains("HTTPS_PROXY") && !text.contains("ROLECALL_SHELL"), "{text}");
}

/// Each check of each profile reads AWS's own files.
///
/// Fault matrix row 127.
#[test]
fn doctor_with_many_aws_profiles_has_a_bound_of_memory() {
    let fixture = Fixture::with_profiles(8);
    let profile =
        |n: u32| format!("[profile p{n}]\nsso_session = s\nsso_account_id = 111122223333\nregion = eu-west-1\n");
    fixture.sandbox.append_aws_config(&(0..3_000).map(profile).collect::<String>());
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let pid = fixture.daemon_pid();
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
    };
    let idle = peak();
    fixture.rolecall(&["doctor"]);
    // One copy of the content has about 8 MiB, and a debug build loads 12 MiB of code.
    assert!(peak() < idle + 40, "{} MiB, {idle} MiB when idle", peak());
}
