//! MfaCodes of MFA devices: one for all roles of a source, never asked for twice, and by a command where there is one.

use std::time::Duration;

use rolecall_harness::{Fault, Op, Role};
use rolecall_protocol::{LoginRequest, LoginStep, Secret};

use crate::world::{ACCOUNT, PROD, ROLE, World};

const HUB: &str = "arn:aws:iam::999988887777:role/hub";
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";
const BEHIND: &str = "arn:aws:iam::111122223333:role/behind";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A world whose roles want a code, and the device that makes them.
fn http_client(more: &str) -> (World, String) {
    let world = World::new();
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    world.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(12 * HOUR));
    world.aws.add_role(Role::new(OTHER).trusts(&world.user.arn).requires_mfa());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{more} }}\n[profiles.prod]");
    world.configure(&PROD.replace("[profiles.prod]", &mfa));
    (world, serial)
}

fn profile(name: &str, role: &str) -> String {
    format!("[profiles.{name}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n")
}

impl World {
    /// Every step of a login.
    fn login(&self, source: &str, code: Option<String>) -> Vec<LoginStep> {
        self.steps(source, LoginRequest { code: code.map(Secret::new), ..LoginRequest::default() })
    }

    fn steps(&self, source: &str, request: LoginRequest) -> Vec<LoginStep> {
        let (tell, mut told) = tokio::sync::mpsc::channel(16);
        self.block_on(async {
            self.agent.login.login(source.parse().unwrap(), request, tell).await;
            let mut steps = Vec::new();
            while let Some(step) = told.recv().await {
                steps.push(step);
            }
            steps
        })
    }

    #[track_caller]
    fn logged_in(&self, source: &str, code: Option<String>) {
        let steps = self.login(source, code);
        assert!(matches!(steps.as_slice(), [LoginStep::Done { changed: true, .. }]), "{steps:?}");
    }

    fn lengths_of(&self, op: Op) -> Vec<Option<String>> {
        self.aws.log_of(op).into_iter().map(|call| call.params.get("DurationSeconds").cloned()).collect()
    }
}

#[test]
fn one_code_is_good_for_two_roles_and_a_third_through_a_hub() {
    let (world, serial) = http_client("");
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn).requires_mfa().max_session_duration(12 * HOUR));
    world.aws.add_role(Role::new(BEHIND).trusts(HUB));
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    let third = profile("third", BEHIND) + &format!("via = [\"{HUB}\"]\nduration = \"8h\"\n");
    // Nothing is renewed unasked: the test's clock would turn an hour while AWS answers.
    world.configure(&["[defaults]\nkeep_warm = \"0s\"\n".to_owned(), text, profile("other", OTHER), third].concat());
    assert_eq!(
        world.token_error("prod", 5),
        format!("rolecall: prod: source \"work\" needs a code of the MFA device {serial}. Run: rolecall login work")
    );
    assert!(matches!(world.login("work", None).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    for name in ["prod", "other", "third"] {
        world.good_token(name);
    }
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    assert_eq!(world.lengths_of(Op::GetSessionToken), [Some("43200".to_owned())]);
    // Two of the source, the hub, and the one behind it: none longer than an hour.
    assert_eq!(world.lengths_of(Op::AssumeRole), vec![Some("3600".to_owned()); 4]);
    // It is renewed silently while it lasts.
    for _ in 0..10 {
        world.clock.advance(HOUR);
        world.good_token("prod");
    }
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    world.clock.advance(2 * HOUR);
    assert!(world.token_error("prod", 5).contains("needs a code"));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
}

#[test]
fn wrong_and_reused_codes_are_told_apart_from_none() {
    let (world, serial) = http_client("");
    let refusal = |code: &str| match world.login("work", Some(code.to_owned())).as_slice() {
        [LoginStep::MfaCode { refused: Some(error), .. }] => error.message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        refusal("000000").contains("it is wrong, of another time, was used before, or the device is not this user's")
    );
    assert!(refusal("000000").contains("it was used already"));
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1, "the same again is not sent");
    // Nobody else is told of what one person mistyped.
    assert!(world.token_error("prod", 5).contains("needs a code"));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    assert!(matches!(world.login("work", None).as_slice(), [LoginStep::Done { changed: false, .. }]));
}

