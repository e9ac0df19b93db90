//! Sources: every kind of AWS profile, from AWS's own files to a token that the cluster accepts.

use std::time::Duration;

use rolecall_harness::{AwsProfile, Op, Role, Sso};
use rolecall_protocol::{EntryProof, LoginFlow, LoginKind, LoginRequest, LoginStep, ProfileState};
use tokio::sync::mpsc;

use crate::fixture::{ACCOUNT, Fixture, PROD, REGION, ROLE};

const HOUR: Duration = Duration::from_hours(1);
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";

impl Fixture {
    /// Configures `prod` with that AWS profile, with the usual role or without a role.
    fn use_aws_profile(&self, profile: &str) {
        self.configure(&PROD.replace("aws_profile = \"work\"", &format!("aws_profile = \"{profile}\"")));
    }

    /// Checks that the cluster accepts a token of the profile.
    #[track_caller]
    fn assert_accepted(&self, name: &str) {
        let token = self.good_token(name);
        self.api.username(token.token()).unwrap();
    }

    fn steps_of(&self, source: &str, request: LoginRequest) -> Vec<LoginStep> {
        let (sender, mut receiver) = mpsc::channel(64);
        self.block_on(async {
            let _ = self.agent.login.login(source.parse().unwrap(), request, sender).await;
            let mut steps = Vec::new();
            while let Some(step) = receiver.recv().await {
                steps.push(step);
            }
            steps
        })
    }
}

/// Returns a fixture whose source is IAM Identity Center, with a valid login.
fn signed_in() -> (Fixture, Sso) {
    let fixture = Fixture::new();
    let center = fixture.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    fixture.aws.update_role(ROLE, |role| role.trusts(&assigned));
    fixture.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    fixture.use_aws_profile("corp-dev");
    center.approve_all();
    fixture.steps_of("work", LoginRequest::default());
    fixture.assert_accepted("prod");
    (fixture, center)
}

#[test]
fn web_identity_is_a_source() {
    let fixture = Fixture::new();
    let base = "arn:aws:iam::111122223333:role/ci";
    fixture.aws.add_role(Role::new(base).trusts_web_identity("repo:acme/app"));
    fixture.aws.update_role(ROLE, |role| role.trusts(base));
    let token = fixture.aws.web_identity_token("repo:acme/app");
    fixture.sandbox.write_web_identity("ci", base, &token, &fixture.aws.endpoint());
    fixture.use_aws_profile("ci");
    fixture.assert_accepted("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRoleWithWebIdentity), 1);
    // The daemon reads the token file again for the next load.
    fixture.clock.advance(HOUR);
    let token = fixture.aws.web_identity_token("repo:acme/app");
    fixture.sandbox.write_web_identity("ci", base, &token, &fixture.aws.endpoint());
    fixture.assert_accepted("prod");
}

#[test]
fn instance_metadata_and_its_role_are_sources() {
    let fixture = Fixture::new();
    let own = "arn:aws:iam::111122223333:role/instance";
    fixture.aws.add_role(Role::new(own));
    fixture.aws.add_role(Role::new(OTHER).trusts(own));
    fixture.aws.update_role(ROLE, |role| role.trusts(OTHER));
    let instance = fixture.aws.instance_metadata(own);
    fixture.sandbox.write_instance_profile("machine", OTHER, &instance, &fixture.aws.endpoint());
    fixture.use_aws_profile("machine");
    fixture.assert_accepted("prod");
    fixture.assert_accepted("prod");
    let roles: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [OTHER, ROLE]);
    fixture.clock.advance(7 * HOUR);
    fixture.assert_accepted("prod");
    assert_eq!(instance.fetched(), 2);
}

#[test]
fn identity_center_source_needs_one_login() {
    let fixture = Fixture::new();
    let center = fixture.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    fixture.aws.update_role(ROLE, |role| role.trusts(&assigned));
    fixture.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    fixture.use_aws_profile("corp-dev");
    let line = fixture.token_error("prod", 5);
    assert_eq!(line, "rolecall: prod: source \"work\" needs a login. Run: rolecall login work");
    center.approve_all();
    let steps = fixture.steps_of("work", LoginRequest { flow: LoginFlow::Device, ..LoginRequest::default() });
    let [
        LoginStep::Browser { url, code: Some(code), joined: false, .. },
        LoginStep::Done { source, arn, changed: true },
    ] = steps.as_slice()
    else {
        panic!("{steps:?}")
    };
    assert!(url.contains(code.as_str()), "{url} {code}");
    assert!(arn.as_ref().unwrap().contains("assumed-role/AWSReservedSSO_Developers_"), "{arn:?}");
    assert_eq!(source.login.as_ref().unwrap().kind, LoginKind::Sso);
    fixture.assert_accepted("prod");
    // The token is renewed in the background for hours; a second login has nothing to do.
    for _ in 0..6 {
        fixture.clock.advance(HOUR);
        fixture.assert_accepted("prod");
    }
    let steps = fixture.steps_of("work", LoginRequest::default());
    assert!(matches!(steps.as_slice(), [LoginStep::Done { changed: false, .. }]), "{steps:?}");
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);
}

