//! Tokens: their content, their expiry, and when they change.

use std::time::Duration;

use rolecall_harness::{Fault, Gate, Op, Role};

use crate::fixture::{Fixture, ROLE};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn token_is_accepted_by_the_cluster() {
    let fixture = Fixture::new();
    let credential = fixture.good_token("prod");
    assert_eq!(credential.api_version(), "client.authentication.k8s.io/v1");
    assert_eq!(credential.life(fixture.clock.now()), 14 * MINUTE);
    let kubeconfig = fixture.sandbox.write("home/token.yaml", &fixture.api.kubeconfig(credential.token()));
    if let Some(mut kubectl) = fixture.sandbox.kubectl() {
        let said = fixture.sandbox.run(kubectl.arg("--kubeconfig").arg(kubeconfig).args(["auth", "whoami"]));
        said.assert_ok();
        assert!(said.stdout.contains("dev:dev-laptop") || said.stdout.contains("dev:dev@laptop"), "{}", said.stdout);
    }
}

/// Fault matrix row 42.
#[test]
fn exec_api_version_is_the_requested_one() {
    let fixture = Fixture::new();
    let asked = |info: Option<&str>| {
        let mut command = fixture.token_command("prod");
        match info {
            Some(info) => command.env("KUBERNETES_EXEC_INFO", info),
            None => command.env_remove("KUBERNETES_EXEC_INFO"),
        };
        let said = fixture.sandbox.run(&mut command);
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
fn token_is_reused_for_5_minutes_and_session_for_longer() {
    let fixture = Fixture::new();
    let first = fixture.good_token("prod");
    fixture.clock.advance(4 * MINUTE);
    assert_eq!(fixture.good_token("prod").token(), first.token());
    fixture.clock.advance(MINUTE);
    let second = fixture.good_token("prod");
    assert_ne!(second.token(), first.token());
    assert_eq!(second.life(fixture.clock.now()), 14 * MINUTE);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn token_is_never_signed_below_16_minutes_left() {
    let fixture = Fixture::unkept();
    fixture.good_token("prod");
    fixture.clock.advance(44 * MINUTE);
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1, "a session with 16 min left is fresh");
    fixture.clock.advance(6 * MINUTE);
    assert_eq!(fixture.good_token("prod").life(fixture.clock.now()), 14 * MINUTE);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2);
}

/// Fault matrix row 84.
#[test]
fn token_expiry_stays_within_session_expiry() {
    let fixture = Fixture::unkept();
    fixture.good_token("prod");
    fixture.clock.advance(50 * MINUTE);
    fixture.aws.outage(&Fault::Status(503));
    let life = fixture.good_token("prod").life(fixture.clock.now());
    assert!(life <= 9 * MINUTE, "{life:?}");
    assert!(life > 8 * MINUTE, "{life:?}");
    // Also if STS grants only ten minutes.
    fixture.aws.clear_faults();
    fixture.aws.fault(Op::AssumeRole, Fault::ExpiresIn(10 * MINUTE).forever());
    fixture.clock.advance(11 * MINUTE);
    assert_eq!(fixture.good_token("prod").life(fixture.clock.now()), 9 * MINUTE);
}

/// Fault matrix row 61.
#[test]
fn token_after_session_expiry_is_an_error() {
    let fixture = Fixture::unkept();
    fixture.good_token("prod");
    fixture.aws.outage(&Fault::Status(503));
    fixture.clock.advance(59 * MINUTE);
    fixture.good_token("prod");
    fixture.clock.advance(MINUTE);
    let line = fixture.token_error("prod", 1);
    assert!(line.starts_with("rolecall: prod: STS is reached but fails: status 503"), "{line}");
    fixture.aws.clear_faults();
    fixture.clock.advance(Duration::from_secs(10));
    fixture.good_token("prod");
}

/// Fault matrix row 72.
#[test]
fn token_callers_share_one_call() {
    let fixture = Fixture::new();
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..50).map(|_| scope.spawn(|| fixture.good_token("prod").token().to_owned())).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn session_name_and_regional_sts_endpoint_are_used() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    let call = &fixture.aws.log_of(Op::AssumeRole)[0];
    assert_eq!(call.session_name.as_deref(), Some("dev@laptop"));
    assert_eq!(call.role_arn.as_deref(), Some(ROLE));
    assert_eq!(call.region.as_deref(), Some("eu-west-1"));
    assert_eq!(call.params.get("DurationSeconds").map(String::as_str), Some("3600"));
}