#[test]
fn whoever_wants_more_than_an_hour_gives_a_code_for_it() {
    let (world, serial) = http_client("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    world.configure(&[text, "duration = \"12h\"\n".to_owned(), profile("other", OTHER)].concat());
    world.token_error("prod", 5);
    // One code for that role alone, the next for all others.
    let steps = world.login("work", Some(world.aws.mfa_code(&serial)));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { refused: None, .. }]), "{steps:?}");
    let session = world.good_token("prod");
    assert_eq!(world.lengths_of(Op::AssumeRole), [Some("43200".to_owned())]);
    assert_eq!(session.life(world.clock.now()), Duration::from_mins(14));
    world.clock.advance(Duration::from_secs(30));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("other");
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    let details = world.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    assert!(details.mfa.is_some_and(|mfa| mfa.in_assume_role && mfa.seconds == 12 * 3600));
    // Seven hours later it is served still, and nobody has been asked.
    world.clock.advance(7 * HOUR);
    world.good_token("prod");
    assert!(world.agent.status.status().profiles.iter().all(|profile| profile.problem.is_none()));
}

#[test]
fn a_command_gives_the_code_and_waits_for_the_next_one_where_it_was_used() {
    let (world, serial) = http_client(", process = \"cat $HOME/../code\"");
    // The daemon of this test has the test's HOME; the command is told by its path.
    let code = world.sandbox.write("code", &world.aws.mfa_code(&serial));
    let process = format!(", process = \"cat {}\"", code.display());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{process} }}\n[profiles.prod]");
    world.configure(&PROD.replace("[profiles.prod]", &mfa));
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    let status = world.agent.status.status();
    assert!(status.sources[0].login.as_ref().unwrap().renews);
    std::fs::write(&code, "no code").unwrap();
    world.clock.advance(13 * HOUR);
    let line = world.token_error("prod", 1);
    assert!(line.contains("MFA codes by command: the command did not write a code of six digits"), "{line}");
}

#[test]
fn nobody_gives_a_code_for_a_call_that_is_not_made() {
    let (world, serial) = http_client("");
    let code = world.sandbox.write("code", &world.aws.mfa_code(&serial));
    let asked = world.sandbox.root().join("asked");
    let process = format!(", process = \"echo asked >>{}; cat {}\"", asked.display(), code.display());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{process} }}\n[profiles.prod]\nduration = \"12h\"");
    world.aws.update_role(OTHER, |role| role.max_session_duration(12 * HOUR));
    world.configure(&format!("{}{}duration = \"12h\"\n", PROD.replace("[profiles.prod]", &mfa), profile("ops", OTHER)));
    let times = || std::fs::read_to_string(&asked).unwrap_or_default().lines().count();
    let headers = vec![("retry-after".to_owned(), "60".to_owned())];
    world.aws.fault(Op::AssumeRole, Fault::Raw { status: 503, headers, body: Vec::new() }.forever());
    for name in ["prod", "ops", "ops", "ops"] {
        world.token_error(name, 1);
    }
    assert_eq!((times(), world.aws.calls(Op::AssumeRole)), (1, 1));
    world.aws.clear_faults();
    world.clock.advance(3 * MINUTE);
    std::fs::write(&code, world.aws.mfa_code(&serial)).unwrap();
    world.good_token("ops");
    assert_eq!(times(), 2);
}

