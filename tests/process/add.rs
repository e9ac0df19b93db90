//! `rolecall add`: what a person sees, what is written, and that nothing is when something is wrong.

use std::fs;

use rolecall_harness::{Fault, Op};

use crate::world::{ADD, REGION, ROLE, World};

fn add_with(extra: &[&str]) -> Vec<String> {
    ADD.iter().chain(extra).map(ToString::to_string).collect()
}

fn run(world: &World, arguments: &[String]) -> rolecall_harness::Output {
    world.sandbox.run(world.sandbox.rolecall().args(arguments))
}

#[test]
fn the_transcript_of_the_first_profile() {
    let world = World::bare();
    let said = world.rolecall(&ADD);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    let user = world.sandbox.run(world.sandbox.command("id").arg("-un")).stdout.trim().to_owned();
    assert!(lines[0].starts_with(&format!("✓ assumed {ROLE} as {user}@{host}, valid until ")), "{}", lines[0]);
    assert!(lines[0].ends_with(" (1 h)"), "{}", lines[0]);
    assert_eq!(lines[1], "✓ found cluster prod in eu-west-1 (Kubernetes 1.33, endpoint pinned)");
    assert_eq!(lines[2], "✓ added context prod to ~/.kube/config (you have no current context)");
    assert_eq!(lines[3], "  try: kubectl --context prod get pods       or: rolecall use prod");
    let config = fs::read_to_string(world.config_path()).unwrap();
    assert!(config.contains(&format!("server = \"{}\"", world.api.url())), "{config}");
    assert!(config.contains("ca_sha256 = \""), "{config}");
    let kubeconfig = fs::read_to_string(world.sandbox.kubeconfig()).unwrap();
    for line in [
        "interactiveMode: IfAvailable",
        "provideClusterInfo: true",
        "apiVersion: client.authentication.k8s.io/v1",
        "installHint:",
    ] {
        assert!(kubeconfig.contains(line), "{line}: {kubeconfig}");
    }
    // What was learned on the way is there for the first kubectl.
    world.token().assert_ok();
    assert_eq!(world.assume_role_calls(), 1);
}

#[test]
fn a_second_time_changes_no_byte() {
    let world = World::added();
    let read = || (fs::read(world.config_path()).unwrap(), fs::read(world.sandbox.kubeconfig()).unwrap());
    let before = read();
    world.rolecall(&ADD).assert_ok();
    assert_eq!(read(), before);
    let folder = world.sandbox.kubeconfig().parent().unwrap().to_owned();
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("lock")), "{names:?}");
}

#[test]
fn malformed_input_is_a_usage_error_that_names_the_option() {
    let world = World::bare();
    for (arguments, expected) in [
        (vec!["add", "pr/od", "--region", REGION], "may hold only letters"),
        (vec!["add", "prod", "--region", "Europe"], "must look like eu-west-1"),
        (vec!["add", "prod"], "--region"),
        (
            vec!["add", "prod", "--region", REGION, "--role-arn", "developers"],
            "must look like arn:aws:iam::111122223333:role/NAME",
        ),
        (vec!["add", "prod", "--region", REGION, "--cluster", "a b"], "may hold only letters"),
        (vec!["add", "prod", "--region", REGION, "--external-id", "x"], "2 to 1,224"),
        (vec!["add", "prod", "--region", REGION, "--typo"], "--typo"),
        (vec!["adds"], "add"),
    ] {
        let said = world.rolecall(&arguments);
        said.assert_code(2).assert_stdout_empty();
        assert!(said.stderr.contains(expected), "{arguments:?}: {}", said.stderr);
    }
    assert!(!world.config_path().exists());
    assert!(!world.sandbox.kubeconfig().exists());
}

#[test]
fn what_the_daemon_refuses_is_not_written() {
    let world = World::bare();
    for (arguments, expected) in [
        (add_with(&["--duration", "13h"]), "a session lasts from 15"),
        (add_with(&["--duration", "soon"]), "duration"),
        (add_with(&["--session-name", "a b"]), "session name"),
        (
            ["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "wrok"]
                .map(str::to_owned)
                .to_vec(),
            "Did you mean \"work\"?",
        ),
        (
            ["add", "prod", "--region", "cn-north-1", "--role-arn", ROLE, "--aws-profile", "work"]
                .map(str::to_owned)
                .to_vec(),
            "partition",
        ),
        (
            ["add", "prdo", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"]
                .map(str::to_owned)
                .to_vec(),
            "Did you mean \"prod\"?",
        ),
    ] {
        let said = run(&world, &arguments);
        assert!([Some(1), Some(2)].contains(&said.code()), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(expected), "{arguments:?}: {}", said.stderr);
        assert!(!world.config_path().exists(), "{arguments:?}");
        assert!(!world.sandbox.kubeconfig().exists(), "{arguments:?}");
    }
}

#[test]
fn what_aws_refuses_is_not_written() {
    let world = World::bare();
    world.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(1));
    let said = world.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("rolecall: prod: AWS denied AssumeRole"), "{}", said.stderr);
    assert!(!world.config_path().exists() && !world.sandbox.kubeconfig().exists());
    // Mended, it works at once: what failed before is not held against it.
    world.rolecall(&ADD).assert_ok();
}

