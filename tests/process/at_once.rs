//! `rolecall add` while somebody else writes the configuration, or while the daemon goes by another one.

use std::fs;
use std::time::Duration;

use rolecall_harness::{Fault, Gate, Op, Output, Role};

use crate::world::{ADD, REGION, ROLE, World, one_line};

const ADMINS: &str = "arn:aws:iam::111122223333:role/admins";
const WAIT: Duration = Duration::from_secs(20);

fn add(world: &World, role: &str) -> Output {
    world.rolecall(&["add", "prod", "--region", REGION, "--role-arn", role, "--aws-profile", "work"])
}

#[test]
fn of_two_who_add_one_name_differently_one_is_refused() {
    let world = World::bare();
    world.aws.add_role(Role::new(ADMINS).trusts(&world.user.arn));
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(2));
    let said = std::thread::scope(|scope| {
        let adding = [ROLE, ADMINS].map(|role| (role, scope.spawn(|| add(&world, role))));
        world.aws.wait_for_calls(Op::AssumeRole, 2, WAIT);
        gate.open();
        adding.map(|(role, adding)| (role, adding.join().unwrap()))
    });
    let [(first, _), (_, second)] = match &said {
        [a, b] if a.1.code() == Some(0) => [a, b],
        [a, b] => [b, a],
    };
    second.assert_code(1);
    assert!(second.stderr.contains("there is a profile prod already, and it differs: role_arn is"), "{second:?}");
    assert!(second.stderr.contains(". Nothing was written. ") && second.stderr.contains("--replace"), "{second:?}");
    let config = fs::read_to_string(world.config_path()).unwrap();
    assert!(config.contains(first), "{config}");
    world.token().assert_ok();
}

#[test]
fn what_was_written_by_hand_while_aws_was_asked_stays() {
    let world = World::bare();
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    let by_hand = format!(
        "[sources.work]\naws_profile = \"work\"\n\n[profiles.prod]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
         source = \"work\"\nrole_arn = \"{ADMINS}\"\n"
    );
    let said = std::thread::scope(|scope| {
        let adding = scope.spawn(|| add(&world, ROLE));
        world.aws.wait_for_calls(Op::AssumeRole, 1, WAIT);
        world.write_config(&by_hand);
        gate.open();
        adding.join().unwrap()
    });
    said.assert_code(1);
    assert!(said.stderr.contains("and it differs: role_arn is") && said.stderr.contains("--replace"), "{said:?}");
    assert_eq!(fs::read_to_string(world.config_path()).unwrap(), by_hand);
    assert!(!world.sandbox.kubeconfig().exists());
}

#[test]
fn a_configuration_that_the_agent_does_not_go_by_is_not_written() {
    let world = World::configured();
    world.rolecall(&["agent", "start"]).assert_ok();
    let theirs = fs::read_to_string(world.config_path()).unwrap();
    let path = world.sandbox.write("home/other.toml", &theirs);
    let with =
        |arguments: &[&str]| world.sandbox.run(world.sandbox.rolecall().args(arguments).env("ROLECALL_CONFIG", &path));
    let other = ["add", "other", "--cluster", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"];
    for arguments in [&other[..], &["remove", "prod"], &["kubeconfig", "prod", "--repin"]] {
        let line = one_line(&with(arguments), 1);
        let both = [&world.config_path(), &path].map(|path| path.display().to_string());
        assert!(both.iter().all(|path| line.contains(path)), "{line}");
        assert!(line.ends_with("Unset ROLECALL_CONFIG, or make the agent use yours: rolecall agent restart"), "{line}");
        assert_eq!(line.matches("Nothing was").count(), 1, "{line}");
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        assert!(!world.sandbox.kubeconfig().exists());
    }
    // As it says.
    with(&["agent", "restart"]).assert_ok();
    with(&other).assert_ok();
    with(&["token", "other"]).assert_ok();
    let line = one_line(&world.rolecall(&ADD), 1);
    assert!(line.contains("Set ROLECALL_CONFIG to the agent's file, or make the agent use yours"), "{line}");
    // Who takes a profile away needs no agent.
    world.rolecall(&["agent", "stop"]).assert_ok();
    with(&["remove", "other"]).assert_ok();
}