#[test]
fn the_device_of_an_aws_profile_is_the_same_for_all_that_name_it() {
    let (world, serial) = http_client("");
    let role = |name: &str, arn: &str| {
        format!(
            "[profile {name}]\nrole_arn = {arn}\nsource_profile = work\nmfa_serial = {serial}\nregion = eu-west-1\nservices = work-embedded\n"
        )
    };
    world.sandbox.append_aws_config(&[role("dev", ROLE), role("ops", OTHER)].concat());
    world.aws.add_role(Role::new(BEHIND).trusts(ROLE));
    let text = format!(
        "[sources.dev]\naws_profile = \"dev\"\n[sources.ops]\naws_profile = \"ops\"\n{}{}",
        profile("prod", BEHIND).replace("\"work\"", "\"dev\""),
        "[profiles.direct]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"ops\"\n",
    );
    world.configure(&text);
    assert!(world.token_error("prod", 5).ends_with("Run: rolecall login dev"));
    world.logged_in("dev", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    world.good_token("direct");
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    let roles: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [ROLE, BEHIND, OTHER]);
    // Nor does it end with a change of AWS's files that does not concern it, nor with one of ours.
    world.sandbox.append_aws_config("[profile more]\nregion = eu-west-1\n");
    world.agent.recovery.sources_changed();
    world.configure(&format!("{text}keep_warm = \"1h\"\n"));
    world.clock.advance(HOUR);
    world.good_token("prod");
    world.good_token("direct");
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    // But it does with its keys.
    let other = world.aws.add_user_key(&world.user.arn);
    world.sandbox.write_aws_profile("work", &other, &world.aws.endpoint());
    world.agent.recovery.sources_changed();
    world.clock.advance(HOUR);
    assert!(world.token_error("prod", 5).contains("needs a code"));
}

#[test]
fn row_71_five_hundred_who_wait_for_a_code_cost_nothing() {
    let (world, _) = http_client("");
    world.token_error("prod", 5);
    let name = "prod".parse().unwrap();
    world.block_on(async {
        for _ in 0..500 {
            let refused = world.agent.token.token(&name, b"", None).await.unwrap_err();
            assert_eq!(refused.0.code.exit_code(), 5);
        }
    });
    assert_eq!((world.aws.calls(Op::GetSessionToken), world.aws.calls(Op::AssumeRole)), (0, 0));
}

#[test]
fn mfa_on_what_is_temporary_already_is_an_error_that_says_so() {
    let (world, serial) = http_client("");
    world.sandbox.append_aws_config(&format!(
        "[profile temporary]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nservices = work-embedded\n"
    ));
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn));
    let text = PROD
        .replace("aws_profile = \"work\"", "aws_profile = \"temporary\"")
        .replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    world.configure(&text);
    let line = world.token_error("prod", 1);
    assert!(line.contains("mfa needs long-lived keys"), "{line}");
    assert_eq!(ACCOUNT.len(), 12);
}

#[test]
fn a_new_session_wants_no_new_code_and_a_new_login_does() {
    let (world, serial) = http_client("");
    let name = "prod".parse().unwrap();
    world.token_error("prod", 5);
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    world.block_on(world.agent.refresh.refresh(&name)).unwrap();
    assert_eq!((world.aws.calls(Op::AssumeRole), world.aws.calls(Op::GetSessionToken)), (2, 1));
    let renew =
        |code: Option<String>| LoginRequest { code: code.map(Secret::new), renew: true, ..LoginRequest::default() };
    assert!(matches!(world.steps("work", renew(None)).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    world.good_token("prod");
    world.clock.advance(Duration::from_secs(30));
    let code = world.aws.mfa_code(&serial);
    assert!(matches!(world.steps("work", renew(Some(code))).as_slice(), [LoginStep::Done { changed: true, .. }]));
    assert_eq!(world.aws.calls(Op::GetSessionToken), 2);
    world.good_token("prod");
}

#[test]
fn a_session_of_its_own_code_is_renewed_before_its_end_by_who_gives_one() {
    let (world, serial) = http_client("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    world.configure(&(text + "duration = \"12h\"\n"));
    world.token_error("prod", 5);
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::GetSessionToken), 0, "every role has a code of its own");
    world.clock.advance(6 * HOUR);
    let refused = world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap_err();
    assert_eq!(refused.0.code.exit_code(), 5);
    world.good_token("prod");
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    assert_eq!(world.aws.calls(Op::AssumeRole), 2);
    world.clock.advance(11 * HOUR);
    world.good_token("prod");
}

