//! The login's token: its use, its refresh, and its end.

use super::*;
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::role_chain::RoleChain;
use rolecalld::keyring::Keyring;
use rolecalld::sessions::{Freshness, Sessions};
use tokio::time::timeout;

/// Fault matrix row 70.
#[tokio::test(flavor = "multi_thread")]
async fn sso_token_expired_is_renewed_once_for_all_callers() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    let before = fixture.token();
    fixture.center.assign("dev", ACCOUNT, "auditors");
    fixture.sandbox.write_sso_profile("corp-audit", Some("corp"), &fixture.center, ACCOUNT, "auditors");
    fixture.clock.advance(Duration::from_mins(58));
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let (profile, role) = if caller % 2 == 0 { ("corp-dev", ROLE) } else { ("corp-audit", "auditors") };
        let sso = fixture.sso.clone();
        let session = SsoSession { profile: profile.to_owned(), ..fixture.session.clone() };
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, role).await.map(drop) });
    }
    assert_eq!(callers.join_all().await, vec![Ok(()); 50]);
    assert_eq!(fixture.renewals(), 1);
    let after = fixture.token();
    for key in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    assert_eq!(after["clientId"], before["clientId"]);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1, "no login was needed");
}

/// Fault matrix row 71.
#[tokio::test(flavor = "multi_thread")]
async fn sso_refresh_token_revoked_needs_login() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.center.revoke_all();
    fixture.clock.advance(2 * HOUR);
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (sso, session) = (fixture.sso.clone(), fixture.session.clone());
        callers.spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) });
    }
    for outcome in callers.join_all().await {
        assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    }
    assert_eq!(fixture.role().await.unwrap_err().class(), ErrorClass::Login);
    assert_eq!((fixture.renewals(), fixture.aws.calls(Op::GetRoleCredentials)), (1, 0));
    assert!(!fixture.sso.status(&fixture.session).unwrap().renews);
    // A login ends the failure.
    fixture.center.approve_all();
    assert_eq!(last(fixture.login(LoginFlow::Device)).await, SsoStep::Done);
    fixture.role().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_token_revoked_early_is_renewed_or_needs_login() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.center.revoke_access();
    fixture.role().await.unwrap();
    assert_eq!((fixture.renewals(), fixture.aws.calls(Op::GetRoleCredentials)), (1, 2));
    fixture.center.revoke_all();
    assert_eq!(why(&fixture.role().await.unwrap_err()), "the login expired");
    // The file's expiry lies in the future, but the portal has rejected the token.
    assert_eq!(why(&fixture.role().await.unwrap_err()), "the login expired");
    fixture.center.approve_all();
    assert_eq!(last(fixture.login(LoginFlow::Device)).await, SsoStep::Done);
    fixture.role().await.unwrap();
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_role_not_assigned_has_its_own_error() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    let denied = fixture.sso.role_credentials(&fixture.session, ACCOUNT, "admins").await.unwrap_err();
    assert_eq!((denied.class(), denied), (ErrorClass::Change, SsoError::NoAssignment));
    fixture.aws.fault(Op::GetRoleCredentials, Fault::Throttle);
    let SsoError::Aws(throttled) = fixture.role().await.unwrap_err() else { panic!() };
    assert_eq!(throttled.kind, AwsErrorKind::Throttled);
    fixture.aws.fault(Op::GetRoleCredentials, Fault::Html);
    assert_eq!(fixture.role().await.unwrap_err().class(), ErrorClass::Retry);
    fixture.aws.fault(Op::GetRoleCredentials, Fault::Empty200);
    assert_eq!(fixture.role().await.unwrap_err().class(), ErrorClass::Retry);
    assert_eq!(fixture.renewals(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_renewal_failure_keeps_the_token() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.aws.fault(Op::CreateToken, Fault::Status(503).forever());
    fixture.clock.advance(Duration::from_mins(57));
    fixture.role().await.unwrap();
    fixture.clock.advance(Duration::from_mins(4));
    let error = match fixture.role().await.unwrap_err() {
        SsoError::Aws(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!((error.kind, error.kind.class()), (AwsErrorKind::ServerFailed, ErrorClass::Retry));
    fixture.aws.clear_faults();
    fixture.role().await.unwrap();
    assert_eq!(fixture.renewals(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_legacy_login_expires_with_its_token() {
    let fixture = Fixture::logged_in(None).await;
    assert!(fixture.token().get("refreshToken").is_none());
    assert!(!fixture.sso.status(&fixture.session).unwrap().renews);
    fixture.role().await.unwrap();
    fixture.clock.advance(Duration::from_mins(57));
    fixture.role().await.unwrap();
    fixture.clock.advance(Duration::from_mins(4));
    assert_eq!(why(&fixture.role().await.unwrap_err()), "the login expired");
    assert_eq!(fixture.renewals(), 0);
    assert!(!fixture.aws.log_of(Op::RegisterClient)[0].params.contains_key("scopes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_token_renewed_by_another_tool_is_used() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    let mut token = fixture.token();
    token["receivedAt"] = "2026-01-02T03:04:05Z".into();
    fs::write(fixture.file().unwrap(), token.to_string()).unwrap();
    fixture.clock.advance(HOUR);
    let other = another(&fixture.clock, &fixture.sandbox);
    other.role_credentials(&fixture.session, ACCOUNT, ROLE).await.unwrap();
    fixture.role().await.unwrap();
    assert_eq!(fixture.renewals(), 1);
    assert_eq!(fixture.token()["receivedAt"], "2026-01-02T03:04:05Z");
    fixture.center.approve_all();
    assert_eq!(last(fixture.sso.login(&fixture.session, LoginFlow::Device, true)).await, SsoStep::Done);
    assert_eq!(fixture.token()["receivedAt"], "2026-01-02T03:04:05Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_ends_the_login_everywhere() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    assert_eq!(fixture.sso.logout(&fixture.session).await, Ok(true));
    assert_eq!((fixture.file(), fixture.aws.calls(Op::Logout)), (None, 1));
    assert_eq!(why(&fixture.role().await.unwrap_err()), "not logged in");
    assert_eq!(fixture.sso.logout(&fixture.session).await, Ok(false));

    // The access token has expired, the refresh token has not.
    let fixture = Fixture::logged_in(Some("corp")).await;
    let token = fixture.token();
    fixture.clock.advance(2 * HOUR);
    assert_eq!(fixture.sso.logout(&fixture.session).await, Ok(true));
    assert_eq!((fixture.file(), fixture.renewals()), (None, 1));
    fs::write(fixture.sandbox.home().join(".aws/sso/cache/0.json"), token.to_string()).unwrap();

    // If AWS cannot be reached, the file is removed all the same.
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.aws.fault(Op::Logout, Fault::Reset);
    assert!(matches!(fixture.sso.logout(&fixture.session).await, Err(SsoError::Aws(_))));
    assert_eq!(fixture.file(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_cancels_in_flight_renewal() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.clock.advance(HOUR);
    let gate = Gate::new();
    fixture.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = fixture.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (fixture.sso.clone(), fixture.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await })
    };
    fixture.aws.wait_for_calls(Op::CreateToken, calls + 1, HANG_GUARD);
    // The cancelled renewal has not used the refresh token, so the logout sends a current token.
    fixture.sso.logout(&fixture.session).await.unwrap();
    assert_eq!(why(&renewing.await.unwrap().unwrap_err()), "cancelled by a logout or by another login");
    gate.open();
    fixture.aws.wait_for_responses(Op::CreateToken, calls + 1, HANG_GUARD);
    assert_eq!(fixture.file(), None);

    let mut login = fixture.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    assert_eq!(fixture.sso.logout(&fixture.session).await, Ok(false));
    fixture.center.approve(&code);
    assert_eq!(why_failed(last(login).await), "cancelled by a logout or by another login");
    assert_eq!(fixture.file(), None);
}

/// Runs `change` during a token refresh. Returns the fixture and the result of the request that waited for the refresh.
async fn renewed_while(change: impl FnOnce(&Fixture)) -> (Fixture, Result<(), SsoError>) {
    let fixture = Fixture::logged_in(Some("corp")).await;
    fixture.clock.advance(HOUR);
    let gate = Gate::new();
    fixture.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = fixture.aws.calls(Op::CreateToken);
    let renewing = {
        let (sso, session) = (fixture.sso.clone(), fixture.session.clone());
        tokio::spawn(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) })
    };
    fixture.aws.wait_for_calls(Op::CreateToken, calls + 1, HANG_GUARD);
    change(&fixture);
    gate.open();
    fixture.aws.wait_for_responses(Op::CreateToken, calls + 1, HANG_GUARD);
    let outcome = renewing.await.unwrap();
    (fixture, outcome)
}

/// Writes another user's login to the file, as another tool does.
fn write_theirs(fixture: &Fixture, access: &str, expires: &str) {
    let mut token = fixture.token();
    token["accessToken"] = access.into();
    token["refreshToken"] = "theirs".into();
    token["expiresAt"] = expires.into();
    fs::write(fixture.file().unwrap(), token.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_logout_by_another_tool_survives_renewal() {
    let (fixture, outcome) = renewed_while(|fixture| fs::remove_file(fixture.file().unwrap()).unwrap()).await;
    assert_eq!(why(&outcome.unwrap_err()), "logged out");
    assert_eq!(fixture.file(), None);
    assert_eq!(why(&fixture.role().await.unwrap_err()), "not logged in");
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_login_by_another_tool_survives_renewal() {
    // The new login is used. AWS does not know it, and rejects its token and its refresh token.
    let (fixture, outcome) =
        renewed_while(|fixture| write_theirs(fixture, "access of another", "2026-01-02T14:04:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    assert_eq!((fixture.token()["accessToken"].as_str(), fixture.renewals()), (Some("access of another"), 2));

    // An expired login of another tool is not used, and stays in the file too.
    let (fixture, outcome) =
        renewed_while(|fixture| write_theirs(fixture, "access of another", "2026-01-02T03:05:05Z")).await;
    assert_eq!(why(&outcome.unwrap_err()), "the login expired");
    assert_eq!((fixture.token()["refreshToken"].as_str(), fixture.renewals()), (Some("theirs"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_renewal_keeps_unknown_fields_of_the_file() {
    let (fixture, outcome) = renewed_while(|fixture| {
        let mut token = fixture.token();
        token["receivedAt"] = "2026-01-02T03:04:05Z".into();
        fs::write(fixture.file().unwrap(), token.to_string()).unwrap();
    })
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!((fixture.renewals(), &fixture.token()["receivedAt"]), (1, &"2026-01-02T03:04:05Z".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sso_invalidation_ends_renewal_but_keeps_login() {
    let fixture = Fixture::logged_in(Some("corp")).await;
    let before = fixture.token();
    let aws = clients(&fixture.clock, &fixture.sandbox);
    let keyring = Keyring::new(aws.clock().clone());
    let sessions = Sessions::new(aws, keyring, NameTemplate::new("dev", "", "", ""));
    let chain = RoleChain::from_source(SourceConfig { kind: SourceKind::AwsProfile("corp-dev".to_owned()), mfa: None });
    assert!(sessions.get(&chain, Freshness::Cached).await.is_ok());
    fixture.clock.advance(2 * HOUR);
    let gate = Gate::new();
    fixture.aws.fault(Op::CreateToken, Fault::Hold(gate.clone()));
    let calls = fixture.aws.calls(Op::CreateToken);
    let getting = {
        let (sessions, chain) = (sessions.clone(), chain.clone());
        tokio::spawn(async move { sessions.get(&chain, Freshness::Cached).await.map(drop) })
    };
    fixture.aws.wait_for_calls(Op::CreateToken, calls + 1, HANG_GUARD);
    let sso = sessions.sources().aws_profiles().sso();
    let mut login = sso.login(&fixture.session, LoginFlow::Browser, true);
    let (url, ..) = shown(&mut login).await;
    sessions.close();
    assert!(getting.await.unwrap().is_err());
    assert_eq!(fixture.token(), before);
    // A new caller does not wait for the cancelled refresh, which writes nothing later.
    let next = timeout(HANG_GUARD, sso.role_credentials(&fixture.session, ACCOUNT, ROLE)).await;
    assert_eq!(next.unwrap().map(drop), Ok(()));
    let before = fixture.token();
    gate.open();
    fixture.aws.wait_for_responses(Op::CreateToken, calls + 2, HANG_GUARD);
    assert_eq!(fixture.token(), before);
    // An approved login is written to the AWS CLI's file.
    fixture.center.approve_all();
    spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert_eq!(last(login).await, SsoStep::Done);
    assert_ne!(fixture.token()["accessToken"], before["accessToken"]);
    sessions.reopen();
    assert!(sessions.get(&chain, Freshness::Cached).await.is_ok());
}