/// Fault matrix row 63.
#[test]
fn token_is_served_from_session_while_sts_hangs() {
    let fixture = Fixture::unkept();
    fixture.good_token("prod");
    fixture.clock.advance(46 * MINUTE);
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    let life = fixture.good_token("prod").life(fixture.clock.now());
    assert!(life <= 13 * MINUTE, "{life:?}");
    gate.open();
}

/// Fault matrix row 73.
#[test]
fn endpoint_has_at_most_six_calls_in_flight() {
    let fixture = Fixture::new();
    let mut config = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for n in 0..16 {
        let role = format!("arn:aws:iam::111122223333:role/r{n}");
        fixture.aws.add_role(Role::new(&role).trusts(&fixture.user.arn));
        config.extend([format!(
            "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n"
        )]);
    }
    fixture.configure(&config);
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|n| {
                let fixture = &fixture;
                scope.spawn(move || fixture.good_token(&format!("p{n}")).life(fixture.clock.now()))
            })
            .collect();
        fixture.aws.wait_for_calls(Op::AssumeRole, 6, Duration::from_secs(20));
        gate.open();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 14 * MINUTE);
        }
    });
    assert_eq!((fixture.aws.calls(Op::AssumeRole), fixture.aws.peak(Op::AssumeRole)), (16, 6));
}

/// Fault matrix row 83.
#[test]
fn rejected_process_gets_one_line_on_stderr() {
    const LINE: &str = "rolecall: prod: the cluster rejects this role (401). Run: rolecall doctor prod\n";
    let fixture = Fixture::new();
    let run = || {
        fixture.clock.advance(Duration::from_millis(100));
        let said = fixture.token_again_output("prod");
        said.assert_ok();
        assert!(said.json()["status"]["token"].is_string(), "the token is served: {said}");
        said.stderr
    };
    // The token, its new signature and the new session were rejected.
    let lines: Vec<String> = (0..6).map(|_| run()).collect();
    assert_eq!(lines, ["", "", "", LINE, "", ""]);
    // Another process may be the first one after an administrator has mapped the role.
    assert_eq!(fixture.token("prod").assert_ok().stderr, "");
    // The process uses its token for a while, and is then rejected again.
    fixture.clock.advance(MINUTE);
    let lines: Vec<String> = (0..6).map(|_| run()).collect();
    assert_eq!(lines, ["", "", "", LINE, "", ""]);
}

/// Fault matrix row 83.
#[test]
fn repeated_request_gets_new_token_then_new_session() {
    let fixture = Fixture::new();
    let mut seen = vec![fixture.token_again("prod").token().to_owned()];
    for _ in 0..5 {
        fixture.clock.advance(Duration::from_millis(100));
        let token = fixture.token_again("prod").token().to_owned();
        assert!(!seen.contains(&token), "the cluster would reject the same token again");
        seen.push(token);
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2, "one more session after the suspected rejection");
    // Another client process had no rejected token, so it gets the last minted one.
    assert_eq!(fixture.good_token("prod").token(), seen.last().unwrap());
    // A minute later, another suspected rejection replaces the session again.
    fixture.clock.advance(MINUTE);
    for _ in 0..3 {
        fixture.clock.advance(Duration::from_millis(100));
        fixture.token_again("prod");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 3);
}
