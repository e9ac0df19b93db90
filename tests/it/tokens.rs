//! Tokens: who gets them, how long they are good for, when they change.

use std::time::Duration;

use rolecall_harness::{Fault, Gate, Op, Role};

use crate::world::{ROLE, World};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_token_lets_its_holder_in() {
    let world = World::new();
    let credential = world.good_token("prod");
    assert_eq!(credential.api_version(), "client.authentication.k8s.io/v1");
    assert_eq!(credential.life(world.clock.now()), 14 * MINUTE);
    let kubeconfig = world.sandbox.write("home/token.yaml", &world.api.kubeconfig(credential.token()));
    if let Some(mut kubectl) = world.sandbox.kubectl() {
        let said = world.sandbox.run(kubectl.arg("--kubeconfig").arg(kubeconfig).args(["auth", "whoami"]));
        said.assert_ok();
        assert!(said.stdout.contains("dev:dev-laptop") || said.stdout.contains("dev:dev@laptop"), "{}", said.stdout);
    }
}

#[test]
fn row_42_the_api_version_is_the_one_that_was_asked_for() {
    let world = World::new();
    let asked = |info: Option<&str>| {
        let mut command = world.token_command("prod");
        match info {
            Some(info) => command.env("KUBERNETES_EXEC_INFO", info),
            None => command.env_remove("KUBERNETES_EXEC_INFO"),
        };
        let said = world.sandbox.run(&mut command);
        said.assert_ok();
        said.json()["apiVersion"].as_str().unwrap().to_owned()
    };
    let info = |version| {
        format!(r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/{version}","spec":{{}}}}"#)
    };
    assert_eq!(asked(Some(&info("v1"))), "client.authentication.k8s.io/v1");
    assert_eq!(asked(Some(&info("v1beta1"))), "client.authentication.k8s.io/v1beta1");
    assert_eq!(asked(None), "client.authentication.k8s.io/v1");
}

#[test]
fn the_same_token_for_five_minutes_and_the_same_session_for_longer() {
    let world = World::new();
    let first = world.good_token("prod");
    world.clock.advance(4 * MINUTE);
    assert_eq!(world.good_token("prod").token(), first.token());
    world.clock.advance(MINUTE);
    let second = world.good_token("prod");
    assert_ne!(second.token(), first.token());
    assert_eq!(second.life(world.clock.now()), 14 * MINUTE);
    assert_eq!(world.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn no_token_is_signed_with_less_than_fifteen_minutes_left() {
    let world = World::unkept();
    world.good_token("prod");
    world.clock.advance(45 * MINUTE);
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), 1, "fifteen minutes are enough");
    world.clock.advance(5 * MINUTE);
    assert_eq!(world.good_token("prod").life(world.clock.now()), 14 * MINUTE);
    assert_eq!(world.aws.calls(Op::AssumeRole), 2);
}

#[test]
fn row_84_a_token_of_a_session_with_ten_minutes_left_ends_within_nine() {
    let world = World::unkept();
    world.good_token("prod");
    world.clock.advance(50 * MINUTE);
    world.aws.outage(&Fault::Status(503));
    let life = world.good_token("prod").life(world.clock.now());
    assert!(life <= 9 * MINUTE, "{life:?}");
    assert!(life > 8 * MINUTE, "{life:?}");
    // Even where STS itself gives no more than ten minutes.
    world.aws.clear_faults();
    world.aws.fault(Op::AssumeRole, Fault::ExpiresIn(10 * MINUTE).forever());
    world.clock.advance(11 * MINUTE);
    assert_eq!(world.good_token("prod").life(world.clock.now()), 9 * MINUTE);
}

#[test]
fn row_61_after_the_real_end_there_is_an_error_and_no_stale_token() {
    let world = World::unkept();
    world.good_token("prod");
    world.aws.outage(&Fault::Status(503));
    world.clock.advance(59 * MINUTE);
    world.good_token("prod");
    world.clock.advance(MINUTE);
    let line = world.token_error("prod", 1);
    assert!(line.starts_with("rolecall: prod: STS cannot be reached"), "{line}");
    world.aws.clear_faults();
    world.clock.advance(Duration::from_secs(10));
    world.good_token("prod");
}

#[test]
fn row_72_many_callers_are_one_call() {
    let world = World::new();
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..50).map(|_| scope.spawn(|| world.good_token("prod").token().to_owned())).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(world.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn cloudtrail_names_the_person_and_sts_is_the_clusters_own() {
    let world = World::new();
    world.good_token("prod");
    let call = &world.aws.log_of(Op::AssumeRole)[0];
    assert_eq!(call.session_name.as_deref(), Some("dev@laptop"));
    assert_eq!(call.role_arn.as_deref(), Some(ROLE));
    assert_eq!(call.region.as_deref(), Some("eu-west-1"));
    assert_eq!(call.params.get("DurationSeconds").map(String::as_str), Some("3600"));
}

#[test]
fn row_63_while_sts_is_silent_the_good_session_serves() {
    let world = World::unkept();
    world.good_token("prod");
    world.clock.advance(46 * MINUTE);
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    let life = world.good_token("prod").life(world.clock.now());
    assert!(life <= 13 * MINUTE, "{life:?}");
    gate.open();
}

#[test]
fn row_73_never_more_than_six_calls_of_one_endpoint_are_under_way() {
    let world = World::new();
    let mut config = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for n in 0..16 {
        let role = format!("arn:aws:iam::111122223333:role/r{n}");
        world.aws.add_role(Role::new(&role).trusts(&world.user.arn));
        config.extend([format!(
            "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n"
        )]);
    }
    world.configure(&config);
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|n| {
                let world = &world;
                scope.spawn(move || world.good_token(&format!("p{n}")).life(world.clock.now()))
            })
            .collect();
        world.aws.wait_for_calls(Op::AssumeRole, 6, Duration::from_secs(20));
        gate.open();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 14 * MINUTE);
        }
    });
    assert_eq!((world.aws.calls(Op::AssumeRole), world.aws.peak(Op::AssumeRole)), (16, 6));
}

#[test]
fn row_83_a_process_that_asks_again_gets_another_signature_and_then_another_session() {
    let world = World::new();
    let mut seen = vec![world.token_again("prod").token().to_owned()];
    for _ in 0..5 {
        world.clock.advance(Duration::from_millis(100));
        let token = world.token_again("prod").token().to_owned();
        assert!(!seen.contains(&token), "the same token would be refused again");
        seen.push(token);
    }
    assert_eq!(world.aws.calls(Op::AssumeRole), 2, "one more session, on suspicion");
    // Somebody else has not been refused: they get what was minted last.
    assert_eq!(world.good_token("prod").token(), seen.last().unwrap());
    // And a minute later the next suspicion is worth another session.
    world.clock.advance(MINUTE);
    for _ in 0..3 {
        world.clock.advance(Duration::from_millis(100));
        world.token_again("prod");
    }
    assert_eq!(world.aws.calls(Op::AssumeRole), 3);
}
