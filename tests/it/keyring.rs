//! The keyring as sources use it: a source never shows a prompt.
//!
//! The keyring finds the session bus by an environment variable, which a test cannot set for itself. So the test runs this
//! program again with the variable, for the test `inside` only.

use std::process::Command;
use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_core::clock::Clock;
use rolecall_harness::{Sandbox, SessionBus};
use rolecall_protocol::KeyName;
use rolecalld::keyring::{Keyring, KeyringError, NewKey, Replace};

/// The variable that names the keyring's state to the inner run.
const STATE: &str = "ROLECALL_TEST_KEYRING";
const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SILENT: KeyringError = KeyringError::NotAnswering { is_unsure: false };

/// Runs this program again on that bus.
fn run_inside(bus: &SessionBus, state: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "keyring::inside", "--nocapture"]).env(STATE, state);
    bus.set_address(&mut command);
    let said = command.output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success() && text.contains("1 passed"),
        "{state}: {text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

/// Fault matrix row 86.
#[test]
fn keyring_source_never_prompts() {
    if SessionBus::missing().is_some() {
        return; // the process tests print that the keyring is missing
    }
    let sandbox = Sandbox::new();
    let bus = SessionBus::with_unanswered_prompt(&sandbox);
    bus.start_keyring();
    run_inside(&bus, "open");
    bus.lock();
    run_inside(&bus, "locked");
    assert!(!bus.was_prompted());
    run_inside(&bus, "asking");
    assert!(bus.was_prompted());
    bus.pause_keyring();
    run_inside(&bus, "hanging");
    bus.kill_keyring();
    run_inside(&bus, "gone");
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // the outer run sets the variable
async fn inside() {
    let Ok(state) = std::env::var(STATE) else { return };
    let keyring = Keyring::new(Clock::machine());
    let (name, other): (KeyName, KeyName) = ("glass".parse().unwrap(), "other".parse().unwrap());
    match state.as_str() {
        "open" => {
            assert_eq!(keyring.get(&name).await.unwrap_err(), KeyringError::NotFound);
            let key = || NewKey {
                credentials: Credentials::new(ID, "secret", None, None, "test"),
                arn: None,
                region: "eu-west-1".parse().unwrap(),
            };
            keyring.put(&name, key(), Replace::Nothing).await.unwrap();
            assert_eq!(keyring.put(&name, key(), Replace::Nothing).await.unwrap_err(), KeyringError::Exists);
            let got = keyring.get(&name).await.unwrap();
            assert_eq!((got.credentials.access_key_id(), got.credentials.secret_access_key()), (ID, "secret"));
            assert_eq!(got.region.as_str(), "eu-west-1");
        }
        "locked" => {
            assert_eq!(keyring.get(&name).await.unwrap_err(), KeyringError::Locked);
            // The locked collection may contain an item that cannot be seen.
            assert_eq!(keyring.get(&other).await.unwrap_err(), KeyringError::Locked);
        }
        // While the keyring prompts the user, sources get this error.
        "asking" => {
            let asked = keyring.unlock(Some(&name), Duration::from_millis(200)).await;
            assert_eq!(asked.unwrap_err(), KeyringError::Prompting);
            assert_eq!(keyring.get(&name).await.unwrap_err(), KeyringError::Prompting);
        }
        "hanging" => {
            assert_eq!(keyring.get(&name).await.unwrap_err(), SILENT);
            // The second call returns the remembered failure.
            assert_eq!(keyring.get(&name).await.unwrap_err(), SILENT);
        }
        "gone" => assert!(matches!(keyring.get(&name).await.unwrap_err(), KeyringError::Absent(_))),
        other => panic!("{other}"),
    }
}
