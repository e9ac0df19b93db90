//! IAM Identity Center: the daemon's side against the embedded one, on a clock that the test turns.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rolecall_harness::{Aws, Clock, Fault, Gate, Op, Sandbox, Sso as Center};
use rolecall_protocol::{ErrorClass, LoginFlow, LoginKind};
use rolecalld::aws::{Aws as AwsClients, AwsErrorKind, AwsFiles};
use rolecalld::clock::Clock as DaemonClock;
use rolecalld::sso::{Sso, SsoError, SsoLogin, SsoSession, SsoStep};
use serde_json::Value;
use tokio::task::{JoinSet, spawn_blocking};

use crate::world::{ACCOUNT, Laptop, REGION};

const ROLE: &str = "developers";
const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);

struct Rig {
    clock: Clock,
    aws: Aws,
    center: Center,
    sandbox: Sandbox,
    sso: Sso,
    session: SsoSession,
}

impl Rig {
    fn new() -> Self {
        Self::of(Some("corp"))
    }

    fn of(name: Option<&str>) -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)); // 2026-01-02T03:04:05Z
        let aws = Aws::start(clock.clone());
        let center = aws.sso();
        center.assign("dev", ACCOUNT, ROLE);
        let sandbox = Sandbox::new();
        sandbox.write_sso_profile("corp-dev", name, &center, ACCOUNT, ROLE);
        let session = SsoSession {
            profile: "corp-dev".to_owned(),
            name: name.map(str::to_owned),
            start_url: center.start_url(),
            region: REGION.parse().unwrap(),
            scopes: vec![],
        };
        let sso = another(&clock, &sandbox);
        Self { clock, aws, center, sandbox, sso, session }
    }

    /// A rig in which a person has logged in.
    async fn logged_in(name: Option<&str>) -> Self {
        let rig = Self::of(name);
        rig.center.approve_all();
        assert_eq!(last(rig.login(LoginFlow::Device)).await, SsoStep::Done);
        rig.center.wait_for_person();
        rig
    }

    fn login(&self, flow: LoginFlow) -> SsoLogin {
        self.sso.login(&self.session, flow, false)
    }

    async fn role(&self) -> Result<rolecalld::session::Session, SsoError> {
        self.sso.role_credentials(&self.session, ACCOUNT, ROLE).await
    }

    /// The file of the one login that there is.
    fn file(&self) -> Option<PathBuf> {
        let folder = self.sandbox.home().join(".aws/sso/cache");
        let files: Vec<PathBuf> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() < 2, "{files:?}");
        files.into_iter().next()
    }

    fn token(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file().unwrap()).unwrap()).unwrap()
    }

    /// How often a token was had without a person.
    fn renewals(&self) -> usize {
        let calls = self.aws.log_of(Op::CreateToken);
        calls.iter().filter(|call| call.params.get("grantType").is_some_and(|grant| grant == "refresh_token")).count()
    }
}

fn another(clock: &Clock, sandbox: &Sandbox) -> Sso {
    let time = DaemonClock::new(Laptop { start: clock.now(), truth: clock.clone() });
    let logins = sandbox.home().join(".aws");
    let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
    Sso::new(AwsClients::new(files, time))
}

/// The address and the code that a person is shown.
async fn shown(login: &mut SsoLogin) -> (String, Option<String>, bool) {
    match login.next().await {
        Some(SsoStep::Open { url, code, joined, .. }) => (url, code, joined),
        other => panic!("{other:?}"),
    }
}

async fn last(mut login: SsoLogin) -> SsoStep {
    loop {
        match login.next().await.unwrap() {
            SsoStep::Open { .. } => {}
            step => {
                assert_eq!(login.next().await, None);
                return step;
            }
        }
    }
}

