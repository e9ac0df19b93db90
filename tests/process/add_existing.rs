//! `rolecall add` with an existing profile, or without a server: what it keeps and what it reports.

use std::fs;
use std::time::Duration;

use rolecall_harness::{Output, Role};

use crate::fixture::{ADD, ADMINS, Fixture, REGION, ROLE, error_line};

fn add(fixture: &Fixture, role: &str, extra: &[&str]) -> Output {
    let plain = ["add", "prod", "--region", REGION, "--role-arn", role, "--aws-profile", "work"];
    fixture.rolecall(&plain.iter().chain(extra).copied().collect::<Vec<_>>())
}

fn config(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.config_path()).unwrap_or_default()
}

#[test]
fn add_replace_keeps_pin_of_same_cluster() {
    let fixture = Fixture::added();
    fixture.aws.add_role(Role::new(ADMINS).trusts(&fixture.user.arn));
    let pinned = |fixture: &Fixture| {
        let lines = config(fixture);
        lines
            .lines()
            .filter(|line| line.starts_with("server") || line.starts_with("ca_"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = pinned(&fixture);
    assert!(before.contains("server = ") && before.contains("ca_sha256 = "), "{before}");
    let said = add(&fixture, ADMINS, &["--no-verify", "--replace"]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        "✓ replaced the profile prod in ~/.config/rolecall/config.toml\n  the context prod in ~/.kube/config stays as it is\n"
    );
    assert_eq!(pinned(&fixture), before);
    assert!(config(&fixture).contains(ADMINS));
    let said = add(&fixture, ADMINS, &["--no-verify"]);
    said.assert_ok();
    assert!(
        said.stdout.starts_with("✓ the profile prod in ~/.config/rolecall/config.toml is up to date\n"),
        "{said:?}"
    );
    assert_eq!(pinned(&fixture), before);
    fixture.token().assert_ok();

    // The pin of another cluster is unknown.
    let before = config(&fixture);
    let line = error_line(&add(&fixture, ADMINS, &["--no-verify", "--replace", "--cluster", "other"]), 1);
    assert!(line.starts_with("rolecall: prod: the API server of prod in eu-west-1 is pinned"), "{line}");
    assert!(line.contains("Nothing was written. Give --server and --certificate-authority, or omit"), "{line}");
    assert_eq!(config(&fixture), before);
}

#[test]
fn add_replace_reports_replacement_once() {
    let fixture = Fixture::added();
    fixture.aws.add_role(Role::new(ADMINS).trusts(&fixture.user.arn));
    let said = add(&fixture, ADMINS, &["--replace"]);
    said.assert_ok();
    let replaced = "✓ replaced the profile prod in ~/.config/rolecall/config.toml";
    assert_eq!(said.stdout.lines().nth(2), Some(replaced), "{}", said.stdout);
    let again = add(&fixture, ADMINS, &["--replace"]);
    assert!(!again.stdout.contains("replaced"), "nothing changed: {}", again.stdout);
}

#[test]
fn add_without_server_writes_profile_but_no_context() {
    let fixture = Fixture::bare();
    let kubeconfig = fixture.sandbox.home().join("my kube");
    let file = kubeconfig.display().to_string();
    let line = error_line(&add(&fixture, ROLE, &["--no-verify", "--use"]), 2);
    assert!(line.starts_with("rolecall: --use needs a context"), "{line}");
    assert!(!fixture.config_path().exists());
    let said = add(&fixture, ROLE, &["--no-verify", "--kubeconfig", &file]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        format!(
            "! added the profile prod to ~/.config/rolecall/config.toml; AWS was not asked whether its role and cluster \
             exist\n! no context was written: give --server \
             and --certificate-authority, or run later: rolecall kubeconfig prod --kubeconfig '{file}'\n"
        )
    );
    assert_eq!(said.stderr, "");
    assert!(!kubeconfig.exists());
    let shown = fixture.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains("  server        not pinned\n"), "{}", shown.stdout);
}

#[test]
fn add_suggested_command_names_the_given_kubeconfig() {
    let fixture = Fixture::bare();
    let file = fixture.sandbox.home().join("k.yaml").display().to_string();
    let said = add(&fixture, ROLE, &["--kubeconfig", &file]);
    said.assert_ok();
    assert!(said.stdout.contains(&format!("or: rolecall use prod --kubeconfig {file}\n")), "{}", said.stdout);
    fixture.rolecall(&["use", "prod", "--kubeconfig", &file]).assert_ok();
}

#[test]
fn add_reports_session_shorter_than_requested() {
    let fixture = Fixture::bare();
    fixture.aws.update_role(ROLE, |role| role.max_session_duration(Duration::from_hours(1)));
    let said = add(&fixture, ROLE, &["--duration", "12h"]);
    said.assert_ok();
    let first = said.stdout.lines().next().unwrap();
    assert!(first.ends_with(" (1 h; AWS grants less than the requested 12 h)"), "{first}");
    fixture.token().assert_ok();
    let shown = fixture.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains("  duration      12 h (AWS grants no more than 1 h)\n"), "{}", shown.stdout);
}

#[test]
fn add_failure_states_once_that_nothing_was_written() {
    let fixture = Fixture::bare();
    let assert_states_nothing_written = |line: String| {
        assert_eq!(line.matches("othing was").count() + line.matches("left as it was").count(), 1, "{line}");
        assert!(line.contains(". Nothing was written. ") || line.ends_with(". Nothing was written."), "{line}");
    };
    fixture.aws.deny(ROLE, "eks:DescribeCluster");
    fixture.aws.deny(&fixture.user.arn, "eks:DescribeCluster");
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.trim_end().ends_with(", or give --server and --certificate-authority"), "{}", said.stderr);
    assert_states_nothing_written(said.stderr.trim_end().to_owned());
    fixture.aws.remove_role(ROLE);
    assert_states_nothing_written(error_line(&fixture.rolecall(&ADD), 1));
    assert_states_nothing_written(error_line(
        &add(&fixture, ROLE, &["--no-verify", "--via", "arn:aws-cn:iam::111122223333:role/x"]),
        1,
    ));
    let path = fixture.sandbox.kubeconfig();
    let theirs = "contexts:\n- name: prod\n  context: {cluster: x, user: y}\n";
    fixture.sandbox.write(path.strip_prefix(fixture.sandbox.root()).unwrap(), theirs);
    assert_states_nothing_written(error_line(&fixture.rolecall(&ADD), 1));
    fixture.write_config("[profiles.prod\n");
    assert_states_nothing_written(error_line(&fixture.rolecall(&ADD), 1));
}
