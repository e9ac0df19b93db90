//! What a login is good for, how it is renewed, and how it ends.

use super::*;
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::profile::Chain;
use rolecalld::keyring::Keyring;
use rolecalld::sessions::{Sessions, Want};
use tokio::time::timeout;

/// Fault matrix row 70.
#[tokio::test(flavor = "multi_thread")]
async fn sso_token_expired_is_renewed_once_for_all_callers() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    let before = simulation.token();
    simulation.center.assign("dev", ACCOUNT, "auditors");
    simulation.sandbox.write_sso_profile("corp-audit", Some("corp"), &simulation.center, ACCOUNT, "auditors");
    simulation.clock.advance(Duration::from_mins(58));
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let (profile, role) = if caller % 2 == 0 { ("corp-dev", ROLE) } else { ("corp-audit", "auditors") };
        let sso = simulation.sso.clone();
        let session = SsoSession { profile: profile.to_owned(), ..simulation.session.clone() };
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, role).await.map(drop) });
    }
    assert_eq!(callers.join_all().await, vec![Ok(()); 50]);
    assert_eq!(simulation.renewals(), 1);
    let after = simulation.token();
    for key in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    assert_eq!(after["clientId"], before["clientId"]);
    assert_eq!(simulation.aws.calls(Op::StartDeviceAuthorization), 1, "no person was needed");
}

