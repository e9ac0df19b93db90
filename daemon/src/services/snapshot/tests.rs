use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit_log::AuditLog;
use crate::keyring::Keyring;
use crate::services::EventBus;
use crate::services::config::{ReloadEffects, default_session_name};
use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_core::clock::ClockSource;
use rolecall_core::profile::LocalUser;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const HOUR: Duration = Duration::from_hours(1);

const CONFIG: &str = r#"
    [sources.work]
    aws_profile = "work"
    [profiles.prod]
    cluster = "prod"
    region = "eu-west-1"
    source = "work"
    role_arn = "arn:aws:iam::111122223333:role/developers"
    external_id = "secret-handshake"
    [profiles.audit]
    cluster = "prod"
    region = "eu-west-1"
    source = "work"
    role_arn = "arn:aws:iam::111122223333:role/auditor"
"#;

/// A clock that does not advance.
#[derive(Debug)]
struct Frozen(SystemTime);

impl ClockSource for Frozen {
    fn wall(&self) -> SystemTime {
        self.0
    }

    fn elapsed(&self) -> Duration {
        HOUR
    }

    fn awake(&self) -> Duration {
        HOUR
    }
}

/// A service with components of its own.
fn service(folder: &tempfile::TempDir, config: &str, now: SystemTime) -> SnapshotService {
    let path = folder.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let clock = Clock::new(Frozen(now));
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let aws =
        Aws::new(AwsFiles { config: nowhere.clone(), credentials: nowhere.clone(), logins: nowhere }, clock.clone());
    let user = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
    let sessions = Sessions::new(aws.clone(), Keyring::new(clock.clone()), default_session_name(&user));
    let (token_cache, activity, events) = (Arc::default(), Arc::<ProfileActivity>::default(), EventBus::default());
    let renewer = Renewer::new(sessions.clone(), clock.clone());
    let approvals = Arc::new(Approvals::new(aws.clone()));
    let lock = LockService::new(
        clock.clone(),
        sessions.clone(),
        Arc::clone(&token_cache),
        renewer.clone(),
        events.clone(),
        AuditLog::default(),
        approvals.clone(),
    );
    let lock = Arc::new(lock);
    let effects = ReloadEffects {
        audit_log: AuditLog::default(),
        approvals: approvals.clone(),
        aws,
        lock: lock.clone(),
        sessions: sessions.clone(),
        token_cache,
        activity: activity.clone(),
        renewer: renewer.clone(),
        events,
    };
    let config = Arc::new(ConfigService::open(path, user, effects));
    SnapshotService { config, lock, sessions, activity, renewer, clock, approvals }
}

fn chain(service: &SnapshotService, name: &str) -> RoleChain {
    service.config.known_profile(&name.parse().unwrap()).unwrap().chain.clone()
}

fn session(key: &str, expires: Option<SystemTime>) -> Session {
    let credentials = Credentials::new(key, "s/e+c=r\\e\"t", Some("token".to_owned()), expires, "test");
    Session { credentials, arn: Some("arn".to_owned()), issued: NOW, is_clamped: true }
}

fn restore(service: &SnapshotService, chain: &RoleChain, session: Session) {
    let provenance = service.sessions.provenance_by_keys(chain, &[]);
    service.sessions.restore(chain, session, provenance);
}

/// A snapshot of version 0.1.0 has the sources' access keys in the place of what each session was made from.
#[test]
fn earlier_snapshot_sessions_get_provenance_from_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let old = service(&folder, CONFIG, NOW);
    let prod = chain(&old, "prod");
    restore(&old, &prod, session("ASIAPROD", Some(NOW + HOUR)));
    let mut snapshot: serde_json::Value =
        serde_json::from_slice(old.take(SnapshotScope::AllSessions).expose()).unwrap();
    snapshot["sessions"][0].as_object_mut().unwrap().remove("provenance");
    snapshot["keys"] = serde_json::json!([[prod.without_mfa(), "AKIAOLD"]]);
    let new = service(&folder, CONFIG, NOW);
    new.restore(snapshot.to_string().as_bytes()).unwrap();
    let [(_, _, provenance)] = new.sessions.export().try_into().unwrap();
    assert_eq!(provenance, new.sessions.provenance_by_keys(&prod, &[(prod.without_mfa(), "AKIAOLD".to_owned())]));
    assert_ne!(provenance, new.sessions.provenance_by_keys(&prod, &[]));
}

