//! Logging in: with a code on any device, and in a browser on this machine.

use super::*;

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
    rig.aws.wait_for_responses(Op::CreateToken, 1, SOON);
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
    drop(rig.sso.login(&twin, LoginFlow::Device, false));
    rig.aws.wait_for_responses(Op::StartDeviceAuthorization, 1, SOON);
    rig.center.approve(&rig.center.pending_user_codes()[0]);
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
async fn a_login_that_goes_another_way_takes_the_place_of_one_that_nobody_may_finish() {
    let rig = Rig::new();
    let mut browser = rig.login(LoginFlow::Browser);
    let (page, code, _) = shown(&mut browser).await;
    assert_eq!(code, None);
    let mut device = rig.login(LoginFlow::Device);
    let (url, code, joined) = shown(&mut device).await;
    assert!(url.ends_with(&format!("/device?user_code={}", code.unwrap())) && !joined, "{url}");
    assert_eq!(why_failed(last(browser).await), "cancelled by a logout or by another login");
    let port = page.split("127.0.0.1%3A").nth(1).unwrap().split('%').next().unwrap();
    let is_heard = std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap()));
    assert!(is_heard.is_err(), "nobody listens any more");

    // And the other way round: what is approved of the old one counts no longer.
    let mut browser = rig.login(LoginFlow::Browser);
    let (url, ..) = shown(&mut browser).await;
    assert_eq!(why_failed(last(device).await), "cancelled by a logout or by another login");
    let mut joined = rig.login(LoginFlow::Browser);
    assert!(shown(&mut joined).await.2);
    rig.center.approve_all();
    assert_eq!(rig.file(), None);
    spawn_blocking(move || Center::browse(&url)).await.unwrap();
    for login in [browser, joined] {
        assert_eq!(last(login).await, SsoStep::Done);
    }
    rig.role().await.unwrap();
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
            SsoStep::Failed(SsoError::Aws(error)) => assert_eq!(error.kind, AwsErrorKind::InvalidResponse),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_what_cannot_be_kept() {
    let rig = Rig::new();
    fs::write(rig.sandbox.home().join(".aws/sso"), "in the way").unwrap();
    match last(rig.login(LoginFlow::Device)).await {
        SsoStep::Failed(SsoError::File(said)) => assert!(said.contains("cannot write"), "{said}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.aws.calls(Op::RegisterClient), 0);
}
