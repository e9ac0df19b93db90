use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const WRITTEN: &str = r#"{"startUrl":"https://x.awsapps.com/start","region":"eu-west-1","accessToken":"at",
    "expiresAt":"2026-01-02T11:04:05Z","clientId":"id","clientSecret":"cs",
    "registrationExpiresAt":"2026-04-02T03:04:05Z","refreshToken":"rt","receivedAt":"then","sub":{"a":1}}"#;

fn session(name: Option<&str>) -> SsoSession {
    SsoSession {
        profile: "work".to_owned(),
        name: name.map(str::to_owned),
        start_url: "https://x.awsapps.com/start".to_owned(),
        region: "eu-west-1".parse().unwrap(),
        scopes: vec![],
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn path_is_that_of_the_aws_cli() {
    let logins = Path::new("/home/dev/.aws");
    let name = |session: &SsoSession| path(logins, session).display().to_string();
    assert_eq!(
        name(&session(Some("my-sso"))),
        "/home/dev/.aws/sso/cache/0ad374308c5a4e22f723adf10145eafad7c4031c.json"
    );
    let legacy = hex::encode(Sha1::digest("https://x.awsapps.com/start"));
    assert_eq!(name(&session(None)), format!("/home/dev/.aws/sso/cache/{legacy}.json"));
}

#[test]
fn serialize_keeps_other_fields() {
    let token = SsoToken::parse(WRITTEN.as_bytes()).unwrap();
    let (client, refresh) = token.refresh_grant(at("2026-01-02T03:04:05Z")).unwrap();
    assert_eq!((client.id.as_str(), refresh.expose().as_str()), ("id", "rt"));
    assert_eq!(token.time_left(at("2026-01-02T11:00:05Z")), Duration::from_mins(4));
    assert_eq!(token.time_left(at("2026-01-02T12:00:05Z")), Duration::ZERO);
    assert!(token.refresh_grant(at("2026-04-02T03:04:05Z")).is_none(), "the registration expired");
    let before: Value = serde_json::from_str(WRITTEN).unwrap();
    assert_eq!(serde_json::to_value(&token).unwrap(), before);
}

#[test]
fn save_is_atomic_and_private() {
    let home = tempfile::tempdir().unwrap();
    let session = session(Some("corp"));
    let file = path(&home.path().join(".aws"), &session);
    let client =
        RegisteredClient { id: "id".to_owned(), secret: Secret::new("cs".to_owned()), expires: Timestamp::MAX };
    let granted = GrantedToken {
        access: Secret::new("at".to_owned()),
        expires_in: Duration::from_hours(8),
        refresh: Some(Secret::new("rt".to_owned())),
    };
    let token = SsoToken::new(&session, client, granted, at("2026-01-02T03:04:05Z"));
    ensure_writable(&file).unwrap();
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0, "no file for a watcher");
    save(&file, &token).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    let read = SsoToken::read(&file, &session).unwrap().unwrap();
    assert_eq!((read.access.expose().as_str(), read.expires), ("at", at("2026-01-02T11:04:05Z")));
}

#[test]
fn ensure_writable_blocked_folder_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("sso"), "in the way").unwrap();
    let error = ensure_writable(&path(home.path(), &session(Some("corp")))).unwrap_err();
    assert!(matches!(&error, SsoError::File(text) if text.contains("cannot write")), "{error}");
}

#[test]
fn read_other_session_or_invalid_file_is_none() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token.json");
    let read = |text: &str| {
        fs::write(&file, text).unwrap();
        SsoToken::read(&file, &session(None))
    };
    let other = WRITTEN.replace("x.awsapps", "y.awsapps");
    for text in ["", "{}", "[]", "\u{0}", other.as_str(), &WRITTEN.replace("eu-west-1", "eu-west-2")] {
        assert!(read(text).unwrap().is_none(), "{text}");
    }
    for same in ["/start/", "/start#/", "/start/#"] {
        assert!(read(&WRITTEN.replace("/start", same)).unwrap().is_some());
    }
    let old = r#"{"accessToken":"at","expiresAt":"2020-06-17T10:02:08UTC"}"#;
    assert_eq!(read(old).unwrap().unwrap().expires, at("2020-06-17T10:02:08Z"));
    assert!(matches!(read(&" ".repeat(70_000)), Err(SsoError::File(_))));
    fs::remove_file(&file).unwrap();
    assert!(SsoToken::read(&file, &session(None)).unwrap().is_none());
    assert!(SsoToken::read(home.path(), &session(None)).unwrap().is_none());
}