#[tokio::test]
async fn sessions_and_uses_are_restored() {
    let folder = tempfile::tempdir().unwrap();
    let old = service(&folder, CONFIG, NOW);
    let prod = chain(&old, "prod");
    restore(&old, &prod, session("ASIAPROD", Some(NOW + HOUR)));
    restore(&old, &prod.without_last_step(), session("AKIASOURCE", None));
    restore(&old, &chain(&old, "audit"), session("ASIAEXPIRED", Some(NOW)));
    old.activity.used(&"prod".parse().unwrap(), NOW);
    let snapshot = old.take(SnapshotScope::AllSessions);
    let text = std::str::from_utf8(snapshot.expose()).unwrap();
    assert!(text.contains("ASIAPROD") && !text.contains("AKIASOURCE") && !text.contains("ASIAEXPIRED"), "{text}");
    assert_eq!(snapshot.expose().capacity(), snapshot.expose().len(), "it never grew");

    let later = NOW + Duration::from_mins(5);
    let new = service(&folder, CONFIG, later);
    new.renewer.start(CancellationToken::new());
    new.restore(snapshot.expose()).unwrap();
    let restored = new.sessions.peek(&prod).session.unwrap();
    assert!(restored.has_same_credentials(&session("ASIAPROD", None)) && restored.is_clamped);
    assert_eq!((restored.issued, restored.expires(), restored.arn.as_deref()), (NOW, Some(NOW + HOUR), Some("arn")));
    assert_eq!(new.activity.last_used(&"prod".parse().unwrap()), Some(NOW));
    // The engine is another task and runs when this one yields.
    while new.renewer.planned(&prod).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(new.sessions.export().len(), 1);
}

#[test]
fn snapshot_has_the_sessions_of_its_scope() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, CONFIG, NOW);
    let prod = chain(&service, "prod");
    restore(&service, &prod, session("ASIAPROD", Some(NOW + HOUR)));
    restore(&service, &prod.base(), session("ASIABASE", Some(NOW + HOUR)));
    service.activity.used(&"prod".parse().unwrap(), NOW);
    for (scope, keys) in [
        (SnapshotScope::AllSessions, [true, true]),
        (SnapshotScope::NoBaseSessions, [true, false]),
        (SnapshotScope::NoSessions, [false, false]),
    ] {
        let snapshot = service.take(scope);
        let text = std::str::from_utf8(snapshot.expose()).unwrap();
        assert_eq!(["ASIAPROD", "ASIABASE"].map(|key| text.contains(key)), keys, "{scope:?}");
        assert!(text.contains("\"used\":{\"prod\""), "{text}");
    }
}

#[tokio::test]
async fn unused_and_expired_sessions_are_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let old = service(&folder, CONFIG, NOW);
    restore(&old, &chain(&old, "prod"), session("ASIAPROD", Some(NOW + HOUR)));
    restore(&old, &chain(&old, "audit"), session("ASIAAUDIT", Some(NOW + HOUR)));
    let snapshot = old.take(SnapshotScope::AllSessions);
    let other = service(&folder, &CONFIG.replace("secret-handshake", "another"), NOW);
    other.restore(snapshot.expose()).unwrap();
    let kept: Vec<_> = other.sessions.export().into_iter().map(|(chain, ..)| chain).collect();
    assert_eq!(kept, [chain(&other, "audit")]);
    let late = service(&folder, CONFIG, NOW + HOUR);
    late.restore(snapshot.expose()).unwrap();
    assert!(late.sessions.export().is_empty());
}

#[test]
fn malformed_snapshot_is_rejected_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, CONFIG, NOW);
    let refused = |snapshot: &[u8]| service.restore(snapshot).unwrap_err().to_string();
    assert_eq!(
        refused(br#"{"format": 2, "anything": ["s3cret"]}"#),
        "it has format 2, and this version knows format 1"
    );
    for garbage in [
        &b""[..],
        b"s3cret",
        b"\xff\x00\x01",
        b"[]",
        b"{}",
        br#"{"format": "s3cret"}"#,
        br#"{"format": 1}"#,
        br#"{"format": 1, "used": {}, "sessions": [{"chain": "s3cret"}]}"#,
        br#"{"format": 1, "used": {"s3cret!": 1}, "sessions": []}"#,
        "[".repeat(100_000).as_bytes(),
    ] {
        assert_eq!(refused(garbage), "it cannot be read");
    }
    assert!(service.sessions.export().is_empty());
    service.restore(service.take(SnapshotScope::AllSessions).expose()).unwrap();
}

#[test]
fn lifetime_of_a_profile_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let old = service(&folder, CONFIG, NOW);
    let prod = "prod".parse().unwrap();
    old.approvals.open(&prod, NOW);
    let new = service(&folder, CONFIG, NOW);
    new.restore(old.take(SnapshotScope::NoSessions).expose()).unwrap();
    assert_eq!(new.approvals.opened_at(&prod), Some(NOW));
    assert_eq!(new.approvals.opened_at(&"audit".parse().unwrap()), None);
}
