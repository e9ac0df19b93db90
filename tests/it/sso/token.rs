//! What a login is good for, how it is renewed, and how it ends.

use super::*;
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::role_chain::RoleChain;
use rolecalld::keyring::Keyring;
use rolecalld::sessions::{Freshness, Sessions};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn row_70_many_callers_with_a_token_that_is_over_renew_it_once() {
    let rig = Rig::logged_in(Some("corp")).await;
    let before = rig.token();
    rig.center.assign("dev", ACCOUNT, "auditors");
    rig.sandbox.write_sso_profile("corp-audit", Some("corp"), &rig.center, ACCOUNT, "auditors");
    rig.clock.advance(Duration::from_mins(58));
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let (profile, role) = if caller % 2 == 0 { ("corp-dev", ROLE) } else { ("corp-audit", "auditors") };
        let sso = rig.sso.clone();
        let session = SsoSession { profile: profile.to_owned(), ..rig.session.clone() };
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, role).await.map(drop) });
    }
    assert_eq!(callers.join_all().await, vec![Ok(()); 50]);
    assert_eq!(rig.renewals(), 1);
    let after = rig.token();
    for key in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    assert_eq!(after["clientId"], before["clientId"]);
    assert_eq!(rig.aws.calls(Op::StartDeviceAuthorization), 1, "no person was needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_71_a_refresh_token_that_was_revoked_needs_a_person_at_once() {
    let rig = Rig::logged_in(Some("corp")).await;
    rig.center.revoke_all();
    rig.clock.advance(2 * HOUR);
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (sso, session) = (rig.sso.clone(), rig.session.clone());
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) });
    }
    for outcome in callers.join_all().await {
        assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    }
    assert_eq!(rig.role().await.unwrap_err().class(), ErrorClass::Login);
    assert_eq!((rig.renewals(), rig.aws.calls(Op::GetRoleCredentials)), (1, 0));
    assert!(!rig.sso.status(&rig.session).unwrap().renews);
    // A person logs in, and all is well.
    rig.center.approve_all();
    assert_eq!(last(rig.login(LoginFlow::Device)).await, SsoStep::Done);
    rig.role().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_early_is_renewed_or_needs_a_person() {
    let rig = Rig::logged_in(Some("corp")).await;
    rig.center.revoke_access();
    rig.role().await.unwrap();
    assert_eq!((rig.renewals(), rig.aws.calls(Op::GetRoleCredentials)), (1, 2));
    rig.center.revoke_all();
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login expired");
    // Its date says that it is good, and the portal has said that it is not.
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login expired");
    rig.center.approve_all();
    assert_eq!(last(rig.login(LoginFlow::Device)).await, SsoStep::Done);
    rig.role().await.unwrap();
    assert_eq!(rig.aws.calls(Op::StartDeviceAuthorization), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_nobody_assigned_is_told_apart() {
    let rig = Rig::logged_in(Some("corp")).await;
    let denied = rig.sso.role_credentials(&rig.session, ACCOUNT, "admins").await.unwrap_err();
    assert_eq!((denied.class(), denied), (ErrorClass::Change, SsoError::NoAssignment));
    rig.aws.fault(Op::GetRoleCredentials, Fault::Throttle);
    let SsoError::Aws(throttled) = rig.role().await.unwrap_err() else { panic!() };
    assert_eq!(throttled.kind, AwsErrorKind::Throttled);
    rig.aws.fault(Op::GetRoleCredentials, Fault::Html);
    assert_eq!(rig.role().await.unwrap_err().class(), ErrorClass::Retry);
    rig.aws.fault(Op::GetRoleCredentials, Fault::Empty200);
    assert_eq!(rig.role().await.unwrap_err().class(), ErrorClass::Retry);
    assert_eq!(rig.renewals(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_takes_nothing_away() {
    let rig = Rig::logged_in(Some("corp")).await;
    rig.aws.fault(Op::CreateToken, Fault::Status(503).forever());
    rig.clock.advance(Duration::from_mins(57));
    rig.role().await.unwrap();
    rig.clock.advance(Duration::from_mins(4));
    let error = match rig.role().await.unwrap_err() {
        SsoError::Aws(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!((error.kind, error.kind.class()), (AwsErrorKind::Unreachable, ErrorClass::Retry));
    rig.aws.clear_faults();
    rig.role().await.unwrap();
    assert_eq!(rig.renewals(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_login_ends_with_its_token() {
    let rig = Rig::logged_in(None).await;
    assert!(rig.token().get("refreshToken").is_none());
    assert!(!rig.sso.status(&rig.session).unwrap().renews);
    rig.role().await.unwrap();
    rig.clock.advance(Duration::from_mins(57));
    rig.role().await.unwrap();
    rig.clock.advance(Duration::from_mins(4));
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login expired");
    assert_eq!(rig.renewals(), 0);
    assert!(!rig.aws.log_of(Op::RegisterClient)[0].params.contains_key("scopes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_renews_is_used_and_what_it_keeps_is_kept() {
    let rig = Rig::logged_in(Some("corp")).await;
    let mut token = rig.token();
    token["receivedAt"] = "2026-01-02T03:04:05Z".into();
    fs::write(rig.file().unwrap(), token.to_string()).unwrap();
    rig.clock.advance(HOUR);
    let other = another(&rig.clock, &rig.sandbox);
    other.role_credentials(&rig.session, ACCOUNT, ROLE).await.unwrap();
    rig.role().await.unwrap();
    assert_eq!(rig.renewals(), 1);
    assert_eq!(rig.token()["receivedAt"], "2026-01-02T03:04:05Z");
    rig.center.approve_all();
    assert_eq!(last(rig.sso.login(&rig.session, LoginFlow::Device, true)).await, SsoStep::Done);
    assert_eq!(rig.token()["receivedAt"], "2026-01-02T03:04:05Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_login_everywhere() {
    let rig = Rig::logged_in(Some("corp")).await;
    assert_eq!(rig.sso.logout(&rig.session).await, Ok(true));
    assert_eq!((rig.file(), rig.aws.calls(Op::Logout)), (None, 1));
    assert_eq!(why(&rig.role().await.unwrap_err()), "nobody is logged in");
    assert_eq!(rig.sso.logout(&rig.session).await, Ok(false));

    // One that is over has a refresh token that is not.
    let rig = Rig::logged_in(Some("corp")).await;
    let token = rig.token();
    rig.clock.advance(2 * HOUR);
    assert_eq!(rig.sso.logout(&rig.session).await, Ok(true));
    assert_eq!((rig.file(), rig.renewals()), (None, 1));
    fs::write(rig.sandbox.home().join(".aws/sso/cache/0.json"), token.to_string()).unwrap();

    // One that AWS does not hear of is gone from here all the same.
    let rig = Rig::logged_in(Some("corp")).await;
    rig.aws.fault(Op::Logout, Fault::Reset);
    assert!(matches!(rig.sso.logout(&rig.session).await, Err(SsoError::Aws(_))));
    assert_eq!(rig.file(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_drops_what_is_under_way_and_nothing_is_written_afterwards() {
    let rig = Rig::logged_in(Some("corp")).await;
    rig.clock.advance(HOUR);
    let gate = Gate::new();
    rig.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = rig.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (rig.sso.clone(), rig.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await })
    };
    rig.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    // The held renewal has not used the refresh token up: the portal is told with a token of its own.
    rig.sso.logout(&rig.session).await.unwrap();
    assert_eq!(why(&renewing.await.unwrap().unwrap_err()), "cancelled by a logout or by another login");
    gate.open();
    rig.aws.wait_for_responses(Op::CreateToken, calls + 1, SOON);
    assert_eq!(rig.file(), None);

    let mut login = rig.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    assert_eq!(rig.sso.logout(&rig.session).await, Ok(false));
    rig.center.approve(&code);
    assert_eq!(why_failed(last(login).await), "cancelled by a logout or by another login");
    assert_eq!(rig.file(), None);
}

/// Has `meanwhile` happen while a renewal is under way, and returns the rig and what came of that.
async fn renewed_while(meanwhile: impl FnOnce(&Rig)) -> (Rig, Result<(), SsoError>) {
    let rig = Rig::logged_in(Some("corp")).await;
    rig.clock.advance(HOUR);
    let gate = Gate::new();
    rig.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = rig.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (rig.sso.clone(), rig.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) })
    };
    rig.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    meanwhile(&rig);
    gate.open();
    rig.aws.wait_for_responses(Op::CreateToken, calls + 1, SOON);
    let outcome = renewing.await.unwrap();
    (rig, outcome)
}

/// Puts another person's login in place, as another tool does it.
fn write_theirs(rig: &Rig, access: &str, expires: &str) {
    let mut token = rig.token();
    token["accessToken"] = access.into();
    token["refreshToken"] = "theirs".into();
    token["expiresAt"] = expires.into();
    fs::write(rig.file().unwrap(), token.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_by_another_tool_is_not_undone_by_a_renewal() {
    let (rig, outcome) = renewed_while(|rig| fs::remove_file(rig.file().unwrap()).unwrap()).await;
    assert_eq!(why(&outcome.unwrap_err()), "logged out");
    assert_eq!(rig.file(), None);
    assert_eq!(why(&rig.role().await.unwrap_err()), "nobody is logged in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_by_another_tool_is_not_undone_by_a_renewal() {
    // It is used: AWS, which has never heard of it, says no to that very token and to what would renew it.
    let (rig, outcome) = renewed_while(|rig| write_theirs(rig, "access of another", "2026-01-02T14:04:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    assert_eq!((rig.token()["accessToken"].as_str(), rig.renewals()), (Some("access of another"), 2));

    // One that is over already is no good, and stays as well.
    let (rig, outcome) = renewed_while(|rig| write_theirs(rig, "access of another", "2026-01-02T03:05:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    assert_eq!((rig.token()["refreshToken"].as_str(), rig.renewals()), (Some("theirs"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_keep_in_the_file_while_it_is_renewed_stays() {
    let (rig, outcome) = renewed_while(|rig| {
        let mut token = rig.token();
        token["receivedAt"] = "2026-01-02T03:04:05Z".into();
        fs::write(rig.file().unwrap(), token.to_string()).unwrap();
    })
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!((rig.renewals(), &rig.token()["receivedAt"]), (1, &"2026-01-02T03:04:05Z".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_ends_a_renewal_and_leaves_a_login() {
    let rig = Rig::logged_in(Some("corp")).await;
    let before = rig.token();
    let aws = clients(&rig.clock, &rig.sandbox);
    let keyring = Keyring::new(aws.clock().clone());
    let sessions = Sessions::new(aws, keyring, NameTemplate::new("dev", "", "", ""));
    let chain = RoleChain::from_source(SourceConfig { kind: SourceKind::AwsProfile("corp-dev".to_owned()), mfa: None });
    assert!(sessions.get(&chain, Freshness::Cached).await.is_ok());
    rig.clock.advance(2 * HOUR);
    let gate = Gate::new();
    rig.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = rig.aws.calls(Op::CreateToken);
    let getting = {
        let (sessions, chain) = (sessions.clone(), chain.clone());
        tokio::spawn(async move { sessions.get(&chain, Freshness::Cached).await.map(drop) })
    };
    rig.aws.wait_for_calls(Op::CreateToken, calls + 1, SOON);
    let sso = sessions.sources().aws_profiles().sso();
    let mut login = sso.login(&rig.session, LoginFlow::Browser, true);
    let (url, ..) = shown(&mut login).await;
    sessions.forget_all();
    assert!(getting.await.unwrap().is_err());
    assert_eq!(rig.token(), before);
    // Whoever comes now does not wait for the one that was dropped, and that one writes nothing later.
    let next = timeout(SOON, sso.role_credentials(&rig.session, ACCOUNT, ROLE)).await;
    assert_eq!(next.unwrap().map(drop), Ok(()));
    let before = rig.token();
    gate.open();
    rig.aws.wait_for_responses(Op::CreateToken, calls + 2, SOON);
    assert_eq!(rig.token(), before);
    // What a person approves is the AWS CLI's as well.
    rig.center.approve_all();
    spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert_eq!(last(login).await, SsoStep::Done);
    assert_ne!(rig.token()["accessToken"], before["accessToken"]);
    sessions.begin_again();
    assert!(sessions.get(&chain, Freshness::Cached).await.is_ok());
}
