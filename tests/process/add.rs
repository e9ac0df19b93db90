//! `rolecall add`: its output, the files that it writes, and that it writes nothing after a failure.

use std::fs;

use rolecall_harness::{Fault, Op, Role};

use crate::fixture::{ADD, ADMINS, Fixture, REGION, ROLE};

fn add_with(extra: &[&str]) -> Vec<String> {
    ADD.iter().chain(extra).map(ToString::to_string).collect()
}

fn run(fixture: &Fixture, arguments: &[String]) -> rolecall_harness::Output {
    fixture.sandbox.run(fixture.sandbox.rolecall().args(arguments))
}

#[test]
fn first_profile_prints_checks_and_next_commands() {
    let fixture = Fixture::bare();
    let said = fixture.rolecall(&ADD);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    let user = fixture.sandbox.run(fixture.sandbox.command("id").arg("-un")).stdout.trim().to_owned();
    assert!(lines[0].starts_with(&format!("✓ assumed {ROLE} as {user}@{host}, valid until ")), "{}", lines[0]);
    assert!(lines[0].ends_with(" (1 h)"), "{}", lines[0]);
    assert_eq!(lines[1], "✓ found cluster prod in eu-west-1 (Kubernetes 1.33, endpoint pinned)");
    assert_eq!(lines[2], "✓ added context prod to ~/.kube/config (you have no current context)");
    assert!(lines[3].starts_with("✓ the cluster knows you as "), "{}", lines[3]);
    assert_eq!(lines[4], "  try: kubectl --context prod get pods       or: rolecall use prod");
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(config.contains(&format!("server = \"{}\"", fixture.api.url())), "{config}");
    assert!(config.contains("ca_sha256 = \""), "{config}");
    let kubeconfig = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    for line in [
        "interactiveMode: IfAvailable",
        "provideClusterInfo: true",
        "apiVersion: client.authentication.k8s.io/v1",
        "installHint:",
    ] {
        assert!(kubeconfig.contains(line), "{line}: {kubeconfig}");
    }
    // The first kubectl uses the session that `add` created.
    fixture.token().assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1);
}

#[test]
fn add_repeated_keeps_files_byte_identical() {
    let fixture = Fixture::added();
    let read = || (fs::read(fixture.config_path()).unwrap(), fs::read(fixture.sandbox.kubeconfig()).unwrap());
    let before = read();
    fixture.rolecall(&ADD).assert_ok();
    assert_eq!(read(), before);
    let folder = fixture.sandbox.kubeconfig().parent().unwrap().to_owned();
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("lock")), "{names:?}");
}

#[test]
fn add_malformed_argument_is_usage_error_naming_option() {
    let fixture = Fixture::bare();
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
        let said = fixture.rolecall(&arguments);
        said.assert_code(2).assert_stdout_empty();
        assert!(said.stderr.contains(expected), "{arguments:?}: {}", said.stderr);
    }
    assert!(!fixture.config_path().exists());
    assert!(!fixture.sandbox.kubeconfig().exists());
}

#[test]
fn add_rejected_by_daemon_writes_nothing() {
    let fixture = Fixture::bare();
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
        let said = run(&fixture, &arguments);
        assert!([Some(1), Some(2)].contains(&said.code()), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(expected), "{arguments:?}: {}", said.stderr);
        assert!(!fixture.config_path().exists(), "{arguments:?}");
        assert!(!fixture.sandbox.kubeconfig().exists(), "{arguments:?}");
    }
}

#[test]
fn add_rejected_by_aws_writes_nothing() {
    let fixture = Fixture::bare();
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(1));
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("rolecall: prod: AWS denied AssumeRole"), "{}", said.stderr);
    assert!(!fixture.config_path().exists() && !fixture.sandbox.kubeconfig().exists());
    // After the cause is fixed, `add` works immediately: the failure is not remembered.
    fixture.rolecall(&ADD).assert_ok();
}