/// Fault matrix row 71.
#[tokio::test(flavor = "multi_thread")]
async fn sso_refresh_token_revoked_needs_login() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.center.revoke_all();
    simulation.clock.advance(2 * HOUR);
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (sso, session) = (simulation.sso.clone(), simulation.session.clone());
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) });
    }
    for outcome in callers.join_all().await {
        assert_eq!(why(&outcome.unwrap_err()), "the login has expired");
    }
    assert_eq!(simulation.role().await.unwrap_err().class(), ErrorClass::Login);
    assert_eq!((simulation.renewals(), simulation.aws.calls(Op::GetRoleCredentials)), (1, 0));
    assert!(!simulation.sso.status(&simulation.session).unwrap().renews);
    // A person logs in, and all is well.
    simulation.center.approve_all();
    assert_eq!(last(simulation.login(LoginFlow::Device)).await, SsoStep::Done);
    simulation.role().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_token_revoked_early_is_renewed_or_needs_login() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.center.revoke_access();
    simulation.role().await.unwrap();
    assert_eq!((simulation.renewals(), simulation.aws.calls(Op::GetRoleCredentials)), (1, 2));
    simulation.center.revoke_all();
    assert_eq!(why(&simulation.role().await.unwrap_err()), "the login has expired");
    // Its date says that it is good, and the portal has said that it is not.
    assert_eq!(why(&simulation.role().await.unwrap_err()), "the login has expired");
    simulation.center.approve_all();
    assert_eq!(last(simulation.login(LoginFlow::Device)).await, SsoStep::Done);
    simulation.role().await.unwrap();
    assert_eq!(simulation.aws.calls(Op::StartDeviceAuthorization), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_role_not_assigned_has_its_own_error() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    let denied = simulation.sso.role_credentials(&simulation.session, ACCOUNT, "admins").await.unwrap_err();
    assert_eq!((denied.class(), denied), (ErrorClass::Change, SsoError::NoAssignment));
    simulation.aws.fault(Op::GetRoleCredentials, Fault::Throttle);
    let SsoError::Aws(throttled) = simulation.role().await.unwrap_err() else { panic!() };
    assert_eq!(throttled.kind, AwsErrorKind::Throttled);
    simulation.aws.fault(Op::GetRoleCredentials, Fault::Html);
    assert_eq!(simulation.role().await.unwrap_err().class(), ErrorClass::Retry);
    simulation.aws.fault(Op::GetRoleCredentials, Fault::Empty200);
    assert_eq!(simulation.role().await.unwrap_err().class(), ErrorClass::Retry);
    assert_eq!(simulation.renewals(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_renewal_failure_keeps_the_token() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.aws.fault(Op::CreateToken, Fault::Status(503).forever());
    simulation.clock.advance(Duration::from_mins(57));
    simulation.role().await.unwrap();
    simulation.clock.advance(Duration::from_mins(4));
    let error = match simulation.role().await.unwrap_err() {
        SsoError::Aws(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!((error.kind, error.kind.class()), (AwsErrorKind::Unreachable, ErrorClass::Retry));
    simulation.aws.clear_faults();
    simulation.role().await.unwrap();
    assert_eq!(simulation.renewals(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_legacy_login_expires_with_its_token() {
    let simulation = Simulation::logged_in(None).await;
    assert!(simulation.token().get("refreshToken").is_none());
    assert!(!simulation.sso.status(&simulation.session).unwrap().renews);
    simulation.role().await.unwrap();
    simulation.clock.advance(Duration::from_mins(57));
    simulation.role().await.unwrap();
    simulation.clock.advance(Duration::from_mins(4));
    assert_eq!(why(&simulation.role().await.unwrap_err()), "the login has expired");
    assert_eq!(simulation.renewals(), 0);
    assert!(!simulation.aws.log_of(Op::RegisterClient)[0].params.contains_key("scopes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_token_renewed_by_another_tool_is_used() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    let mut token = simulation.token();
    token["receivedAt"] = "2026-01-02T03:04:05Z".into();
    fs::write(simulation.file().unwrap(), token.to_string()).unwrap();
    simulation.clock.advance(HOUR);
    let other = another(&simulation.clock, &simulation.sandbox);
    other.role_credentials(&simulation.session, ACCOUNT, ROLE).await.unwrap();
    simulation.role().await.unwrap();
    assert_eq!(simulation.renewals(), 1);
    assert_eq!(simulation.token()["receivedAt"], "2026-01-02T03:04:05Z");
    simulation.center.approve_all();
    assert_eq!(last(simulation.sso.login(&simulation.session, LoginFlow::Device, true)).await, SsoStep::Done);
    assert_eq!(simulation.token()["receivedAt"], "2026-01-02T03:04:05Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_ends_the_login_everywhere() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    assert_eq!(simulation.sso.logout(&simulation.session).await, Ok(true));
    assert_eq!((simulation.file(), simulation.aws.calls(Op::Logout)), (None, 1));
    assert_eq!(why(&simulation.role().await.unwrap_err()), "nobody is logged in");
    assert_eq!(simulation.sso.logout(&simulation.session).await, Ok(false));

    // One that is over has a refresh token that is not.
    let simulation = Simulation::logged_in(Some("corp")).await;
    let token = simulation.token();
    simulation.clock.advance(2 * HOUR);
    assert_eq!(simulation.sso.logout(&simulation.session).await, Ok(true));
    assert_eq!((simulation.file(), simulation.renewals()), (None, 1));
    fs::write(simulation.sandbox.home().join(".aws/sso/cache/0.json"), token.to_string()).unwrap();

    // One that AWS does not hear of is gone from here all the same.
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.aws.fault(Op::Logout, Fault::Reset);
    assert!(matches!(simulation.sso.logout(&simulation.session).await, Err(SsoError::Aws(_))));
    assert_eq!(simulation.file(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_cancels_in_flight_renewal() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.clock.advance(HOUR);
    let gate = Gate::new();
    simulation.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = simulation.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (simulation.sso.clone(), simulation.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await })
    };
    simulation.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    // The held renewal has not used the refresh token up: the portal is told with a token of its own.
    simulation.sso.logout(&simulation.session).await.unwrap();
    assert_eq!(why(&renewing.await.unwrap().unwrap_err()), "somebody logged out meanwhile");
    gate.open();
    simulation.aws.wait_for_answers(Op::CreateToken, calls + 1, SOON);
    assert_eq!(simulation.file(), None);

    let mut login = simulation.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    assert_eq!(simulation.sso.logout(&simulation.session).await, Ok(false));
    simulation.center.approve(&code);
    assert_eq!(why_failed(last(login).await), "the login was dropped");
    assert_eq!(simulation.file(), None);
}

/// Has `meanwhile` happen while a renewal is under way, and returns the simulation and what came of that.
async fn renewed_while(meanwhile: impl FnOnce(&Simulation)) -> (Simulation, Result<(), SsoError>) {
    let simulation = Simulation::logged_in(Some("corp")).await;
    simulation.clock.advance(HOUR);
    let gate = Gate::new();
    simulation.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = simulation.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (simulation.sso.clone(), simulation.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) })
    };
    simulation.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    meanwhile(&simulation);
    gate.open();
    simulation.aws.wait_for_answers(Op::CreateToken, calls + 1, SOON);
    let outcome = renewing.await.unwrap();
    (simulation, outcome)
}

/// Puts another person's login in place, as another tool does it.
fn write_theirs(simulation: &Simulation, access: &str, expires: &str) {
    let mut token = simulation.token();
    token["accessToken"] = access.into();
    token["refreshToken"] = "theirs".into();
    token["expiresAt"] = expires.into();
    fs::write(simulation.file().unwrap(), token.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_by_another_tool_survives_renewal() {
    let (simulation, outcome) = renewed_while(|simulation| fs::remove_file(simulation.file().unwrap()).unwrap()).await;
    assert_eq!(why(&outcome.unwrap_err()), "somebody logged out meanwhile");
    assert_eq!(simulation.file(), None);
    assert_eq!(why(&simulation.role().await.unwrap_err()), "nobody is logged in");
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_login_by_another_tool_survives_renewal() {
    // It is used: AWS, which has never heard of it, says no to that very token and to what would renew it.
    let (simulation, outcome) =
        renewed_while(|simulation| write_theirs(simulation, "access of another", "2026-01-02T14:04:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login has expired");
    assert_eq!((simulation.token()["accessToken"].as_str(), simulation.renewals()), (Some("access of another"), 2));

    // One that is over already is no good, and stays as well.
    let (simulation, outcome) =
        renewed_while(|simulation| write_theirs(simulation, "access of another", "2026-01-02T03:05:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login has expired");
    assert_eq!((simulation.token()["refreshToken"].as_str(), simulation.renewals()), (Some("theirs"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_renewal_keeps_unknown_fields_of_the_file() {
    let (simulation, outcome) = renewed_while(|simulation| {
        let mut token = simulation.token();
        token["receivedAt"] = "2026-01-02T03:04:05Z".into();
        fs::write(simulation.file().unwrap(), token.to_string()).unwrap();
    })
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!((simulation.renewals(), &simulation.token()["receivedAt"]), (1, &"2026-01-02T03:04:05Z".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_invalidation_ends_renewal_but_keeps_login() {
    let simulation = Simulation::logged_in(Some("corp")).await;
    let before = simulation.token();
    let aws = clients(&simulation.clock, &simulation.sandbox);
    let keyring = Keyring::new(aws.clock().clone());
    let sessions = Sessions::new(aws, keyring, NameTemplate::new("dev", "", "", ""));
    let chain = Chain::of_source(SourceConfig { kind: SourceKind::AwsProfile("corp-dev".to_owned()), mfa: None });
    assert!(sessions.get(&chain, Want::Fresh).await.is_ok());
    simulation.clock.advance(2 * HOUR);
    let gate = Gate::new();
    simulation.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = simulation.aws.calls(Op::CreateToken);
    let getting = {
        let (sessions, chain) = (sessions.clone(), chain.clone());
        tokio::spawn(async move { sessions.get(&chain, Want::Fresh).await.map(drop) })
    };
    simulation.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    let sso = sessions.sources().aws_profiles().sso();
    let mut login = sso.login(&simulation.session, LoginFlow::Browser, true);
    let (url, ..) = shown(&mut login).await;
    sessions.forget_all();
    assert!(getting.await.unwrap().is_err());
    assert_eq!(simulation.token(), before);
    // Whoever comes now does not wait for the one that was dropped, and that one writes nothing later.
    let next = timeout(SOON, sso.role_credentials(&simulation.session, ACCOUNT, ROLE)).await;
    assert_eq!(next.unwrap().map(drop), Ok(()));
    let before = simulation.token();
    gate.open();
    simulation.aws.wait_for_answers(Op::CreateToken, calls + 2, SOON);
    assert_eq!(simulation.token(), before);
    // What a person approves is the AWS CLI's as well.
    simulation.center.approve_all();
    spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert_eq!(last(login).await, SsoStep::Done);
    assert_ne!(simulation.token()["accessToken"], before["accessToken"]);
    sessions.begin_again();
    assert!(sessions.get(&chain, Want::Fresh).await.is_ok());
}
