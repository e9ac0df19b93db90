use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::agent::About;
use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_core::clock::{Clock, ClockSource};
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

/// Clocks that stand still.
#[derive(Debug)]
struct Still(SystemTime);

impl ClockSource for Still {
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

fn agent(folder: &tempfile::TempDir, config: &str, now: SystemTime) -> Arc<Agent> {
    let path = folder.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let clock = Clock::new(Still(now));
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let files = AwsFiles { config: nowhere.clone(), credentials: nowhere.clone(), logins: nowhere };
    let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
    let about = About { socket: String::new(), log: None, restarts: 0 };
    Agent::new(path, Aws::new(files, clock), person, about)
}

fn chain(agent: &Agent, name: &str) -> RoleChain {
    agent.known(&name.parse().unwrap()).unwrap().chain.clone()
}

fn session(key: &str, expires: Option<SystemTime>) -> Session {
    let credentials = Credentials::new(key, "s/e+c=r\\e\"t", Some("token".to_owned()), expires, "test");
    Session { credentials, arn: Some("arn".to_owned()), issued: NOW, is_clamped: true }
}

#[tokio::test]
async fn sessions_and_uses_go_over() {
    let folder = tempfile::tempdir().unwrap();
    let old = agent(&folder, CONFIG, NOW);
    let prod = chain(&old, "prod");
    old.sessions.restore(&prod, session("ASIAPROD", Some(NOW + HOUR)), None);
    old.sessions.restore(&prod.without_last_step(), session("AKIASOURCE", None), None);
    old.sessions.restore(&chain(&old, "audit"), session("ASIAOVER", Some(NOW)), None);
    old.journal.used(&"prod".parse().unwrap(), NOW);
    let state = old.keep();
    let text = std::str::from_utf8(state.expose()).unwrap();
    assert!(text.contains("ASIAPROD") && !text.contains("AKIASOURCE") && !text.contains("ASIAOVER"), "{text}");
    assert_eq!(state.expose().capacity(), state.expose().len(), "it never grew");

    let later = NOW + Duration::from_mins(5);
    let new = agent(&folder, CONFIG, later);
    let renewer = new.keep_warm(CancellationToken::new()).clone();
    new.take_over(state.expose()).unwrap();
    let taken = new.sessions.peek(&prod).session.unwrap();
    assert!(taken.has_same_credentials(&session("ASIAPROD", None)) && taken.is_clamped);
    assert_eq!((taken.issued, taken.expires(), taken.arn.as_deref()), (NOW, Some(NOW + HOUR), Some("arn")));
    assert_eq!(new.journal.of(&"prod".parse().unwrap()).used, Some(NOW));
    // The engine is another task; it takes its turn when this one waits.
    while renewer.planned(&prod).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(new.sessions.all().len(), 1);
}

#[tokio::test]
async fn what_the_configuration_no_longer_wants_or_is_over_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let old = agent(&folder, CONFIG, NOW);
    old.sessions.restore(&chain(&old, "prod"), session("ASIAPROD", Some(NOW + HOUR)), None);
    old.sessions.restore(&chain(&old, "audit"), session("ASIAAUDIT", Some(NOW + HOUR)), None);
    let state = old.keep();
    let other = agent(&folder, &CONFIG.replace("secret-handshake", "another"), NOW);
    other.take_over(state.expose()).unwrap();
    let kept: Vec<_> = other.sessions.all().into_iter().map(|(chain, _)| chain).collect();
    assert_eq!(kept, [chain(&other, "audit")]);
    let late = agent(&folder, CONFIG, NOW + HOUR);
    late.take_over(state.expose()).unwrap();
    assert!(late.sessions.all().is_empty());
}

#[test]
fn a_state_of_another_shape_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(&folder, CONFIG, NOW);
    let refused = |state: &[u8]| agent.take_over(state).unwrap_err().to_string();
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
    assert!(agent.sessions.all().is_empty());
    agent.take_over(agent.keep().expose()).unwrap();
}
