//! MFA codes: one for all roles of a source, asked for once, or printed by a command.

use std::time::Duration;

use rolecall_harness::{Fault, Op, Role};
use rolecall_protocol::{EntryProof, LoginRequest, LoginStep, Secret};

use crate::fixture::{ACCOUNT, Fixture, PROD, ROLE};

const HUB: &str = "arn:aws:iam::999988887777:role/hub";
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";
const BEHIND: &str = "arn:aws:iam::111122223333:role/behind";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Returns a fixture whose roles require MFA, and the serial of the device.
fn with_mfa(more: &str) -> (Fixture, String) {
    let fixture = Fixture::new();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(12 * HOUR));
    fixture.aws.add_role(Role::new(OTHER).trusts(&fixture.user.arn).requires_mfa());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{more} }}\n[profiles.prod]");
    fixture.configure(&PROD.replace("[profiles.prod]", &mfa));
    (fixture, serial)
}

fn profile(name: &str, role: &str) -> String {
    format!("[profiles.{name}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n")
}

impl Fixture {
    /// Logs in, and returns every step.
    fn login(&self, source: &str, code: Option<String>) -> Vec<LoginStep> {
        self.steps(source, LoginRequest { code: code.map(Secret::new), ..LoginRequest::default() })
    }

    fn steps(&self, source: &str, request: LoginRequest) -> Vec<LoginStep> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        self.block_on(async {
            let _ = self.agent.login.login(source.parse().unwrap(), request, sender).await;
            let mut steps = Vec::new();
            while let Some(step) = receiver.recv().await {
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
fn mfa_code_serves_two_roles_and_a_role_behind_a_hub() {
    let (fixture, serial) = with_mfa("");
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn).requires_mfa().max_session_duration(12 * HOUR));
    fixture.aws.add_role(Role::new(BEHIND).trusts(HUB));
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    let third = profile("third", BEHIND) + &format!("via = [\"{HUB}\"]\nduration = \"8h\"\n");
    // Without background renewal: the test advances the clock by an hour while AWS answers.
    fixture.configure(&["[defaults]\nkeep_warm = \"0s\"\n".to_owned(), text, profile("other", OTHER), third].concat());
    assert_eq!(
        fixture.token_error("prod", 5),
        format!("rolecall: prod: source \"work\" needs an MFA code of {serial}. Run: rolecall login work")
    );
    assert!(matches!(fixture.login("work", None).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    for name in ["prod", "other", "third"] {
        fixture.good_token(name);
    }
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    assert_eq!(fixture.lengths_of(Op::GetSessionToken), [Some("43200".to_owned())]);
    // Two roles of the source, the hub, and the role behind it: each session lasts at most an hour.
    assert_eq!(fixture.lengths_of(Op::AssumeRole), vec![Some("3600".to_owned()); 4]);
    // Role sessions are renewed without a code until the MFA session expires.
    for _ in 0..10 {
        fixture.clock.advance(HOUR);
        fixture.good_token("prod");
    }
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    fixture.clock.advance(2 * HOUR);
    assert!(fixture.token_error("prod", 5).contains("needs an MFA code"));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
}

#[test]
fn mfa_wrong_and_reused_codes_give_different_errors() {
    let (fixture, serial) = with_mfa("");
    let refusal = |code: &str| match fixture.login("work", Some(code.to_owned())).as_slice() {
        [LoginStep::MfaCode { refused: Some(error), .. }] => error.message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(refusal("000000").contains("it is wrong, expired or already used, or the device belongs to another user"));
    assert!(refusal("000000").contains("it was used already"));
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1, "a used code is not sent");
    // Another caller does not see the error of a mistyped code.
    assert!(fixture.token_error("prod", 5).contains("needs an MFA code"));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    assert!(matches!(fixture.login("work", None).as_slice(), [LoginStep::Done { changed: false, .. }]));
}

#[test]
fn mfa_session_longer_than_an_hour_needs_its_own_code() {
    let (fixture, serial) = with_mfa("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    fixture.configure(&[text, "duration = \"12h\"\n".to_owned(), profile("other", OTHER)].concat());
    fixture.token_error("prod", 5);
    // One code serves only that role, the next one all others.
    let steps = fixture.login("work", Some(fixture.aws.mfa_code(&serial)));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { refused: None, .. }]), "{steps:?}");
    let session = fixture.good_token("prod");
    assert_eq!(fixture.lengths_of(Op::AssumeRole), [Some("43200".to_owned())]);
    assert_eq!(session.life(fixture.clock.now()), Duration::from_mins(14));
    fixture.clock.advance(Duration::from_secs(30));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("other");
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    let details = fixture.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    assert!(details.mfa.is_some_and(|mfa| mfa.in_assume_role && mfa.seconds == 12 * 3600));
    // The session is still served seven hours later, without another prompt.
    fixture.clock.advance(7 * HOUR);
    fixture.good_token("prod");
    assert!(fixture.agent.status.status().profiles.iter().all(|profile| profile.problem.is_none()));
}