/// Fault matrix row 70.
#[test]
fn identity_center_session_is_renewed_from_valid_login() {
    let (fixture, _) = signed_in();
    let before = fixture.aws.calls(Op::CreateToken);
    fixture.clock.advance(2 * HOUR);
    let name = "prod".parse().unwrap();
    fixture.block_on(async {
        let all = (0..50).map(|_| fixture.agent.token.token(&name, b"", &EntryProof::Terminal, None));
        for token in futures_util::future::join_all(all).await {
            token.unwrap();
        }
    });
    assert_eq!(fixture.aws.calls(Op::CreateToken) - before, 1);
}

/// Fault matrix row 71.
#[test]
fn revoked_login_is_one_attempt_for_500_callers() {
    let (fixture, center) = signed_in();
    center.revoke_all();
    fixture.clock.advance(9 * HOUR);
    let before = (fixture.aws.calls(Op::CreateToken), fixture.aws.calls(Op::StartDeviceAuthorization));
    let name = "prod".parse().unwrap();
    fixture.block_on(async {
        let all = (0..500).map(|_| fixture.agent.token.token(&name, b"", &EntryProof::Terminal, None));
        for token in futures_util::future::join_all(all).await {
            assert_eq!(token.unwrap_err().0.code.exit_code(), 5);
        }
    });
    assert!(fixture.aws.calls(Op::CreateToken) - before.0 <= 1);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), before.1, "only the user starts a login");
    assert_eq!(fixture.agent.status.status().profiles[0].state, ProfileState::LoginNeeded);
    // 500 concurrent logins share one login.
    let logins = (0..500).map(|_| async {
        let (sender, mut receiver) = mpsc::channel(64);
        let login = fixture.agent.login.login("work".parse().unwrap(), LoginRequest::default(), sender);
        let reading = async {
            let mut last = None;
            while let Some(step) = receiver.recv().await {
                last = Some(step);
            }
            last.unwrap()
        };
        futures_util::future::join(login, reading).await.1
    });
    for last in fixture.block_on(futures_util::future::join_all(logins)) {
        assert!(matches!(last, LoginStep::Done { .. }), "{last:?}");
    }
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), before.1 + 1);
    fixture.assert_accepted("prod");
}

#[test]
fn session_of_one_user_is_not_served_to_another() {
    let (fixture, center) = signed_in();
    let endpoint = fixture.aws.endpoint();
    // One source shares the login; another has an AWS profile whose role is assumed with it.
    fixture.aws.add_role(Role::new(OTHER).trusts(&center.assign("dev", ACCOUNT, "Auditors")));
    fixture.aws.update_role(ROLE, |role| role.trusts(OTHER));
    fixture.aws.update_role(ROLE, |role| role.trusts(&center.assign("dev", ACCOUNT, "Auditors")));
    fixture.sandbox.write_sso_profile("corp-audit", Some("corp"), &center, ACCOUNT, "Auditors");
    fixture.sandbox.write_aws_config("hub", &AwsProfile::role(OTHER, "corp-audit"), &endpoint);
    let prod = PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp-dev\"");
    let more = ["audit", "hub"].map(|name| {
        let profile = if name == "audit" { "corp-audit" } else { name };
        format!(
            "[sources.{name}]\naws_profile = \"{profile}\"\n[profiles.{name}]\ncluster = \"prod\"\n\
             region = \"{REGION}\"\nsource = \"{name}\"\nrole_arn = \"{ROLE}\"\n"
        )
    });
    fixture.configure(&format!("{prod}{}", more.concat()));
    let assert_all_accepted = || ["prod", "audit", "hub"].map(|name| fixture.assert_accepted(name));
    let callers = |user: &str| {
        let callers = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.caller_arn);
        callers.filter(|caller| caller.ends_with(&format!("/{user}"))).collect::<Vec<_>>()
    };
    assert_all_accepted();
    // A login command on a valid login changes nothing.
    fixture.steps_of("work", LoginRequest::default());
    assert_all_accepted();
    let before = callers("dev");
    assert_eq!(before.len(), 3, "{before:?}");
    for role in ["Developers", "Auditors"] {
        center.assign("eve", ACCOUNT, role);
    }
    center.set_browser_user("eve");
    let steps = fixture.steps_of("work", LoginRequest { renew: true, ..LoginRequest::default() });
    let Some(LoginStep::Done { arn, .. }) = steps.last() else { panic!("{steps:?}") };
    assert_eq!(arn.as_deref(), Some(Sso::session_arn("eve", ACCOUNT, "Developers").as_str()));
    assert_all_accepted();
    assert_eq!((callers("dev"), callers("eve").len()), (before, 3));
    // A refresh of the login keeps the sessions.
    fixture.clock.advance(2 * HOUR);
    assert_all_accepted();
    assert_all_accepted();
    assert_eq!(callers("eve").len(), 6);
}

