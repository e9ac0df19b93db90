//! `rolecall add` during another change of the configuration, or with another configuration than the daemon's.

use std::fs;

use rolecall_harness::{Fault, Gate, Op, Output, Role};

use crate::fixture::{ADD, ADMINS, Fixture, HANG_GUARD, REGION, ROLE, error_line};

fn add(fixture: &Fixture, role: &str) -> Output {
    fixture.rolecall(&["add", "prod", "--region", REGION, "--role-arn", role, "--aws-profile", "work"])
}

#[test]
fn add_same_name_concurrently_rejects_the_second() {
    let fixture = Fixture::bare();
    fixture.aws.add_role(Role::new(ADMINS).trusts(&fixture.user.arn));
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(2));
    let said = std::thread::scope(|scope| {
        let adding = [ROLE, ADMINS].map(|role| (role, scope.spawn(|| add(&fixture, role))));
        fixture.aws.wait_for_calls(Op::AssumeRole, 2, HANG_GUARD);
        gate.open();
        adding.map(|(role, adding)| (role, adding.join().unwrap()))
    });
    let [(first, _), (_, second)] = match &said {
        [a, b] if a.1.code() == Some(0) => [a, b],
        [a, b] => [b, a],
    };
    second.assert_code(1);
    assert!(second.stderr.contains("the profile prod exists, and it differs: role_arn is"), "{second:?}");
    assert!(second.stderr.contains(". Nothing was written. ") && second.stderr.contains("--replace"), "{second:?}");
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(config.contains(first), "{config}");
    fixture.token().assert_ok();
}

#[test]
fn add_keeps_config_edited_during_aws_call() {
    let fixture = Fixture::bare();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    let by_hand = format!(
        "[sources.work]\naws_profile = \"work\"\n\n[profiles.prod]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
         source = \"work\"\nrole_arn = \"{ADMINS}\"\n"
    );
    let said = std::thread::scope(|scope| {
        let adding = scope.spawn(|| add(&fixture, ROLE));
        fixture.aws.wait_for_calls(Op::AssumeRole, 1, HANG_GUARD);
        fixture.write_config(&by_hand);
        gate.open();
        adding.join().unwrap()
    });
    said.assert_code(1);
    assert!(said.stderr.contains("and it differs: role_arn is") && said.stderr.contains("--replace"), "{said:?}");
    assert_eq!(fs::read_to_string(fixture.config_path()).unwrap(), rolecall_harness::with_entry_keys(&by_hand));
    assert!(!fixture.sandbox.kubeconfig().exists());
}

#[test]
fn add_with_config_unused_by_agent_writes_nothing() {
    let fixture = Fixture::configured();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let theirs = fs::read_to_string(fixture.config_path()).unwrap();
    let path = fixture.sandbox.write("home/other.toml", &theirs);
    let with = |arguments: &[&str]| {
        fixture.sandbox.run(fixture.sandbox.rolecall().args(arguments).env("ROLECALL_CONFIG", &path))
    };
    let other = ["add", "other", "--cluster", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"];
    for arguments in [&other[..], &["remove", "prod"], &["kubeconfig", "prod", "--repin"]] {
        let line = error_line(&with(arguments), 1);
        let both = [&fixture.config_path(), &path].map(|path| path.display().to_string());
        assert!(both.iter().all(|path| line.contains(path)), "{line}");
        assert!(line.ends_with("Unset ROLECALL_CONFIG, or make the agent use yours: rolecall agent restart"), "{line}");
        assert_eq!(line.matches("Nothing was").count(), 1, "{line}");
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        assert!(!fixture.sandbox.kubeconfig().exists());
    }
    // The suggested command works.
    with(&["agent", "restart"]).assert_ok();
    with(&other).assert_ok();
    with(&["refresh", "other"]).assert_ok();
    let line = error_line(&fixture.rolecall(&ADD), 1);
    assert!(line.contains("Set ROLECALL_CONFIG to the agent's file, or make the agent use yours"), "{line}");
    // `remove` needs no agent.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    with(&["remove", "other"]).assert_ok();
}