#[test]
fn mfa_command_runs_again_after_a_used_code() {
    let (fixture, serial) = with_mfa(", process = \"cat $HOME/../code\"");
    // The daemon of this test has the test's HOME, so the command needs an absolute path.
    let code = fixture.sandbox.write("code", &fixture.aws.mfa_code(&serial));
    let process = format!(", process = \"cat {}\"", code.display());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{process} }}\n[profiles.prod]");
    fixture.configure(&PROD.replace("[profiles.prod]", &mfa));
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    let status = fixture.agent.status.status();
    assert!(status.sources[0].login.as_ref().unwrap().renews);
    std::fs::write(&code, "no code").unwrap();
    fixture.clock.advance(13 * HOUR);
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("mfa_process: the command did not write a code of six digits"), "{line}");
}

#[test]
fn mfa_command_does_not_run_without_a_call() {
    let (fixture, serial) = with_mfa("");
    let code = fixture.sandbox.write("code", &fixture.aws.mfa_code(&serial));
    let asked = fixture.sandbox.root().join("asked");
    let process = format!(", process = \"echo asked >>{}; cat {}\"", asked.display(), code.display());
    let mfa = format!("mfa = {{ serial = \"{serial}\"{process} }}\n[profiles.prod]\nduration = \"12h\"");
    fixture.aws.update_role(OTHER, |role| role.max_session_duration(12 * HOUR));
    fixture.configure(&format!(
        "{}{}duration = \"12h\"\n",
        PROD.replace("[profiles.prod]", &mfa),
        profile("ops", OTHER)
    ));
    let times = || std::fs::read_to_string(&asked).unwrap_or_default().lines().count();
    let headers = vec![("retry-after".to_owned(), "60".to_owned())];
    fixture.aws.fault(Op::AssumeRole, Fault::Raw { status: 503, headers, body: Vec::new() }.forever());
    for name in ["prod", "ops", "ops", "ops"] {
        fixture.token_error(name, 1);
    }
    assert_eq!((times(), fixture.aws.calls(Op::AssumeRole)), (1, 1));
    fixture.aws.clear_faults();
    fixture.clock.advance(3 * MINUTE);
    std::fs::write(&code, fixture.aws.mfa_code(&serial)).unwrap();
    fixture.good_token("ops");
    assert_eq!(times(), 2);
}

