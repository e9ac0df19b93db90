//! What goes wrong at AWS, and what the person in front of kubectl reads.

use rolecall_harness::{Cut, Fault, Op};

use crate::world::{ROLE, World};

#[test]
fn every_failure_of_sts_is_one_line_that_says_what_to_do() {
    let world = World::new();
    let hostile = "no \u{9b}31mowned\r\n\u{202e}entry";
    for (fault, expected) in [
        (
            Fault::error(403, "AccessDenied", "User: x is not authorized to perform: sts:AssumeRole"),
            "rolecall: prod: AWS does not let source \"work\" assume arn:aws:iam::111122223333:role/developers: User: x is not authorized to perform: sts:AssumeRole. Check the role's trust policy",
        ),
        (Fault::error(400, "AccessDenied", hostile), "no \\u{9b}31mowned \\u{202e}entry"),
        (Fault::Status(500), "rolecall: prod: STS cannot be reached: "),
        (Fault::Throttle, "rolecall: prod: STS asks for fewer calls (Rate exceeded). Try again in a moment."),
        (Fault::Truncated(Cut::TruncatedLength), "rolecall: prod: what answers in the place of STS is not STS: "),
        (Fault::Truncated(Cut::Chunked), "not STS"),
        (Fault::Truncated(Cut::ConnectionCloses), "not STS"),
        (Fault::Html, "rolecall: prod: what answers in the place of STS is not STS: "),
        (Fault::Empty200, "rolecall: prod: what answers in the place of STS is not STS"),
        (Fault::Reset, "rolecall: prod: STS cannot be reached: "),
        (Fault::WrongRole("arn:aws:iam::111122223333:role/admins".to_owned()), "the session of another role"),
        (Fault::Expiration(Some("yesterday".to_owned())), "not STS"),
        (Fault::Expiration(None), "already over"),
        (Fault::ExpiresIn(std::time::Duration::ZERO), "already over"),
        (
            Fault::error(400, "PackedPolicyTooLarge", "Packed size is 110%"),
            "rolecall: prod: STS refuses the request to assume",
        ),
        (
            Fault::error(403, "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"),
            "rolecall: prod: AWS refuses the time of this machine",
        ),
    ] {
        world.aws.fault(Op::AssumeRole, fault.clone().forever());
        let line = world.token_error("prod", 1);
        assert!(line.contains(expected), "{fault:?}: {line}");
        assert!(line.len() < 1024, "{fault:?}: {line}");
        world.aws.clear_faults();
        // What goes wrong is remembered for a while, and for longer each time.
        world.clock.advance(std::time::Duration::from_mins(1));
    }
    world.good_token("prod");
}

#[test]
fn what_passes_at_once_is_not_noticed() {
    let world = World::new();
    world.aws.fault(Op::AssumeRole, Fault::Status(503).times(1));
    world.aws.fault(Op::AssumeRole, Fault::Throttle.times(1));
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), 3);
}

#[test]
fn row_68_a_denial_is_one_call_for_six_runs() {
    let world = World::new();
    world.aws.remove_role(ROLE);
    for _ in 0..6 {
        world.token_error("prod", 1);
    }
    assert_eq!(world.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn row_69_a_mended_trust_policy_counts_after_a_moment_or_at_once_by_force() {
    let world = World::new();
    world.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(2));
    world.token_error("prod", 1);
    world.clock.advance(std::time::Duration::from_secs(5));
    world.token_error("prod", 1);
    world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap();
    world.good_token("prod");
}

#[test]
fn status_tells_what_is_wrong_and_since_when() {
    let world = World::new();
    world.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(1));
    world.token_error("prod", 1);
    let said = world.sandbox.run(world.sandbox.rolecall().args(["status", "--json"]));
    said.assert_ok();
    let profile = &said.json()["profiles"][0];
    assert_eq!(profile["state"], "failed");
    assert_eq!(profile["problem"]["code"], "access_denied");
    assert_eq!(profile["problem"]["since"], "2026-01-02T03:04:05Z");
    world.clock.advance(std::time::Duration::from_secs(5));
    world.good_token("prod");
    let profile = &world.agent.status.status().profiles[0];
    assert!(profile.problem.is_none());
    assert_eq!(profile.session.as_ref().unwrap().expires.unwrap().to_string(), "2026-01-02T04:04:10Z");
}

#[test]
fn a_source_that_gives_nothing_says_why() {
    let world = World::new();
    let ask = |aws_profile: &str, code: i32| {
        let instead = format!("aws_profile = \"{aws_profile}\"");
        world.configure(&crate::world::PROD.replace("aws_profile = \"work\"", &instead));
        world.token_error("prod", code)
    };
    let folder = world.sandbox.home().join(".aws");
    let away = world.sandbox.home().join("away");
    std::fs::rename(&folder, &away).unwrap();
    let line = ask("nothing", 1);
    assert!(line.contains("there is no AWS profile \"nothing\" in") && line.contains("There is none at all"), "{line}");
    std::fs::rename(&away, &folder).unwrap();
    assert!(ask("wrok", 1).ends_with(" Did you mean \"work\"?"));

    world.sandbox.append_aws_config(
        "[profile empty]\nregion = eu-west-1\n[profile broken]\ncredential_process = false\n\
         [profile mfa]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = work\nmfa_serial = arn:aws:iam::111122223333:mfa/dev\n\
         [profile behind]\nrole_arn = arn:aws:iam::111122223333:role/y\nsource_profile = mfa\n",
    );
    assert!(ask("zebra", 1).ends_with(" There are: behind, broken, empty, mfa, work."));
    let line = ask("empty", 1);
    assert!(line.contains("AWS profile \"empty\": says nothing about credentials"), "{line}");
    let line = ask("broken", 1);
    assert!(line.contains("the credential_process of AWS profile \"broken\": the command failed"), "{line}");
    for wanting in ["mfa", "behind"] {
        let line = ask(wanting, 5);
        assert!(
            line.contains("needs a code of the MFA device arn:aws:iam::111122223333:mfa/dev. Run: rolecall login work"),
            "{line}"
        );
    }
    assert_eq!(world.aws.calls(Op::AssumeRole), 0);
}

#[test]
fn a_login_that_there_never_was_needs_a_person() {
    let world = World::new();
    world.sandbox.append_aws_config(
        "[profile sso]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\n\
         [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n",
    );
    world.configure(&crate::world::PROD.replace("aws_profile = \"work\"", "aws_profile = \"sso\""));
    let line = world.token_error("prod", 5);
    assert_eq!(line, "rolecall: prod: source \"work\" needs a login. Run: rolecall login work");
}

#[test]
fn row_67_a_certificate_that_nobody_vouches_for_is_refused() {
    let world = World::new();
    // A TLS server with a CA of its own, where STS should be.
    world.sandbox.write_aws_profile("work", &world.user, &world.api.url());
    let line = world.token_error("prod", 1);
    assert!(line.contains("STS cannot be reached: invalid peer certificate: UnknownIssuer"), "{line}");
    assert!(world.api.requests().is_empty(), "nothing was said to it");
}
