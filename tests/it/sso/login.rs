//! Logins: with a code on any device, and in a browser on this machine.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn device_login_is_approved_and_shared() {
    let fixture = Fixture::new();
    assert_eq!(why(&fixture.role().await.unwrap_err()), "not logged in");
    assert!(fixture.sso.status(&fixture.session).is_none());
    let mut login = fixture.login(LoginFlow::Device);
    let (url, code, joined) = shown(&mut login).await;
    let code = code.unwrap();
    assert!(url.ends_with(&format!("/device?user_code={code}")) && !joined, "{url}");
    // The first poll is pending, the second approved.
    fixture.aws.wait_for_responses(Op::CreateToken, 1, HANG_GUARD);
    fixture.center.approve(&code);
    assert_eq!(login.next().await, Some(SsoStep::Done));
    assert_eq!(login.next().await, None);

    let token = fixture.token();
    let keys: BTreeSet<&str> = token.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "startUrl region accessToken expiresAt clientId clientSecret registrationExpiresAt refreshToken";
    assert_eq!(keys, expected.split(' ').collect());
    assert_eq!((&token["expiresAt"], &token["region"]), (&"2026-01-02T04:04:05Z".into(), &REGION.into()));
    let status = fixture.sso.status(&fixture.session).unwrap();
    assert_eq!((status.kind, status.renews), (LoginKind::Sso, true));
    assert_eq!(status.ends.unwrap().to_string(), "2026-01-02T04:04:05Z");

    let session = fixture.role().await.unwrap();
    assert_eq!(session.expires(), Some(fixture.clock.now() + HOUR));
    assert!(session.credentials.session_token().is_some());
    let registered = &fixture.aws.log_of(Op::RegisterClient)[0].params;
    assert_eq!((registered["clientName"].as_str(), registered["scopes"].as_str()), ("rolecall", "sso:account:access"));

    assert_eq!(last(fixture.login(LoginFlow::Device)).await, SsoStep::Done, "the login is still valid");
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);
    let mut again = fixture.sso.login(&fixture.session, LoginFlow::Device, true);
    fixture.center.approve(&shown(&mut again).await.1.unwrap());
    assert_eq!(last(again).await, SsoStep::Done);
    assert_ne!(fixture.token()["accessToken"], token["accessToken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_login_denied_or_expired_is_reported() {
    let fixture = Fixture::new();
    let mut login = fixture.login(LoginFlow::Device);
    fixture.center.deny(&shown(&mut login).await.1.unwrap());
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Denied));
    let mut login = fixture.login(LoginFlow::Device);
    shown(&mut login).await;
    fixture.clock.advance(Duration::from_mins(11));
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Expired));
    assert_eq!(fixture.file(), None);
    assert_eq!([SsoError::Denied.class(), SsoError::Expired.class()], [ErrorClass::Login; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_login_polls_on_during_aws_faults() {
    let fixture = Fixture::new();
    fixture.aws.fault(Op::CreateToken, Fault::Status(500));
    fixture.aws.fault(Op::CreateToken, Fault::Reset);
    fixture.center.approve_all();
    assert_eq!(last(fixture.login(LoginFlow::Device)).await, SsoStep::Done);
    assert_eq!(fixture.aws.calls(Op::CreateToken), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_login_with_code_succeeds() {
    let fixture = Fixture::new();
    fixture.center.approve_all();
    let mut login = fixture.login(LoginFlow::Browser);
    let (url, code, _) = shown(&mut login).await;
    assert_eq!(code, None);
    let opened = url.clone();
    let page = spawn_blocking(move || Center::browse(&opened)).await.unwrap();
    assert!(page.contains("<h1>You are logged in</h1>"), "{page}");
    assert_eq!(last(login).await, SsoStep::Done);
    fixture.role().await.unwrap();
    // The refresh token works for this client registration.
    fixture.clock.advance(HOUR);
    fixture.role().await.unwrap();
    assert_eq!(fixture.renewals(), 1);
}

/// `[endpoints] sso_oidc` and `sso` take precedence over AWS's own files.
#[tokio::test(flavor = "multi_thread")]
async fn login_uses_the_configured_endpoints() {
    let fixture = Fixture::new();
    let path = fixture.sandbox.home().join(".aws/config");
    let text = fs::read_to_string(&path).unwrap().replace(&fixture.aws.endpoint(), "http://127.0.0.1:1");
    fixture.sandbox.write("home/.aws/config", &text);
    let aws = clients(&fixture.clock, &fixture.sandbox);
    let endpoint = fixture.aws.endpoint();
    let config = format!("[endpoints]\nsso = \"{endpoint}\"\nsso_oidc = \"{endpoint}\"\n");
    aws.set_network(&Config::parse(Path::new("config.toml"), &config).unwrap().network);
    let sso = Sso::new(aws);
    fixture.center.approve_all();
    for flow in [LoginFlow::Device, LoginFlow::Browser] {
        let mut login = sso.login(&fixture.session, flow, true);
        let (url, ..) = shown(&mut login).await;
        assert!(url.starts_with(&endpoint), "{url}");
        if flow == LoginFlow::Browser {
            spawn_blocking(move || Center::browse(&url)).await.unwrap();
        }
        assert_eq!(last(login).await, SsoStep::Done);
    }
    sso.role_credentials(&fixture.session, ACCOUNT, ROLE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_login_denied_is_reported() {
    let fixture = Fixture::new();
    fixture.center.deny_all();
    let mut login = fixture.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut login).await;
    let page = spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert!(page.contains("You are not logged in"), "{page}");
    assert_eq!(last(login).await, SsoStep::Failed(SsoError::Denied));
    assert_eq!(fixture.file(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_login_with_rejected_code_shows_error_page() {
    let fixture = Fixture::new();
    fixture.center.approve_all();
    fixture.aws.fault(Op::CreateToken, Fault::error(400, "InvalidGrantException", "Invalid <b>grant</b> provided"));
    let mut login = fixture.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut login).await;
    let page = spawn_blocking(move || Center::browse(&url)).await.unwrap();
    assert!(page.contains("&lt;b&gt;grant&lt;/b&gt;"), "{page}");
    assert!(matches!(last(login).await, SsoStep::Failed(SsoError::Aws(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_500_callers_share_one_login() {
    let fixture = Fixture::new();
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let login = fixture.login(LoginFlow::Device);
        callers.spawn(async move {
            let mut login = login;
            let shown = shown(&mut login).await;
            (shown, last(login).await)
        });
    }
    // Another AWS profile with the same sso-session shares the login.
    let twin = SsoSession { profile: "other".to_owned(), ..fixture.session.clone() };
    drop(fixture.sso.login(&twin, LoginFlow::Device, false));
    fixture.aws.wait_for_responses(Op::StartDeviceAuthorization, 1, HANG_GUARD);
    fixture.center.approve(&fixture.center.pending_user_codes()[0]);
    let seen = callers.join_all().await;
    assert_eq!(seen.iter().filter(|((_, _, joined), _)| !joined).count(), 1);
    let addresses: BTreeSet<&str> = seen.iter().map(|((url, ..), _)| url.as_str()).collect();
    assert_eq!(addresses.len(), 1);
    assert!(seen.iter().all(|(_, step)| *step == SsoStep::Done));
    assert_eq!((fixture.aws.calls(Op::RegisterClient), fixture.aws.calls(Op::StartDeviceAuthorization)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_continues_without_its_first_caller() {
    let fixture = Fixture::new();
    let mut login = fixture.login(LoginFlow::Device);
    let code = shown(&mut login).await.1.unwrap();
    drop(login);
    let mut joined = fixture.login(LoginFlow::Device);
    assert!(shown(&mut joined).await.2);
    fixture.center.approve(&code);
    assert_eq!(last(joined).await, SsoStep::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_of_other_flow_replaces_an_abandoned_login() {
    let fixture = Fixture::new();
    let mut browser = fixture.login(LoginFlow::Browser);
    let (page, code, _) = shown(&mut browser).await;
    assert_eq!(code, None);
    let mut device = fixture.login(LoginFlow::Device);
    let (url, code, joined) = shown(&mut device).await;
    assert!(url.ends_with(&format!("/device?user_code={}", code.unwrap())) && !joined, "{url}");
    assert_eq!(why_failed(last(browser).await), "cancelled by a logout or by another login");
    let port = page.split("127.0.0.1%3A").nth(1).unwrap().split('%').next().unwrap();
    let is_heard = std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap()));
    assert!(is_heard.is_err(), "the callback server is closed");

    // In the other direction: an approval of the old login has no effect.
    let mut browser = fixture.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut browser).await;
    assert_eq!(why_failed(last(device).await), "cancelled by a logout or by another login");
    let mut joined = fixture.login(LoginFlow::Browser);
    assert!(shown(&mut joined).await.2);
    fixture.center.approve_all();
    assert_eq!(fixture.file(), None);
    spawn_blocking(move || Center::browse(&url)).await.unwrap();
    for login in [browser, joined] {
        assert_eq!(last(login).await, SsoStep::Done);
    }
    fixture.role().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_login_rejects_redirects_elsewhere() {
    let fixture = Fixture::new();
    for url in ["file:///etc/passwd", "http://evil.example/", "https://x/\\u001b[31m", "javascript:alert(1)"] {
        let body = format!(
            r#"{{"deviceCode":"d","userCode":"AAAA-BBBB","verificationUriComplete":"{url}","expiresIn":600,"interval":1}}"#
        );
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        fixture.aws.fault(Op::StartDeviceAuthorization, Fault::Raw { status: 200, headers, body: body.into_bytes() });
        match last(fixture.login(LoginFlow::Device)).await {
            SsoStep::Failed(SsoError::Aws(error)) => assert_eq!(error.kind, AwsErrorKind::InvalidResponse),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_without_writable_cache_fails_before_prompting() {
    let fixture = Fixture::new();
    fs::write(fixture.sandbox.home().join(".aws/sso"), "in the way").unwrap();
    match last(fixture.login(LoginFlow::Device)).await {
        SsoStep::Failed(SsoError::File(said)) => assert!(said.contains("cannot write"), "{said}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.aws.calls(Op::RegisterClient), 0);
}