#[test]
fn mfa_device_of_aws_profile_is_shared() {
    let (fixture, serial) = with_mfa("");
    let role = |name: &str, arn: &str| {
        format!(
            "[profile {name}]\nrole_arn = {arn}\nsource_profile = work\nmfa_serial = {serial}\nregion = eu-west-1\nservices = work-embedded\n"
        )
    };
    fixture.sandbox.append_aws_config(&[role("dev", ROLE), role("ops", OTHER)].concat());
    fixture.aws.add_role(Role::new(BEHIND).trusts(ROLE));
    let text = format!(
        "[sources.dev]\naws_profile = \"dev\"\n[sources.ops]\naws_profile = \"ops\"\n{}{}",
        profile("prod", BEHIND).replace("\"work\"", "\"dev\""),
        "[profiles.direct]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"ops\"\n",
    );
    fixture.configure(&text);
    assert!(fixture.token_error("prod", 5).ends_with("Run: rolecall login dev"));
    fixture.logged_in("dev", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    fixture.good_token("direct");
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    let roles: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [ROLE, BEHIND, OTHER]);
    // A change of other sections in AWS's files or of the configuration does not end it.
    fixture.sandbox.append_aws_config("[profile more]\nregion = eu-west-1\n");
    fixture.agent.recovery.sources_changed();
    fixture.configure(&format!("{text}keep_warm = \"1h\"\n"));
    fixture.clock.advance(HOUR);
    fixture.good_token("prod");
    fixture.good_token("direct");
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    // A change of its access key does.
    let other = fixture.aws.add_user_key(&fixture.user.arn);
    fixture.sandbox.write_aws_profile("work", &other, &fixture.aws.endpoint());
    fixture.agent.recovery.sources_changed();
    fixture.clock.advance(HOUR);
    assert!(fixture.token_error("prod", 5).contains("needs an MFA code"));
}

/// Fault matrix row 71.
#[test]
fn mfa_needed_500_callers_make_no_call() {
    let (fixture, _) = with_mfa("");
    fixture.token_error("prod", 5);
    let name = "prod".parse().unwrap();
    fixture.block_on(async {
        for _ in 0..500 {
            let refused = fixture.agent.token.token(&name, b"", &EntryProof::Terminal, None).await.unwrap_err();
            assert_eq!(refused.0.code.exit_code(), 5);
        }
    });
    assert_eq!((fixture.aws.calls(Op::GetSessionToken), fixture.aws.calls(Op::AssumeRole)), (0, 0));
}

#[test]
fn mfa_with_temporary_credentials_is_rejected() {
    let (fixture, serial) = with_mfa("");
    fixture.sandbox.append_aws_config(&format!(
        "[profile temporary]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nservices = work-embedded\n"
    ));
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn));
    let text = PROD
        .replace("aws_profile = \"work\"", "aws_profile = \"temporary\"")
        .replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    fixture.configure(&text);
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("mfa needs a long-lived access key"), "{line}");
    assert_eq!(ACCOUNT.len(), 12);
}

#[test]
fn mfa_refresh_needs_no_code_but_new_login_does() {
    let (fixture, serial) = with_mfa("");
    let name = "prod".parse().unwrap();
    fixture.token_error("prod", 5);
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    fixture.block_on(fixture.agent.profiles.refresh(&name)).unwrap();
    assert_eq!((fixture.aws.calls(Op::AssumeRole), fixture.aws.calls(Op::GetSessionToken)), (2, 1));
    let renew =
        |code: Option<String>| LoginRequest { code: code.map(Secret::new), renew: true, ..LoginRequest::default() };
    assert!(matches!(fixture.steps("work", renew(None)).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    fixture.good_token("prod");
    fixture.clock.advance(Duration::from_secs(30));
    let code = fixture.aws.mfa_code(&serial);
    assert!(matches!(fixture.steps("work", renew(Some(code))).as_slice(), [LoginStep::Done { changed: true, .. }]));
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 2);
    fixture.good_token("prod");
}

#[test]
fn mfa_role_session_is_renewed_by_command_before_expiry() {
    let (fixture, serial) = with_mfa("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    fixture.configure(&(text + "duration = \"12h\"\n"));
    fixture.token_error("prod", 5);
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 0, "each role needs its own code");
    fixture.clock.advance(6 * HOUR);
    let refused = fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap_err();
    assert_eq!(refused.0.code.exit_code(), 5);
    fixture.good_token("prod");
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2);
    fixture.clock.advance(11 * HOUR);
    fixture.good_token("prod");
}

