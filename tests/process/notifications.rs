//! Desktop notifications on a session bus of the test's own: with a recording service, without a service, without a
//! bus, and with a service that never answers.

use std::fs;
use std::io::Write as _;

use rolecall_harness::{Notifications, Output, Sandbox, SessionBus};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, error_line, profile};

/// The profiles `prod` and `zz` need MFA codes of different sources and devices; `good` needs none.
struct NotificationFixture {
    bus: SessionBus,
    fixture: Fixture,
    serial: String,
}

fn with_mfa() -> (Fixture, String) {
    let fixture = Fixture::configured();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    let zz = fixture.aws.add_user("111122223333", "zz");
    fixture.aws.update_role(ROLE, |role| role.trusts(&zz.arn));
    let other = fixture.aws.mfa_device(&zz.arn).serial;
    fixture.sandbox.write_aws_profile("zz", &zz, &fixture.aws.endpoint());
    fixture.write_config(&format!(
        "[sources.work]\naws_profile = \"work\"\nmfa = {{ serial = \"{serial}\" }}\n[sources.zz]\naws_profile = \"zz\"\n\
         mfa = {{ serial = \"{other}\" }}\n[sources.good]\naws_profile = \"work\"\n{}{}{}",
        profile("prod", "work", ROLE),
        profile("zz", "zz", ROLE),
        profile("good", "good", ROLE),
    ));
    (fixture, serial)
}

impl NotificationFixture {
    /// Returns `None`, and reports the test as skipped, without the programs of a session bus.
    #[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
    fn new() -> Option<Self> {
        if let Some(missing) = SessionBus::missing() {
            writeln!(std::io::stderr(), "SKIPPED: notifications: no {missing}").unwrap();
            return None;
        }
        let (fixture, serial) = with_mfa();
        let bus = SessionBus::start(&fixture.sandbox);
        Some(Self { bus, fixture, serial })
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.fixture.sandbox.rolecall();
        self.bus.set_address(&mut command);
        self.fixture.sandbox.run_with_input(command.args(arguments), input.as_bytes())
    }

    #[track_caller]
    fn assert_login_needed(&self, profile: &str) {
        let said = self.run(&["token", profile], "");
        assert!(error_line(&said, 5).contains("needs an MFA code of"), "{said}");
    }
}

fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.state_home().join("rolecall/daemon.log")).unwrap()
}

/// Fault matrix row 71.
#[test]
fn notification_of_needed_login_is_shown_once() {
    let Some(desktop) = NotificationFixture::new() else { return };
    let notifications = Notifications::on(&desktop.bus);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| desktop.assert_login_needed("prod"));
        }
    });
    notifications.wait_for(1, HANG_GUARD);
    desktop.assert_login_needed("prod");
    desktop.run(&["token", "good"], "").assert_ok();
    desktop.assert_login_needed("zz");
    let shown = notifications.wait_for(2, HANG_GUARD);
    let expected = |source: &str| (format!("Login needed: source {source}"), format!("Run: rolecall login {source}"));
    assert_eq!(shown, [expected("work"), expected("zz")]);
    // The notification does not contain the serial number of the MFA device.
    assert!(!shown.iter().any(|(summary, body)| summary.contains(&desktop.serial) || body.contains(&desktop.serial)));
}

#[test]
fn notification_service_started_later_is_used() {
    let Some(desktop) = NotificationFixture::new() else { return };
    desktop.assert_login_needed("prod");
    desktop.run(&["token", "good"], "").assert_ok();
    // The daemon retries a missing service after a minute; a new daemon tries immediately.
    desktop.run(&["agent", "restart"], "").assert_ok();
    let notifications = Notifications::on(&desktop.bus);
    desktop.assert_login_needed("prod");
    assert_eq!(notifications.wait_for(1, HANG_GUARD).len(), 1);
}

#[test]
fn notification_without_session_bus_logs_debug_only() {
    let (fixture, _) = with_mfa();
    let mut command = fixture.sandbox.rolecalld();
    let daemon = fixture.sandbox.spawn_daemon(command.args(["--log-level", "debug"]));
    daemon.wait_ready(HANG_GUARD);
    for _ in 0..3 {
        assert!(error_line(&fixture.token(), 5).contains("needs an MFA code"));
    }
    // The message has the level DEBUG.
    daemon.wait_stderr("desktop notification failed", HANG_GUARD);
    fixture.rolecall(&["token", "good"]).assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let usual = fixture.rolecall(&["token", "prod"]);
    assert!(error_line(&usual, 5).contains("needs an MFA code"));
    fixture.rolecall(&["token", "good"]).assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    // The tests' daemons log at DEBUG; the default level is higher.
    let log = log(&fixture.sandbox);
    let loud = log.lines().find(|line| line.contains("desktop") && !line.contains(" DEBUG "));
    assert!(loud.is_none(), "{log}");
}

#[test]
fn notification_service_hanging_delays_no_request() {
    let Some(desktop) = NotificationFixture::new() else { return };
    let _desktop = Notifications::unresponsive(&desktop.bus);
    let mut command = desktop.fixture.sandbox.rolecalld();
    desktop.bus.set_address(&mut command);
    let daemon = desktop.fixture.sandbox.spawn_daemon(command.args(["--log-level", "debug"]));
    daemon.wait_ready(HANG_GUARD);
    desktop.assert_login_needed("prod");
    for _ in 0..10 {
        desktop.run(&["token", "good"], "").assert_ok();
    }
    daemon.wait_stderr("the desktop does not answer", HANG_GUARD);
    desktop.assert_login_needed("zz");
    desktop.run(&["status"], "").assert_ok();
    desktop.run(&["agent", "stop"], "").assert_ok();
}
