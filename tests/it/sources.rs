//! Where base credentials come from: every kind of AWS profile, from AWS's own files to a token that the cluster takes.

use std::time::Duration;

use rolecall_harness::{AwsProfile, Op, Role, Sso};
use rolecall_protocol::{LoginFlow, LoginKind, LoginRequest, LoginStep, ProfileState};
use tokio::sync::mpsc;

use crate::world::{ACCOUNT, PROD, REGION, ROLE, World};

const HOUR: Duration = Duration::from_hours(1);
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";

impl World {
    /// `prod` from that AWS profile, through the usual role or as the source itself.
    fn goes_by(&self, profile: &str) {
        self.configure(&PROD.replace("aws_profile = \"work\"", &format!("aws_profile = \"{profile}\"")));
    }

    /// The cluster takes it: the API server asks STS who it is.
    #[track_caller]
    fn is_taken(&self, name: &str) {
        let token = self.good_token(name);
        self.api.username(token.token()).unwrap();
    }

    fn steps_of(&self, source: &str, request: LoginRequest) -> Vec<LoginStep> {
        let (tell, mut told) = mpsc::channel(64);
        self.block_on(async {
            self.agent.login.login(source.parse().unwrap(), request, tell).await;
            let mut steps = Vec::new();
            while let Some(step) = told.recv().await {
                steps.push(step);
            }
            steps
        })
    }
}

/// A world whose source is IAM Identity Center, where a person has logged in.
fn signed_in() -> (World, Sso) {
    let world = World::new();
    let center = world.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    world.aws.update_role(ROLE, |role| role.trusts(&assigned));
    world.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    world.goes_by("corp-dev");
    center.approve_all();
    world.steps_of("work", LoginRequest::default());
    world.is_taken("prod");
    (world, center)
}

#[test]
fn a_web_identity_is_a_source() {
    let world = World::new();
    let base = "arn:aws:iam::111122223333:role/ci";
    world.aws.add_role(Role::new(base).trusts_web_identity("repo:acme/app"));
    world.aws.update_role(ROLE, |role| role.trusts(base));
    let token = world.aws.web_identity_token("repo:acme/app");
    world.sandbox.write_web_identity("ci", base, &token, &world.aws.endpoint());
    world.goes_by("ci");
    world.is_taken("prod");
    assert_eq!(world.aws.calls(Op::AssumeRoleWithWebIdentity), 1);
    // The token in the file is read anew when it is needed.
    world.clock.advance(HOUR);
    let token = world.aws.web_identity_token("repo:acme/app");
    world.sandbox.write_web_identity("ci", base, &token, &world.aws.endpoint());
    world.is_taken("prod");
}

#[test]
fn an_instance_is_a_source_and_its_role_one_of_ours() {
    let world = World::new();
    let own = "arn:aws:iam::111122223333:role/instance";
    world.aws.add_role(Role::new(own));
    world.aws.add_role(Role::new(OTHER).trusts(own));
    world.aws.update_role(ROLE, |role| role.trusts(OTHER));
    let instance = world.aws.instance_metadata(own);
    world.sandbox.write_instance_profile("machine", OTHER, &instance, &world.aws.endpoint());
    world.goes_by("machine");
    world.is_taken("prod");
    world.is_taken("prod");
    let roles: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [OTHER, ROLE]);
    world.clock.advance(7 * HOUR);
    world.is_taken("prod");
    assert_eq!(instance.fetched(), 2);
}

#[test]
fn identity_center_is_a_source_that_a_person_logs_in_to_once() {
    let world = World::new();
    let center = world.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    world.aws.update_role(ROLE, |role| role.trusts(&assigned));
    world.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    world.goes_by("corp-dev");
    let line = world.token_error("prod", 5);
    assert_eq!(line, "rolecall: prod: source \"work\" needs a login. Run: rolecall login work");
    center.approve_all();
    let steps = world.steps_of("work", LoginRequest { flow: LoginFlow::Device, ..LoginRequest::default() });
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
    world.is_taken("prod");
    // For hours nobody notices that the token is renewed; a second login has nothing to do.
    for _ in 0..6 {
        world.clock.advance(HOUR);
        world.is_taken("prod");
    }
    let steps = world.steps_of("work", LoginRequest::default());
    assert!(matches!(steps.as_slice(), [LoginStep::Done { changed: false, .. }]), "{steps:?}");
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), 1);
}