#[test]
fn mfa_role_accepts_correct_code_after_mistyped_one() {
    let (fixture, serial) = with_mfa("");
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    fixture.configure(&(text + "duration = \"12h\"\n"));
    fixture.token_error("prod", 5);
    let steps = fixture.login("work", Some("000000".to_owned()));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { refused: Some(_), .. }]), "{steps:?}");
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
}

#[test]
fn mfa_role_limited_to_one_hour_uses_shared_session() {
    let (fixture, serial) = with_mfa("");
    fixture.aws.update_role(ROLE, |role| role.max_session_duration(HOUR));
    let text = PROD.replace("[profiles.prod]", &format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]"));
    fixture.configure(&(text + "duration = \"8h\"\nkeep_warm = \"0s\"\n"));
    fixture.token_error("prod", 5);
    // The first code is used up by the rejected call.
    let steps = fixture.login("work", Some(fixture.aws.mfa_code(&serial)));
    assert!(matches!(steps.as_slice(), [LoginStep::MfaCode { .. }]), "{steps:?}");
    fixture.clock.advance(Duration::from_secs(30));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    for _ in 0..8 {
        fixture.clock.advance(HOUR);
        fixture.good_token("prod");
    }
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
}

#[test]
fn mfa_session_rejected_by_aws_is_replaced_after_login() {
    let (fixture, serial) = with_mfa("");
    fixture.token_error("prod", 5);
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    fixture.aws.expire_sessions(&fixture.user.arn);
    fixture.clock.advance(HOUR);
    assert!(fixture.token_error("prod", 5).contains("needs an MFA code"));
    assert!(matches!(fixture.login("work", None).as_slice(), [LoginStep::MfaCode { refused: None, .. }]));
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
}

#[test]
fn mfa_session_of_replaced_access_key_is_not_used() {
    let (fixture, _) = with_mfa(", process = \"exit 1\"");
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    let code = fixture.sandbox.write("code", &fixture.aws.mfa_code(&serial));
    let process = format!("mfa = {{ serial = \"{serial}\", process = \"cat {}\" }}\n[profiles.prod]", code.display());
    fixture.configure(&PROD.replace("[profiles.prod]", &process));
    fixture.good_token("prod");
    let other = fixture.aws.add_user(ACCOUNT, "other");
    fixture.aws.update_role(ROLE, |role| role.trusts(&other.arn));
    fixture.sandbox.write_aws_profile("work", &other, &fixture.aws.endpoint());
    std::fs::write(&code, "no code").unwrap();
    let _inside = fixture.runtime();
    fixture.agent.recovery.sources_changed();
    let refused =
        rolecall_harness::within(Duration::from_secs(20), || (fixture.token("prod").code() != Some(0)).then_some(()));
    assert!(refused.is_some(), "the first person's session is used on");
    assert!(fixture.aws.log_of(Op::AssumeRole).iter().all(|call| !call.caller_arn.as_ref().unwrap().contains("other")));
}

#[test]
fn mfa_command_with_rejected_codes_is_retried_later() {
    let (fixture, serial) = with_mfa("");
    let code = fixture.sandbox.write("code", "000000");
    let process = format!("mfa = {{ serial = \"{serial}\", process = \"cat {}\" }}\n[profiles.prod]", code.display());
    fixture.configure(&PROD.replace("[profiles.prod]", &process));
    // Twice, the next code is a second away; AWS rejects both codes.
    fixture.clock.advance(Duration::from_secs(24));
    let refused = rolecall_harness::within(Duration::from_mins(1), || {
        let line = fixture.token("prod").stderr;
        line.contains("AWS refuses its codes").then_some(())
    });
    assert!(refused.is_some());
    fixture.clock.advance(Duration::from_mins(2));
    std::fs::write(&code, fixture.aws.mfa_code(&serial)).unwrap();
    fixture.good_token("prod");
}

#[test]
fn mfa_logout_drops_all_dependent_sessions() {
    let (fixture, serial) = with_mfa("");
    fixture.token_error("prod", 5);
    fixture.logged_in("work", Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    let out = fixture.block_on(fixture.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!((out.sessions, out.revoked, out.problem), (3, None, None));
    fixture.token_error("prod", 5);
}
