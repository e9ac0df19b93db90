//! A desktop: a session bus, a real GNOME Keyring, and a user whose access key goes into it.

use std::io::Write as _;

use rolecall_harness::{AccessKey, Output, Sandbox, SessionBus};

use crate::fixture::{Fixture, error_line};

/// Fields drop in this order: the bus before the sandbox that contains its files.
pub(crate) struct Desktop {
    pub(crate) bus: SessionBus,
    pub(crate) fixture: Fixture,
    /// The access key of the user `break-glass`, which the profile `prod` does not use.
    pub(crate) key: AccessKey,
}

/// The profile `prod`, and AWS endpoints for sources without an AWS profile.
pub(crate) fn fixture() -> Fixture {
    let fixture = Fixture::configured();
    let endpoint = fixture.aws.endpoint();
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n[endpoints]\nsts = \"{endpoint}\"\niam = \"{endpoint}\"\n"));
    fixture
}

/// The attributes of Rolecall's keyring item.
pub(crate) fn item(name: &str) -> [&str; 4] {
    ["service", "rolecall", "username", name]
}

impl Desktop {
    /// Starts an unlocked keyring on this bus. Returns `None`, and reports the test as skipped, without the programs.
    #[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
    pub(crate) fn at(bus: impl FnOnce(&Sandbox) -> SessionBus) -> Option<Self> {
        if let Some(missing) = SessionBus::missing() {
            writeln!(std::io::stderr(), "SKIPPED: keyring: no {missing}").unwrap();
            return None;
        }
        let fixture = fixture();
        let bus = bus(&fixture.sandbox);
        bus.start_keyring();
        let key = fixture.aws.add_user("111122223333", "break-glass");
        Some(Self { bus, fixture, key })
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.fixture.sandbox.rolecall();
        self.bus.set_address(&mut command);
        self.fixture.sandbox.run_with_input(command.args(arguments), input.as_bytes())
    }

    pub(crate) fn keys(&self, arguments: &[&str]) -> Output {
        self.run(&[&["keys"], arguments].concat(), "")
    }

    pub(crate) fn put(&self, name: &str, key: &AccessKey, more: &[&str]) -> Output {
        self.run(&[&["keys", "put", name, "--stdin"], more].concat(), &format!("{}\n{}\n", key.id, key.secret))
    }

    pub(crate) fn list(&self) -> serde_json::Value {
        let said = self.keys(&["list", "--json"]);
        said.assert_ok();
        said.json()
    }

    /// Asserts that the command fails with this message, and that a token, which needs no keyring, is served.
    #[track_caller]
    pub(crate) fn assert_fails(&self, arguments: &[&str], words: &str) {
        let said = self.keys(arguments);
        let line = error_line(&said, 1);
        assert!(line.contains(words), "{line}");
        self.assert_token_served();
    }

    #[track_caller]
    pub(crate) fn assert_token_served(&self) {
        self.fixture.token().assert_ok();
    }
}
