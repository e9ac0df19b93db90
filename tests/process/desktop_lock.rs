//! `on_screen_lock` and `on_sleep` of `[lock]`: the daemon locks with the desktop. logind is one of the test's own, on a bus of
//! the test's own.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use rolecall_harness::{Daemon, Logind, SessionBus, within};

use crate::fixture::{Fixture, HANG_GUARD, error_line};

const PASSPHRASE: &str = "correct horse";
const BOTH: &str = "on_screen_lock = true\non_sleep = true";

/// A daemon that follows logind and has a session and a passphrase.
struct Desktop {
    fixture: Fixture,
    logind: Logind,
    daemon: Daemon,
    _bus: SessionBus,
}

impl Desktop {
    /// Returns `None`, and reports the test as skipped, without the programs of a bus.
    #[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
    fn new() -> Option<Self> {
        if let Some(missing) = SessionBus::missing() {
            writeln!(std::io::stderr(), "SKIPPED: lock with the desktop: no {missing}").unwrap();
            return None;
        }
        let fixture = configured(BOTH);
        let bus = SessionBus::start(&fixture.sandbox);
        let logind = Logind::on(&bus);
        let mut command = fixture.sandbox.rolecalld();
        logind.set_address(&mut command);
        let daemon = fixture.sandbox.spawn_daemon(&mut command);
        daemon.wait_ready(HANG_GUARD);
        fixture.token().assert_ok();
        let desktop = Self { fixture, logind, daemon, _bus: bus };
        with_passphrase(&desktop.fixture, &["lock", "--passphrase", "--stdin"]);
        Some(desktop)
    }

    #[track_caller]
    fn assert_locked(&self) {
        let line = error_line(&self.fixture.token(), 5);
        assert_eq!(line, "rolecall: prod: the agent is locked. Run: rolecall unlock");
    }

    /// Waits for a text in the status.
    #[track_caller]
    fn wait_for_status(&self, text: &str) {
        self.wait_for_output(&["status"], text);
    }

    #[track_caller]
    fn wait_for_output(&self, command: &[&str], text: &str) {
        let output = || self.fixture.rolecall(command).stdout;
        let found = within(HANG_GUARD, || output().contains(text).then_some(()));
        assert!(found.is_some(), "{text} is not in\n{}", output());
    }

    /// Waits until the daemon receives signals and has read what was there before.
    #[track_caller]
    fn wait_until_followed(&self) {
        self.wait_for_output(&["agent", "status"], "unlocked; locks with the desktop");
    }

    /// The daemon writes its audit log after the response.
    #[track_caller]
    fn assert_audited(&self, reason: &str, count: usize) {
        let audit = || self.fixture.rolecall(&["audit", "-o", "json"]).stdout;
        let found = || audit().matches(&format!("\"{reason}\"")).count();
        assert!(within(HANG_GUARD, || (found() >= count).then_some(())).is_some(), "{}", audit());
        assert_eq!(found(), count, "{}", audit());
    }

    /// Waits until the daemon has handled all signals so far, by one that it answers.
    fn wait_until_handled(&self, inhibitors: usize) {
        self.logind.prepare_for_sleep(false);
        self.logind.wait_for_inhibitors(inhibitors, HANG_GUARD);
    }
}

/// Fault matrix row 106.
#[test]
fn daemon_locks_before_sleep_and_delays_it_until_then() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.logind.wait_for_inhibitors(1, HANG_GUARD);
    desktop.wait_until_followed();
    // After a restart the new program delays sleep, and the former one does not.
    desktop.fixture.rolecall(&["agent", "restart"]).assert_ok();
    desktop.logind.wait_for_inhibitors(2, HANG_GUARD);
    desktop.logind.wait_for_release(1, HANG_GUARD);
    desktop.fixture.token().assert_ok();
    desktop.logind.prepare_for_sleep(true);
    desktop.logind.wait_for_release(2, HANG_GUARD);
    desktop.assert_locked();
    // Woken up and unlocked, it is ready for the next sleep.
    desktop.wait_until_handled(3);
    with_passphrase(&desktop.fixture, &["unlock", "--stdin"]);
    desktop.fixture.token().assert_ok();
    desktop.logind.prepare_for_sleep(true);
    desktop.logind.wait_for_release(3, HANG_GUARD);
    desktop.assert_locked();
    desktop.assert_audited("sleep", 2);
}

