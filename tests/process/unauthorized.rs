//! A profile that its cluster rejects (401): where the user sees it.

use std::fs;
use std::io::Write;

use rolecall_harness::{Notifications, Output, SessionBus};

use crate::fixture::{EXEC_INFO, Fixture, HANG_GUARD};

/// Runs the plugin as a child of this process: each further call means that the cluster rejected the token before.
fn token(fixture: &Fixture) -> Output {
    fixture.sandbox.run(fixture.sandbox.rolecall().args(["token", "prod"]).env("KUBERNETES_EXEC_INFO", EXEC_INFO))
}

/// Fault matrix row 83.
#[test]
fn rejected_profile_is_shown_logged_and_printed_once() {
    let fixture = Fixture::configured();
    let first = token(&fixture);
    first.assert_ok();
    let mut command = fixture.sandbox.rolecall();
    let watch = fixture.sandbox.spawn_daemon(command.args(["status", "--watch", "-o", "json"]));
    watch.wait_stdout("\"state\":\"ready\"", HANG_GUARD);
    let runs: Vec<Output> = (0..5).map(|_| token(&fixture)).collect();
    for said in &runs {
        let keys = |said: &Output| said.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!((said.code(), keys(said)), (Some(0), keys(&first)));
    }
    let lines: String = runs.iter().map(|said| said.stderr.as_str()).collect();
    assert_eq!(lines, "rolecall: prod: the cluster rejects this role (401). Run: rolecall doctor prod\n");
    watch.wait_stdout("\"tokens_rejected\":\"", HANG_GUARD);

    let status = fixture.rolecall(&["status"]).stdout;
    assert!(
        status.contains("! prod") && status.contains("the cluster rejects this role (401): rolecall doctor prod"),
        "{status}"
    );
    let shown = fixture.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains("the cluster rejects this role (401): rolecall doctor prod"), "{shown}");
    for arguments in [&["status", "-o", "json"][..], &["show", "prod", "-o", "json"]] {
        let json = fixture.rolecall(arguments).json();
        let profile = if arguments[0] == "status" { &json["profiles"][0] } else { &json };
        assert!(profile["tokens_rejected"].is_string(), "{json}");
    }
    let log = fs::read_to_string(fixture.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    let events: Vec<&str> = log.lines().filter(|line| line.contains("tokens rejected by the cluster")).collect();
    assert!(events.len() == 1 && events[0].contains(" WARN ") && events[0].contains("profile=prod"), "{log}");
}

#[test]
#[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
fn rejected_profile_is_announced_on_the_desktop() {
    if let Some(missing) = SessionBus::missing() {
        writeln!(std::io::stderr(), "SKIPPED: unauthorized: no {missing}").unwrap();
        return;
    }
    let fixture = Fixture::configured();
    let bus = SessionBus::start(&fixture.sandbox);
    let notifications = Notifications::on(&bus);
    // A daemon that the plugin starts ignores the address of a kubeconfig.
    let mut start = fixture.sandbox.rolecall();
    bus.set_address(&mut start);
    fixture.sandbox.run(start.args(["agent", "start"])).assert_ok();
    for _ in 0..6 {
        token(&fixture).assert_ok();
    }
    let shown = notifications.wait_for(1, HANG_GUARD);
    let expected = ("Cluster rejects profile prod (401)", "Run: rolecall doctor prod");
    assert_eq!(shown, [(expected.0.to_owned(), expected.1.to_owned())]);
}

/// The user of the source is the identity of a profile without a role.
#[test]
fn rejected_source_is_named_as_identity() {
    let fixture = Fixture::configured();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    let config: String =
        config.lines().filter(|line| !line.starts_with("role_arn")).flat_map(|line| [line, "\n"]).collect();
    fixture.write_config(&config);
    let lines: String = (0..6).map(|_| token(&fixture).assert_ok().stderr.clone()).collect();
    assert_eq!(lines, "rolecall: prod: the cluster rejects this identity (401). Run: rolecall doctor prod\n");
}
