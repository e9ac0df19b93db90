//! A fixture with a desktop: a session bus and a real GNOME Keyring, and a user whose keys go into it.

use std::io::Write as _;

use rolecall_harness::{AccessKey, Output, Sandbox, SessionBus};

use crate::fixture::{Fixture, one_line};

/// The bus goes before the fixture that it is in.
pub(crate) struct Desktop {
    pub(crate) bus: SessionBus,
    pub(crate) fixture: Fixture,
    /// The keys of the user `break-glass`, who has nothing to do with the profile `prod`.
    pub(crate) key: AccessKey,
}

/// A fixture with the profile `prod`, whose AWS is reached without an AWS profile too, since keys have none.
pub(crate) fn fixture() -> Fixture {
    let fixture = Fixture::configured();
    let endpoint = fixture.aws.endpoint();
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n[endpoints]\nsts = \"{endpoint}\"\niam = \"{endpoint}\"\n"));
    fixture
}

/// What the keyring has under a name, as any program of the desktop sees it.
pub(crate) fn item(name: &str) -> [&str; 4] {
    ["service", "rolecall", "username", name]
}

impl Desktop {
    /// On such a bus, the keyring unlocked. `None` where this machine has none; that is said.
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
        self.bus.put_into(&mut command);
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
    pub(crate) fn refuses(&self, arguments: &[&str], words: &str) {
        let said = self.keys(arguments);
        let line = one_line(&said, 1);
        assert!(line.contains(words), "{line}");
        self.serves_others();
    }

    #[track_caller]
    pub(crate) fn serves_others(&self) {
        self.fixture.token().assert_ok();
    }
}