#[test]
fn add_without_describe_permission_names_options() {
    let fixture = Fixture::bare();
    fixture.aws.deny(ROLE, "eks:DescribeCluster");
    fixture.aws.deny(&fixture.user.arn, "eks:DescribeCluster");
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("--certificate-authority"), "{}", said.stderr);
    assert!(!fixture.config_path().exists());
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem());
    let (url, ca) = (fixture.api.url(), ca.display().to_string());
    run(&fixture, &add_with(&["--server", &url, "--certificate-authority", &ca])).assert_ok();
    fixture.token().assert_ok();
}

#[test]
fn add_offline_writes_given_server_and_ca() {
    let fixture = Fixture::bare();
    fixture.aws.outage(&Fault::Reset);
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem());
    let (url, ca) = (fixture.api.url(), ca.display().to_string());
    run(&fixture, &add_with(&["--no-verify", "--server", &url, "--certificate-authority", &ca])).assert_ok();
    assert!(fixture.aws.log().is_empty());
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains(&url));
    fixture.aws.clear_faults();
    fixture.token().assert_ok();
}

#[test]
fn add_different_profile_requires_replace() {
    let fixture = Fixture::added();
    let before = fs::read(fixture.config_path()).unwrap();
    fixture.aws.add_role(Role::new(ADMINS).trusts(&fixture.user.arn));
    let other = ["add", "prod", "--region", REGION, "--role-arn", ADMINS, "--aws-profile", "work"];
    let said = fixture.rolecall(&other);
    said.assert_code(1);
    assert!(said.stderr.contains("--replace"), "{}", said.stderr);
    assert_eq!(fs::read(fixture.config_path()).unwrap(), before);
    let replacing: Vec<&str> = other.into_iter().chain(["--replace"]).collect();
    fixture.rolecall(&replacing).assert_ok();
    fixture.token().assert_ok();
    let last = fixture.aws.log_of(Op::AssumeRole).pop().unwrap();
    assert_eq!(last.role_arn.as_deref(), Some(ADMINS));
}

#[test]
fn add_ten_in_parallel_keeps_all_profiles() {
    let fixture = Fixture::bare();
    std::thread::scope(|scope| {
        let adding: Vec<_> = (0..10)
            .map(|n| {
                let fixture = &fixture;
                scope.spawn(move || {
                    let name = format!("p{n}");
                    fixture.rolecall(&[
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
    let said = fixture.rolecall(&["list", "-q"]);
    assert_eq!(said.stdout.lines().count(), 10, "{}", said.stdout);
    let kubeconfig = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    for n in 0..10 {
        assert!(kubeconfig.contains(&format!("name: rolecall-p{n}")), "p{n}");
    }
}

#[test]
fn add_with_every_option_reaches_assume_role_and_token() {
    let fixture = Fixture::bare();
    fixture.aws.update_role(ROLE, |role| role.allows_tag_session().allows_source_identity());
    let policy =
        fixture.sandbox.write("home/policy.json", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n}\n");
    let endpoint = fixture.aws.endpoint();
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
    run(&fixture, &everything).assert_ok();
    let call = fixture.aws.log_of(Op::AssumeRole).remove(0);
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
    fixture.token().assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1, "what add got is there for the first kubectl");
    let shown = fixture.rolecall(&["show", "prod"]);
    let sts = format!("  STS              {endpoint} (tokens: FIPS, dual-stack)\n");
    assert!(shown.stdout.contains(&sts) && shown.stdout.contains("team=platform (transitive)"), "{}", shown.stdout);
    // Repeating the command changes nothing; a different command names every difference.
    run(&fixture, &everything).assert_ok();
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains("tags is stage=prod, team=platform and would be (not set)"), "{}", said.stderr);
    let mut broken = add_with(&["--replace", "--policy"]);
    broken.push(fixture.sandbox.write("home/broken.json", "{ hunter").display().to_string());
    let said = run(&fixture, &broken);
    said.assert_code(2);
    assert!(said.stderr.contains("is not JSON: line 1") && !said.stderr.contains("hunter"), "{}", said.stderr);
}