#[test]
fn row_70_a_role_of_identity_center_ends_and_its_login_does_not() {
    let (world, _) = signed_in();
    let before = world.aws.calls(Op::CreateToken);
    world.clock.advance(2 * HOUR);
    let name = "prod".parse().unwrap();
    world.block_on(async {
        let all = (0..50).map(|_| world.agent.token.token(&name, b"", None));
        for token in futures_util::future::join_all(all).await {
            token.unwrap();
        }
    });
    assert_eq!(world.aws.calls(Op::CreateToken) - before, 1);
}

#[test]
fn row_71_a_revoked_login_is_one_attempt_and_five_hundred_answers() {
    let (world, center) = signed_in();
    center.revoke_all();
    world.clock.advance(9 * HOUR);
    let before = (world.aws.calls(Op::CreateToken), world.aws.calls(Op::StartDeviceAuthorization));
    let name = "prod".parse().unwrap();
    world.block_on(async {
        let all = (0..500).map(|_| world.agent.token.token(&name, b"", None));
        for token in futures_util::future::join_all(all).await {
            assert_eq!(token.unwrap_err().0.code.exit_code(), 5);
        }
    });
    assert!(world.aws.calls(Op::CreateToken) - before.0 <= 1);
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), before.1, "a login is begun by a person alone");
    assert_eq!(world.agent.status.status().profiles[0].state, ProfileState::LoginNeeded);
    // Five hundred who log in are one login.
    let logins = (0..500).map(|_| async {
        let (tell, mut told) = mpsc::channel(64);
        let login = world.agent.login.login("work".parse().unwrap(), LoginRequest::default(), tell);
        let reading = async {
            let mut last = None;
            while let Some(step) = told.recv().await {
                last = Some(step);
            }
            last.unwrap()
        };
        futures_util::future::join(login, reading).await.1
    });
    for last in world.block_on(futures_util::future::join_all(logins)) {
        assert!(matches!(last, LoginStep::Done { .. }), "{last:?}");
    }
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), before.1 + 1);
    world.is_taken("prod");
}

#[test]
fn what_was_got_for_one_person_is_not_served_to_the_next() {
    let (world, center) = signed_in();
    let endpoint = world.aws.endpoint();
    // A source that shares the login, and one whose AWS profile leads to a role by way of it.
    world.aws.add_role(Role::new(OTHER).trusts(&center.assign("dev", ACCOUNT, "Auditors")));
    world.aws.update_role(ROLE, |role| role.trusts(OTHER));
    world.aws.update_role(ROLE, |role| role.trusts(&center.assign("dev", ACCOUNT, "Auditors")));
    world.sandbox.write_sso_profile("corp-audit", Some("corp"), &center, ACCOUNT, "Auditors");
    world.sandbox.write_aws_config("hub", &AwsProfile::role(OTHER, "corp-audit"), &endpoint);
    let prod = PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp-dev\"");
    let more = ["audit", "hub"].map(|name| {
        let profile = if name == "audit" { "corp-audit" } else { name };
        format!(
            "[sources.{name}]\naws_profile = \"{profile}\"\n[profiles.{name}]\ncluster = \"prod\"\n\
             region = \"{REGION}\"\nsource = \"{name}\"\nrole_arn = \"{ROLE}\"\n"
        )
    });
    world.configure(&format!("{prod}{}", more.concat()));
    let everybody = || ["prod", "audit", "hub"].map(|name| world.is_taken(name));
    let callers = |user: &str| {
        let callers = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.caller_arn);
        callers.filter(|caller| caller.ends_with(&format!("/{user}"))).collect::<Vec<_>>()
    };
    everybody();
    // A login that was good still is no new one.
    world.steps_of("work", LoginRequest::default());
    everybody();
    let before = callers("dev");
    assert_eq!(before.len(), 3, "{before:?}");
    for role in ["Developers", "Auditors"] {
        center.assign("eve", ACCOUNT, role);
    }
    center.set_browser_user("eve");
    let steps = world.steps_of("work", LoginRequest { renew: true, ..LoginRequest::default() });
    let Some(LoginStep::Done { arn, .. }) = steps.last() else { panic!("{steps:?}") };
    assert_eq!(arn.as_deref(), Some(Sso::session_arn("eve", ACCOUNT, "Developers").as_str()));
    everybody();
    assert_eq!((callers("dev"), callers("eve").len()), (before, 3));
    // A renewal of that login is no other person.
    world.clock.advance(2 * HOUR);
    everybody();
    everybody();
    assert_eq!(callers("eve").len(), 6);
}

