//! `rolecall add` where there is something already, or not all that it takes: what stays, and what is said.

use std::fs;
use std::time::Duration;

use rolecall_harness::{Output, Role};

use crate::world::{ADD, REGION, ROLE, World, one_line};

const ADMINS: &str = "arn:aws:iam::111122223333:role/admins";

fn add(world: &World, role: &str, extra: &[&str]) -> Output {
    let plain = ["add", "prod", "--region", REGION, "--role-arn", role, "--aws-profile", "work"];
    world.rolecall(&plain.iter().chain(extra).copied().collect::<Vec<_>>())
}

fn config(world: &World) -> String {
    fs::read_to_string(world.config_path()).unwrap_or_default()
}

#[test]
fn a_replaced_profile_keeps_its_pin_while_its_cluster_is_the_same() {
    let world = World::added();
    world.aws.add_role(Role::new(ADMINS).trusts(&world.user.arn));
    let pinned = |world: &World| {
        let lines = config(world);
        lines
            .lines()
            .filter(|line| line.starts_with("server") || line.starts_with("ca_"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = pinned(&world);
    assert!(before.contains("server = ") && before.contains("ca_sha256 = "), "{before}");
    let said = add(&world, ADMINS, &["--no-verify", "--replace"]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        "✓ replaced the profile prod in ~/.config/rolecall/config.toml\n  the context prod in ~/.kube/config stays as it is\n"
    );
    assert_eq!(pinned(&world), before);
    assert!(config(&world).contains(ADMINS));
    let said = add(&world, ADMINS, &["--no-verify"]);
    said.assert_ok();
    assert!(
        said.stdout.starts_with("✓ the profile prod in ~/.config/rolecall/config.toml is up to date\n"),
        "{said:?}"
    );
    assert_eq!(pinned(&world), before);
    world.token().assert_ok();

    // Of another cluster nobody knows the pin.
    let before = config(&world);
    let line = one_line(&add(&world, ADMINS, &["--no-verify", "--replace", "--cluster", "other"]), 1);
    assert!(line.starts_with("rolecall: prod: the API server of prod in eu-west-1 is pinned"), "{line}");
    assert!(line.contains("Nothing was written. Give --server and --certificate-authority, or leave"), "{line}");
    assert_eq!(config(&world), before);
}

#[test]
fn a_replaced_profile_is_said_to_be_replaced() {
    let world = World::added();
    world.aws.add_role(Role::new(ADMINS).trusts(&world.user.arn));
    let said = add(&world, ADMINS, &["--replace"]);
    said.assert_ok();
    let replaced = "✓ replaced the profile prod in ~/.config/rolecall/config.toml";
    assert_eq!(said.stdout.lines().nth(2), Some(replaced), "{}", said.stdout);
    let again = add(&world, ADMINS, &["--replace"]);
    assert!(!again.stdout.contains("replaced"), "nothing changed: {}", again.stdout);
}

#[test]
fn without_a_server_there_is_a_profile_and_no_context() {
    let world = World::bare();
    let kubeconfig = world.sandbox.home().join("my kube");
    let file = kubeconfig.display().to_string();
    let line = one_line(&add(&world, ROLE, &["--no-verify", "--use"]), 2);
    assert!(line.starts_with("rolecall: --use needs a context"), "{line}");
    assert!(!world.config_path().exists());
    let said = add(&world, ROLE, &["--no-verify", "--kubeconfig", &file]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        format!(
            "✓ added the profile prod to ~/.config/rolecall/config.toml\n! no context was written: give --server \
             and --certificate-authority, or run later: rolecall kubeconfig prod --kubeconfig '{file}'\n"
        )
    );
    assert_eq!(said.stderr, "");
    assert!(!kubeconfig.exists());
    let shown = world.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains("  server        not pinned\n"), "{}", shown.stdout);
}

#[test]
fn a_recommended_command_names_the_same_kubeconfig() {
    let world = World::bare();
    let file = world.sandbox.home().join("k.yaml").display().to_string();
    let said = add(&world, ROLE, &["--kubeconfig", &file]);
    said.assert_ok();
    assert!(said.stdout.contains(&format!("or: rolecall use prod --kubeconfig {file}\n")), "{}", said.stdout);
    world.rolecall(&["use", "prod", "--kubeconfig", &file]).assert_ok();
}

#[test]
fn a_session_shorter_than_asked_for_is_told() {
    let world = World::bare();
    world.aws.update_role(ROLE, |role| role.max_session_duration(Duration::from_hours(1)));
    let said = add(&world, ROLE, &["--duration", "12h"]);
    said.assert_ok();
    let first = said.stdout.lines().next().unwrap();
    assert!(first.ends_with(" (1 h; AWS grants less than the requested 12 h)"), "{first}");
    world.token().assert_ok();
    let shown = world.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains("  duration      12 h (AWS grants no more than 1 h)\n"), "{}", shown.stdout);
}

#[test]
fn a_failure_before_writing_says_once_that_nothing_was_written() {
    let world = World::bare();
    let told = |line: String| {
        assert_eq!(line.matches("othing was").count() + line.matches("left as it was").count(), 1, "{line}");
        assert!(line.contains(". Nothing was written. ") || line.ends_with(". Nothing was written."), "{line}");
    };
    world.aws.deny(ROLE, "eks:DescribeCluster");
    world.aws.deny(&world.user.arn, "eks:DescribeCluster");
    let said = world.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.trim_end().ends_with(", or give --server and --certificate-authority"), "{}", said.stderr);
    told(said.stderr.trim_end().to_owned());
    world.aws.remove_role(ROLE);
    told(one_line(&world.rolecall(&ADD), 1));
    told(one_line(&add(&world, ROLE, &["--no-verify", "--via", "arn:aws-cn:iam::111122223333:role/x"]), 1));
    let path = world.sandbox.kubeconfig();
    let theirs = "contexts:\n- name: prod\n  context: {cluster: x, user: y}\n";
    world.sandbox.write(path.strip_prefix(world.sandbox.root()).unwrap(), theirs);
    told(one_line(&world.rolecall(&ADD), 1));
    world.write_config("[profiles.prod\n");
    told(one_line(&world.rolecall(&ADD), 1));
}