fn why(error: &SsoError) -> &str {
    match error {
        SsoError::LoginNeeded { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_approved_and_its_token_shared() {
    let rig = Rig::new();
    assert_eq!(why(&rig.role().await.unwrap_err()), "nobody is logged in");
    assert!(rig.sso.status(&rig.session).is_none());
    let mut login = rig.login(LoginFlow::Device);
    let (url, code, joined) = shown(&mut login).await;
    let code = code.unwrap();
    assert!(url.ends_with(&format!("/device?user_code={code}")) && !joined, "{url}");
    // Asked once in vain, then approved.
    rig.aws.wait_for_answers(Op::CreateToken, 1, SOON);
    rig.center.approve(&code);
    assert_eq!(login.next().await, Some(SsoStep::Done));
    assert_eq!(login.next().await, None);

    let token = rig.token();
    let keys: BTreeSet<&str> = token.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "startUrl region accessToken expiresAt clientId clientSecret registrationExpiresAt refreshToken";
    assert_eq!(keys, expected.split(' ').collect());
    assert_eq!((&token["expiresAt"], &token["region"]), (&"2026-01-02T04:04:05Z".into(), &REGION.into()));
    let status = rig.sso.status(&rig.session).unwrap();
    assert_eq!((status.kind, status.renews), (LoginKind::Sso, true));
    assert_eq!(status.ends.unwrap().to_string(), "2026-01-02T04:04:05Z");

    let session = rig.role().await.unwrap();
    assert_eq!(session.expires(), Some(rig.clock.now() + HOUR));
    assert!(session.credentials.session_token().is_some());
    let registered = &rig.aws.log_of(Op::RegisterClient)[0].params;
    assert_eq!((registered["clientName"].as_str(), registered["scopes"].as_str()), ("rolecall", "sso:account:access"));

    assert_eq!(last(rig.login(LoginFlow::Device)).await, SsoStep::Done, "it is good still");
    assert_eq!(rig.aws.calls(Op::StartDeviceAuthorization), 1);
    let mut again = rig.sso.login(&rig.session, LoginFlow::Device, true);
    rig.center.approve(&shown(&mut again).await.1.unwrap());
    assert_eq!(last(again).await, SsoStep::Done);
    assert_ne!(rig.token()["accessToken"], token["accessToken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_refused_or_forgotten() {
    let rig = Rig::new();
    let mut login = rig.login(LoginFlow::Device);
    rig.center.deny(&shown(&mut login).await.1.unwrap());
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Denied));
    let mut login = rig.login(LoginFlow::Device);
    shown(&mut login).await;
    rig.clock.advance(Duration::from_mins(11));
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Expired));
    assert_eq!(rig.file(), None);
    assert_eq!([SsoError::Denied.class(), SsoError::Expired.class()], [ErrorClass::Login; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_goes_on_asking_while_aws_has_trouble() {
    let rig = Rig::new();
    rig.aws.fault(Op::CreateToken, Fault::Status(500));
    rig.aws.fault(Op::CreateToken, Fault::Reset);
    rig.center.approve_all();
    assert_eq!(last(rig.login(LoginFlow::Device)).await, SsoStep::Done);
    assert_eq!(rig.aws.calls(Op::CreateToken), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_back_with_a_code() {
    let rig = Rig::new();
    rig.center.approve_all();
    let mut login = rig.login(LoginFlow::Browser);
    let (url, code, _) = shown(&mut login).await;
    assert_eq!(code, None);
    let opened = url.clone();
    let page = spawn_blocking(move || Center::browse(&opened)).await.unwrap();
    assert!(page.contains("<h1>You are logged in</h1>"), "{page}");
    assert_eq!(last(login).await, SsoStep::Done);
    rig.role().await.unwrap();
    // The refresh token is one that a client of this flow may use.
    rig.clock.advance(HOUR);
    rig.role().await.unwrap();
    assert_eq!(rig.renewals(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_back_with_a_no() {
    let rig = Rig::new();
    rig.center.deny_all();
    let mut login = rig.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut login).await;
    let page = spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert!(page.contains("You are not logged in"), "{page}");
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Denied));
    assert_eq!(rig.file(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_aws_does_not_take_is_told_in_the_browser_too() {
    let rig = Rig::new();
    rig.center.approve_all();
    rig.aws.fault(Op::CreateToken, Fault::error(400, "InvalidGrantException", "Invalid <b>grant</b> provided"));
    let mut login = rig.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut login).await;
    let page = spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert!(page.contains("&lt;b&gt;grant&lt;/b&gt;"), "{page}");
    assert!(matches!(last(login).await, SsoStep::Failed(SsoError::Aws(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_callers_share_one_login() {
    let rig = Rig::new();
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let login = rig.login(LoginFlow::Device);
        callers.spawn(async move {
            let mut login = login;
            let shown = shown(&mut login).await;
            (shown, last(login).await)
        });
    }
    // Another AWS profile of the same session is the same login.
    let twin = SsoSession { profile: "other".to_owned(), ..rig.session.clone() };
    drop(rig.sso.login(&twin, LoginFlow::Browser, false));
    rig.aws.wait_for_answers(Op::StartDeviceAuthorization, 1, SOON);
    rig.center.approve(&rig.center.waiting()[0]);
    let seen = callers.join_all().await;
    assert_eq!(seen.iter().filter(|((_, _, joined), _)| !joined).count(), 1);
    let addresses: BTreeSet<&str> = seen.iter().map(|((url, ..), _)| url.as_str()).collect();
    assert_eq!(addresses.len(), 1);
    assert!(seen.iter().all(|(_, step)| *step == SsoStep::Done));
    assert_eq!((rig.aws.calls(Op::RegisterClient), rig.aws.calls(Op::StartDeviceAuthorization)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_goes_on_without_who_began_it() {
    let rig = Rig::new();
    let mut login = rig.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    drop(login);
    let mut joined = rig.login(LoginFlow::Device);
    assert!(shown(&mut joined).await.2);
    rig.center.approve(&code);
    assert_eq!(last(joined).await, SsoStep::Done);
}

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
        assert_eq!(why(&outcome.unwrap_err()), "the login has expired");
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
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login has expired");
    // Its date says that it is good, and the portal has said that it is not.
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login has expired");
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
    let SsoError::Aws(error) = rig.role().await.unwrap_err() else { panic!() };
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
    assert_eq!(why(&rig.role().await.unwrap_err()), "the login has expired");
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
    assert_eq!(why(&renewing.await.unwrap().unwrap_err()), "somebody logged out meanwhile");
    gate.open();
    rig.aws.wait_for_answers(Op::CreateToken, calls + 1, SOON);
    assert_eq!(rig.file(), None);

    let mut login = rig.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    assert_eq!(rig.sso.logout(&rig.session).await, Ok(false));
    rig.center.approve(&code);
    assert_eq!(why_failed(last(login).await), "the login was dropped");
    assert_eq!(rig.file(), None);
}

fn why_failed(step: SsoStep) -> String {
    match step {
        SsoStep::Failed(error) => why(&error).to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_is_sent_where_an_answer_should_not_lead() {
    let rig = Rig::new();
    for url in ["file:///etc/passwd", "http://evil.example/", "https://x/\\u001b[31m", "javascript:alert(1)"] {
        let body = format!(
            r#"{{"deviceCode":"d","userCode":"AAAA-BBBB","verificationUriComplete":"{url}","expiresIn":600,"interval":1}}"#
        );
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        rig.aws.fault(Op::StartDeviceAuthorization, Fault::Raw { status: 200, headers, body: body.into_bytes() });
        match last(rig.login(LoginFlow::Device)).await {
            SsoStep::Failed(SsoError::Aws(error)) => assert_eq!(error.kind, AwsErrorKind::Garbled),
            other => panic!("{url}: {other:?}"),
        }
    }
}