#[test]
fn row_75_a_logout_ends_the_login_for_all_that_share_it_and_what_is_in_flight() {
    let world = World::new();
    let center = world.aws.sso();
    for role in ["Developers", "Auditors"] {
        let assigned = center.assign("dev", ACCOUNT, role);
        world.aws.update_role(ROLE, |known| known.trusts(&assigned));
    }
    world.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    world.sandbox.write_sso_profile("corp-audit", Some("corp"), &center, ACCOUNT, "Auditors");
    let dev = PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp-dev\"");
    world.configure(&format!(
        "{dev}[sources.audit]\naws_profile = \"corp-audit\"\n[profiles.audit]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
         source = \"audit\"\nrole_arn = \"{ROLE}\"\n"
    ));
    center.approve_all();
    world.steps_of("work", LoginRequest::default());
    world.is_taken("prod");
    world.is_taken("audit");
    let out = world.block_on(world.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!((out.sessions, out.revoked, out.problem), (4, Some(true), None));
    world.token_error("prod", 5);
    world.token_error("audit", 5);
    assert!(center.secrets().iter().all(|secret| !grep(&world.sandbox.home().join(".aws"), secret)));
    // Logging out twice is no error.
    let out = world.block_on(world.agent.logout.logout(&"work".parse().unwrap())).unwrap();
    assert_eq!(out.sessions, 0);
}

#[test]
fn roles_of_awss_files_are_assumed_once_for_all_that_build_on_them() {
    let world = World::new();
    let hub = "arn:aws:iam::999988887777:role/hub";
    world.aws.add_role(Role::new(hub).trusts(&world.user.arn));
    world.aws.add_role(Role::new(OTHER).trusts(hub));
    world.aws.update_role(ROLE, |role| role.trusts(hub));
    let endpoint = world.aws.endpoint();
    world.sandbox.write_aws_config("hub", &AwsProfile::role(hub, "work"), &endpoint);
    world.sandbox.write_aws_config("dev", &AwsProfile::role(ROLE, "hub").with("role_session_name", "me"), &endpoint);
    world.sandbox.write_aws_config("ops", &AwsProfile::role(OTHER, "hub"), &endpoint);
    world.aws.grant("prod", REGION, OTHER, "ops:{{SessionName}}", &["system:masters"]);
    let profile = |name: &str| {
        format!(
            "[sources.{name}]\naws_profile = \"{name}\"\n[profiles.{name}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"{name}\"\n"
        )
    };
    world.configure(&[profile("dev"), profile("ops")].concat());
    world.is_taken("dev");
    world.is_taken("ops");
    let calls: Vec<_> = world
        .aws
        .log_of(Op::AssumeRole)
        .into_iter()
        .map(|call| (call.role_arn.unwrap(), call.session_name.unwrap()))
        .collect();
    let expected = [(hub, "dev@laptop"), (ROLE, "me"), (OTHER, "dev@laptop")];
    assert_eq!(calls, expected.map(|(role, name)| (role.to_owned(), name.to_owned())));
}

/// Whether any file below a folder holds a text.
fn grep(folder: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        if entry.path().is_dir() {
            grep(&entry.path(), text)
        } else {
            std::fs::read(entry.path()).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
        }
    })
}