/// Fault matrix row 75.
#[test]
fn logout_ends_shared_login_and_in_flight_loads() {
    let fixture = Fixture::new();
    let center = fixture.aws.sso();
    for role in ["Developers", "Auditors"] {
        let assigned = center.assign("dev", ACCOUNT, role);
        fixture.aws.update_role(ROLE, |known| known.trusts(&assigned));
    }
    fixture.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    fixture.sandbox.write_sso_profile("corp-audit", Some("corp"), &center, ACCOUNT, "Auditors");
    let dev = PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp-dev\"");
    fixture.configure(&format!(
        "{dev}[sources.audit]\naws_profile = \"corp-audit\"\n[profiles.audit]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
         source = \"audit\"\nrole_arn = \"{ROLE}\"\n"
    ));
    center.approve_all();
    fixture.steps_of("work", LoginRequest::default());
    fixture.assert_accepted("prod");
    fixture.assert_accepted("audit");
    let out = fixture.block_on(fixture.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!((out.sessions, out.revoked, out.problem), (4, Some(true), None));
    fixture.token_error("prod", 5);
    fixture.token_error("audit", 5);
    assert!(center.secrets().iter().all(|secret| !grep(&fixture.sandbox.home().join(".aws"), secret)));
    // A second logout is no error.
    let out = fixture.block_on(fixture.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!(out.sessions, 0);
}

#[test]
fn roles_of_aws_files_are_assumed_once_and_shared() {
    let fixture = Fixture::new();
    let hub = "arn:aws:iam::999988887777:role/hub";
    fixture.aws.add_role(Role::new(hub).trusts(&fixture.user.arn));
    fixture.aws.add_role(Role::new(OTHER).trusts(hub));
    fixture.aws.update_role(ROLE, |role| role.trusts(hub));
    let endpoint = fixture.aws.endpoint();
    fixture.sandbox.write_aws_config("hub", &AwsProfile::role(hub, "work"), &endpoint);
    fixture.sandbox.write_aws_config("dev", &AwsProfile::role(ROLE, "hub").with("role_session_name", "me"), &endpoint);
    fixture.sandbox.write_aws_config("ops", &AwsProfile::role(OTHER, "hub"), &endpoint);
    fixture.aws.grant("prod", REGION, OTHER, "ops:{{SessionName}}", &["system:masters"]);
    let profile = |name: &str| {
        format!(
            "[sources.{name}]\naws_profile = \"{name}\"\n[profiles.{name}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"{name}\"\n"
        )
    };
    fixture.configure(&[profile("dev"), profile("ops")].concat());
    fixture.assert_accepted("dev");
    fixture.assert_accepted("ops");
    let calls: Vec<_> = fixture
        .aws
        .log_of(Op::AssumeRole)
        .into_iter()
        .map(|call| (call.role_arn.unwrap(), call.session_name.unwrap()))
        .collect();
    let expected = [(hub, "dev@laptop"), (ROLE, "me"), (OTHER, "dev@laptop")];
    assert_eq!(calls, expected.map(|(role, name)| (role.to_owned(), name.to_owned())));
}

/// Whether a file below the folder contains the text.
fn grep(folder: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        if entry.path().is_dir() {
            grep(&entry.path(), text)
        } else {
            std::fs::read(entry.path()).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
        }
    })
}