#[test]
fn a_mistyped_code_for_a_role_of_its_own_code_is_followed_by_the_right_one() {
    let (world, serial) = http_client("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    world.configure(&(text + "duration = \"12h\"\n"));
    world.token_error("prod", 5);
    let steps = world.login("work", Some("000000".to_owned()));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { refused: Some(_), .. }]), "{steps:?}");
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
}

#[test]
fn a_role_that_grants_an_hour_shares_its_code_whatever_is_wanted() {
    let (world, serial) = http_client("");
    world.aws.update_role(ROLE, |role| role.max_session_duration(HOUR));
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    world.configure(&(text + "duration = \"8h\"\nkeep_warm = \"0s\"\n"));
    world.token_error("prod", 5);
    // The first code is spent on finding that out.
    let steps = world.login("work", Some(world.aws.mfa_code(&serial)));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { .. }]), "{steps:?}");
    world.clock.advance(Duration::from_secs(30));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    for _ in 0..8 {
        world.clock.advance(HOUR);
        world.good_token("prod");
    }
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
}

#[test]
fn an_mfa_session_that_aws_takes_no_longer_is_replaced_by_a_login() {
    let (world, serial) = http_client("");
    world.token_error("prod", 5);
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    world.aws.expire_sessions(&world.user.arn);
    world.clock.advance(HOUR);
    assert!(world.token_error("prod", 5).contains("needs a code"));
    assert!(matches!(world.login("work", None).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
}

#[test]
fn what_was_got_with_others_keys_is_nobodys_to_use() {
    let (world, _) = http_client(", process = \"exit 1\"");
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    let code = world.sandbox.write("code", &world.aws.mfa_code(&serial));
    let process = format!("mfa = {{ serial = \"{serial}\", process = \"cat {}\" }}\n[profiles.prod]", code.display());
    world.configure(&PROD.replace("[profiles.prod]", &process));
    world.good_token("prod");
    let other = world.aws.add_user(ACCOUNT, "other");
    world.aws.update_role(ROLE, |role| role.trusts(&other.arn));
    world.sandbox.write_aws_profile("work", &other, &world.aws.endpoint());
    std::fs::write(&code, "no code").unwrap();
    let _inside = world.runtime();
    world.agent.recovery.sources_changed();
    let refused =
        rolecall_harness::within(Duration::from_secs(20), || (world.token("prod").code() != Some(0)).then_some(()));
    assert!(refused.is_some(), "the first person's session is used on");
    assert!(world.aws.log_of(Op::AssumeRole).iter().all(|call| !call.caller_arn.as_ref().unwrap().contains("other")));
}

#[test]
fn a_command_whose_codes_are_refused_is_asked_again_another_time() {
    let (world, serial) = http_client("");
    let code = world.sandbox.write("code", "000000");
    let process = format!("mfa = {{ serial = \"{serial}\", process = \"cat {}\" }}\n[profiles.prod]", code.display());
    world.configure(&PROD.replace("[profiles.prod]", &process));
    // The next window is a second away, twice: then nothing else has come.
    world.clock.advance(Duration::from_secs(24));
    let refused = rolecall_harness::within(Duration::from_mins(1), || {
        let line = world.token("prod").stderr;
        line.contains("AWS takes none of them").then_some(())
    });
    assert!(refused.is_some());
    world.clock.advance(Duration::from_mins(2));
    std::fs::write(&code, world.aws.mfa_code(&serial)).unwrap();
    world.good_token("prod");
}

#[test]
fn after_a_logout_what_was_got_is_gone() {
    let (world, serial) = http_client("");
    world.token_error("prod", 5);
    world.logged_in("work", Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    let out = world.block_on(world.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!((out.sessions, out.revoked, out.problem), (3, None, None));
    world.token_error("prod", 5);
}