#[test]
fn a_role_that_may_not_describe_the_cluster_says_what_to_give() {
    let world = World::bare();
    world.aws.deny(ROLE, "eks:DescribeCluster");
    world.aws.deny(&world.user.arn, "eks:DescribeCluster");
    let said = world.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("--certificate-authority"), "{}", said.stderr);
    assert!(!world.config_path().exists());
    let ca = world.sandbox.write("home/ca.pem", world.api.ca_pem());
    let (url, ca) = (world.api.url(), ca.display().to_string());
    run(&world, &add_with(&["--server", &url, "--certificate-authority", &ca])).assert_ok();
    world.token().assert_ok();
}

#[test]
fn offline_it_writes_what_it_is_given() {
    let world = World::bare();
    world.aws.outage(&Fault::Reset);
    let ca = world.sandbox.write("home/ca.pem", world.api.ca_pem());
    let (url, ca) = (world.api.url(), ca.display().to_string());
    run(&world, &add_with(&["--no-verify", "--server", &url, "--certificate-authority", &ca])).assert_ok();
    assert!(world.aws.log().is_empty());
    assert!(fs::read_to_string(world.sandbox.kubeconfig()).unwrap().contains(&url));
    world.aws.clear_faults();
    world.token().assert_ok();
}

#[test]
fn another_profile_of_that_name_is_not_replaced_unasked() {
    let world = World::added();
    let before = fs::read(world.config_path()).unwrap();
    world.aws.add_role(rolecall_harness::Role::new("arn:aws:iam::111122223333:role/admins").trusts(&world.user.arn));
    let other = [
        "add",
        "prod",
        "--region",
        REGION,
        "--role-arn",
        "arn:aws:iam::111122223333:role/admins",
        "--aws-profile",
        "work",
    ];
    let said = world.rolecall(&other);
    said.assert_code(1);
    assert!(said.stderr.contains("--replace"), "{}", said.stderr);
    assert_eq!(fs::read(world.config_path()).unwrap(), before);
    let replacing: Vec<&str> = other.into_iter().chain(["--replace"]).collect();
    world.rolecall(&replacing).assert_ok();
    world.token().assert_ok();
    let last = world.aws.log_of(Op::AssumeRole).pop().unwrap();
    assert_eq!(last.role_arn.as_deref(), Some("arn:aws:iam::111122223333:role/admins"));
}

#[test]
fn many_at_once_lose_nothing() {
    let world = World::bare();
    std::thread::scope(|scope| {
        let adding: Vec<_> = (0..10)
            .map(|n| {
                let world = &world;
                scope.spawn(move || {
                    let name = format!("p{n}");
                    world.rolecall(&[
                        "add",
                        &name,
                        "--cluster",
                        "prod",
                        "--region",
                        REGION,
                        "--role-arn",
                        ROLE,
                        "--aws-profile",
                        "work",
                    ])
                })
            })
            .collect();
        for adding in adding {
            adding.join().unwrap().assert_ok();
        }
    });
    let said = world.rolecall(&["list", "-q"]);
    assert_eq!(said.stdout.lines().count(), 10, "{}", said.stdout);
    let kubeconfig = fs::read_to_string(world.sandbox.kubeconfig()).unwrap();
    for n in 0..10 {
        assert!(kubeconfig.contains(&format!("name: rolecall-p{n}")), "p{n}");
    }
}

#[test]
fn a_profile_with_everything_goes_from_its_options_to_a_token() {
    let world = World::bare();
    world.aws.update_role(ROLE, |role| role.allows_tag_session().allows_source_identity());
    let policy = world.sandbox.write("home/policy.json", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n}\n");
    let endpoint = world.aws.endpoint();
    let everything = add_with(&[
        "--tag",
        "team=platform",
        "--tag",
        "stage=prod",
        "--transitive-tag",
        "team",
        "--source-identity",
        "dev@example.com",
        "--policy-arn",
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "--policy",
        policy.to_str().unwrap(),
        "--sts-endpoint",
        &endpoint,
        "--fips",
        "--dual-stack",
        "--session-name",
        "{profile}-{source_session}",
    ]);
    run(&world, &everything).assert_ok();
    let call = world.aws.log_of(Op::AssumeRole).remove(0);
    assert_eq!(call.session_name.as_deref(), Some("prod-dev"));
    for (key, value) in [
        ("Tags.member.2.Value", "platform"),
        ("TransitiveTagKeys.member.1", "team"),
        ("SourceIdentity", "dev@example.com"),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("Policy", r#"{"Statement":[],"Version":"2012-10-17"}"#),
    ] {
        assert_eq!(call.params.get(key).map(String::as_str), Some(value), "{key}");
    }
    world.token().assert_ok();
    assert_eq!(world.assume_role_calls(), 1, "what add got is there for the first kubectl");
    let shown = world.rolecall(&["show", "prod"]);
    let sts = format!("  STS              {endpoint} (tokens: FIPS, dual-stack)\n");
    assert!(shown.stdout.contains(&sts) && shown.stdout.contains("team=platform (transitive)"), "{}", shown.stdout);
    // Again, it is the same; otherwise, every difference is named.
    run(&world, &everything).assert_ok();
    let said = world.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("tags is stage=prod, team=platform and would be (not set)"), "{}", said.stderr);
    let mut broken = add_with(&["--replace", "--policy"]);
    broken.push(world.sandbox.write("home/broken.json", "{ hunter").display().to_string());
    let said = run(&world, &broken);
    said.assert_code(2);
    assert!(said.stderr.contains("is not JSON: line 1") && !said.stderr.contains("hunter"), "{}", said.stderr);
}