/// Fault matrix row 106.
#[test]
fn daemon_locks_with_the_screen_of_its_user_alone() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.logind.wait_for_inhibitors(1, HANG_GUARD);
    desktop.logind.lock_foreign_session();
    desktop.logind.set_locked_hint(false);
    desktop.logind.forge_lock(desktop.daemon.pid(), 2_000);
    desktop.wait_until_handled(2);
    desktop.fixture.token().assert_ok();
    desktop.logind.lock_session();
    desktop.wait_until_handled(3);
    desktop.assert_locked();
    with_passphrase(&desktop.fixture, &["unlock", "--stdin"]);
    desktop.logind.set_locked_hint(true);
    desktop.wait_until_handled(4);
    desktop.assert_locked();
    desktop.assert_audited("screen_lock", 2);
}

/// Fault matrix row 106. The screen was locked while the daemon did not listen.
#[test]
fn daemon_locks_if_the_screen_is_locked_already() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.wait_until_followed();
    desktop.logind.set_locked_hint_silently(true);
    desktop.fixture.token().assert_ok();
    desktop.fixture.rolecall(&["agent", "restart"]).assert_ok();
    desktop.wait_for_status("! locked since ");
    desktop.logind.set_locked_hint_silently(false);
    with_passphrase(&desktop.fixture, &["unlock", "--stdin"]);
    // logind restarts, and the screen is locked meanwhile.
    desktop.logind.leave();
    desktop.wait_for_status("have no effect: logind cannot be reached: it is not on the system bus");
    desktop.fixture.token().assert_ok();
    desktop.logind.set_locked_hint_silently(true);
    desktop.logind.come_back();
    desktop.wait_for_status("! locked since ");
}

/// Fault matrix row 106.
#[test]
fn daemon_says_that_sleep_does_not_wait() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.logind.wait_for_inhibitors(1, HANG_GUARD);
    desktop.logind.refuse_inhibitors();
    desktop.fixture.rolecall(&["agent", "restart"]).assert_ok();
    desktop.wait_for_status("sleep does not wait until the agent is locked: ");
    desktop.logind.lock_session();
    desktop.wait_for_status("! locked since ");
}

/// An idle daemon sleeps: no thread of the bus's library stays to look for work.
#[test]
fn threads_for_the_bus_end() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.logind.wait_for_inhibitors(1, HANG_GUARD);
    let tasks = PathBuf::from(format!("/proc/{}/task", desktop.daemon.pid()));
    let names = || -> Vec<String> {
        let tasks = fs::read_dir(&tasks).unwrap().flatten();
        tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
    };
    let has_ended = within(HANG_GUARD, || (!names().iter().any(|name| name.starts_with("blocking"))).then_some(()));
    assert!(has_ended.is_some(), "{:?}", names());
}

/// Fault matrix row 106.
#[test]
fn daemon_without_logind_says_that_it_does_not_lock_with_the_desktop() {
    let fixture = configured(BOTH);
    let mut command = fixture.sandbox.rolecalld();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", fixture.sandbox.root().join("none").display()));
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_stderr("the desktop cannot be followed", HANG_GUARD);
    with_passphrase(&fixture, &["lock", "--passphrase", "--stdin"]);
    let expected = "have no effect: logind cannot be reached";
    let status = fixture.rolecall(&["status"]);
    assert!(status.stdout.contains(expected), "{status}");
    let security = fixture.rolecall(&["doctor", "--security"]);
    assert!(security.stdout.contains(expected), "{security}");
    let agent = fixture.rolecall(&["agent", "status"]);
    assert!(!agent.stdout.contains("with the desktop"), "{agent}");
    // Without the wish, nothing is missing.
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&config.replace(BOTH, ""));
    assert!(within(HANG_GUARD, || (!fixture.rolecall(&["status"]).stdout.contains(expected)).then_some(())).is_some());
}

fn configured(rules: &str) -> Fixture {
    let fixture = Fixture::configured();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n[lock]\n{rules}\n"));
    fixture
}

fn with_passphrase(fixture: &Fixture, arguments: &[&str]) {
    let mut command = fixture.sandbox.rolecall();
    fixture.sandbox.run_with_input(command.args(arguments), PASSPHRASE.as_bytes()).assert_ok();
}
