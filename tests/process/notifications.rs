//! Notifications on a desktop: a session bus of the test's own, with a service that remembers what it is to show; none; and
//! one that never answers.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use rolecall_harness::{Notifications, Output, Sandbox, SessionBus};

use crate::world::{REGION, ROLE, World, one_line};

const SOON: Duration = Duration::from_secs(20);

/// The profile `prod` wants a code that nobody has given, and so does `zz` of another source and another device; `good`
/// wants none.
struct Desk {
    bus: SessionBus,
    world: World,
    serial: String,
}

fn guarded() -> (World, String) {
    let world = World::configured();
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    let profile = |name: &str, source: &str| {
        format!(
            "[profiles.{name}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"{source}\"\nrole_arn = \"{ROLE}\"\n"
        )
    };
    let zz = world.aws.add_user("111122223333", "zz");
    world.aws.update_role(ROLE, |role| role.trusts(&zz.arn));
    let other = world.aws.mfa_device(&zz.arn).serial;
    world.sandbox.write_aws_profile("zz", &zz, &world.aws.endpoint());
    world.write_config(&format!(
        "[sources.work]\naws_profile = \"work\"\nmfa = {{ serial = \"{serial}\" }}\n[sources.zz]\naws_profile = \"zz\"\n\
         mfa = {{ serial = \"{other}\" }}\n[sources.good]\naws_profile = \"work\"\n{}{}{}",
        profile("prod", "work"),
        profile("zz", "zz"),
        profile("good", "good"),
    ));
    (world, serial)
}

impl Desk {
    /// `None` where this machine has no session bus; that is said.
    #[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
    fn new() -> Option<Self> {
        if let Some(missing) = SessionBus::missing() {
            writeln!(std::io::stderr(), "SKIPPED: notifications: no {missing}").unwrap();
            return None;
        }
        let (world, serial) = guarded();
        let bus = SessionBus::start(&world.sandbox);
        Some(Self { bus, world, serial })
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.world.sandbox.rolecall();
        self.bus.set_address(&mut command);
        self.world.sandbox.run_with_input(command.args(arguments), input.as_bytes())
    }

    #[track_caller]
    fn refuses(&self, profile: &str) {
        let said = self.run(&["token", profile], "");
        assert!(one_line(&said, 5).contains("needs a code of the MFA device"), "{said}");
        assert!(said.elapsed < Duration::from_secs(5), "{said}");
    }
}

fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.state_home().join("rolecall/daemon.log")).unwrap()
}

#[test]
fn row_71_an_ended_login_is_shown_once_however_many_ask() {
    let Some(desk) = Desk::new() else { return };
    let desktop = Notifications::on(&desk.bus);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| desk.refuses("prod"));
        }
    });
    desktop.wait_for(1, SOON);
    desk.refuses("prod");
    desk.run(&["token", "good"], "").assert_ok();
    desk.refuses("zz");
    let shown = desktop.wait_for(2, SOON);
    let expected = |source: &str| (format!("Login needed: source {source}"), format!("Run: rolecall login {source}"));
    assert_eq!(shown, [expected("work"), expected("zz")]);
    // Nothing of it is a secret, and nothing is told that is none of a desktop's business.
    assert!(!shown.iter().any(|(summary, body)| summary.contains(&desk.serial) || body.contains(&desk.serial)));
}

#[test]
fn a_desktop_that_comes_later_is_told_then() {
    let Some(desk) = Desk::new() else { return };
    desk.refuses("prod");
    desk.run(&["token", "good"], "").assert_ok();
    // It was looked for in vain, and is looked for again within two minutes; a new daemon looks at once.
    desk.run(&["agent", "restart"], "").assert_ok();
    let desktop = Notifications::on(&desk.bus);
    desk.refuses("prod");
    assert_eq!(desktop.wait_for(1, SOON).len(), 1);
}

#[test]
fn without_a_session_bus_nothing_is_missing_and_nothing_is_said() {
    let (world, _) = guarded();
    let mut command = world.sandbox.rolecalld();
    let daemon = world.sandbox.spawn_daemon(command.args(["--log-level", "debug"]));
    daemon.wait_ready(SOON);
    for _ in 0..3 {
        assert!(one_line(&world.token(), 5).contains("needs a code"));
    }
    // At the level that nobody sees who does not look for it.
    daemon.wait_stderr("desktop notification failed", SOON);
    world.rolecall(&["token", "good"]).assert_ok();
    world.rolecall(&["agent", "stop"]).assert_ok();
    let usual = world.rolecall(&["token", "prod"]);
    assert!(one_line(&usual, 5).contains("needs a code"));
    world.rolecall(&["token", "good"]).assert_ok();
    world.rolecall(&["agent", "stop"]).assert_ok();
    // Every daemon of the tests logs all that there is; a person's does not.
    let log = log(&world.sandbox);
    let loud = log.lines().find(|line| line.contains("desktop") && !line.contains(" DEBUG "));
    assert!(loud.is_none(), "{log}");
}

#[test]
fn a_desktop_that_never_answers_delays_nobody() {
    let Some(desk) = Desk::new() else { return };
    let _desktop = Notifications::unresponsive(&desk.bus);
    let mut command = desk.world.sandbox.rolecalld();
    desk.bus.set_address(&mut command);
    let daemon = desk.world.sandbox.spawn_daemon(command.args(["--log-level", "debug"]));
    daemon.wait_ready(SOON);
    desk.refuses("prod");
    for _ in 0..10 {
        let said = desk.run(&["token", "good"], "");
        said.assert_ok();
        assert!(said.elapsed < Duration::from_secs(2), "{said}");
    }
    daemon.wait_stderr("the desktop does not answer", SOON);
    desk.refuses("zz");
    desk.run(&["status"], "").assert_ok();
    let stopped = desk.run(&["agent", "stop"], "");
    stopped.assert_ok();
    assert!(stopped.elapsed < Duration::from_secs(5), "{stopped}");
}
