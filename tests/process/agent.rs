//! `rolecall agent start`, `status`, `restart`, `logs` and `stop`.

use std::os::unix::fs::PermissionsExt;

#[cfg(target_os = "linux")]
use crate::files::skipped;
use crate::fixture::{Fixture, error_line};

#[test]
fn agent_start_status_restart_logs_stop_succeed() {
    let fixture = Fixture::configured();
    let line = error_line(&fixture.rolecall(&["agent", "status"]), 3);
    assert_eq!(line, "rolecall: the agent is not running. Run: rolecall agent start");

    let said = fixture.rolecall(&["agent", "start"]);
    said.assert_ok();
    let first = fixture.daemon_pid();
    assert!(said.stdout.contains(&first.to_string()), "{}", said.stdout);
    fixture.rolecall(&["agent", "start"]).assert_ok();
    assert_eq!(fixture.daemon_pid(), first, "a second start starts nothing");

    let said = fixture.rolecall(&["agent", "status"]);
    said.assert_ok();
    for part in [&first.to_string(), env!("CARGO_PKG_VERSION"), "agent.sock", "daemon.log", "config.toml"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }

    fixture.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!(fixture.daemon_pid(), first, "a restart keeps the pid");

    let said = fixture.rolecall(&["agent", "logs", "-n", "50"]);
    said.assert_ok();
    assert!(said.stdout.matches("daemon started").count() >= 2, "{}", said.stdout);

    fixture.rolecall(&["agent", "stop"]).assert_ok();
    assert!(!fixture.socket().exists());
    error_line(&fixture.rolecall(&["agent", "status"]), 3);
    fixture.rolecall(&["agent", "stop"]).assert_ok();
}

/// A container has a PID namespace of its own, in which the daemon has no process id.
#[test]
#[cfg(target_os = "linux")]
fn client_in_another_pid_namespace_reaches_the_daemon() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    let run = |program: &[&str]| {
        let mut command = fixture.sandbox.command("unshare");
        fixture.sandbox.run(command.args(["--pid", "--fork"]).args(program))
    };
    if !run(&["true"]).status.success() {
        return skipped("a PID namespace: only root can make one");
    }
    run(&["rolecall", "status", "--json"]).assert_ok();
    run(&["rolecall", "agent", "stop"]).assert_ok();
    assert!(!fixture.socket().exists());
}

#[test]
fn daemon_serves_when_log_is_not_writable() {
    let fixture = Fixture::configured();
    std::fs::create_dir_all(fixture.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    fixture.token().assert_ok();
    assert!(fixture.rolecall(&["status", "--json"]).json()["daemon"]["log"].is_null());
}

#[test]
fn client_reports_why_the_daemon_cannot_start() {
    let fixture = Fixture::configured();
    let lock = fixture.socket().with_file_name("agent.lock");
    std::fs::create_dir_all(&lock).unwrap();
    std::fs::set_permissions(lock.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let line = error_line(&fixture.rolecall(&["status"]), 3);
    assert!(line.contains("the agent cannot start: ") && line.contains("agent.lock"), "{line}");
}

#[test]
fn daemon_starts_with_invalid_config_and_reports_it() {
    let fixture = Fixture::configured();
    fixture.write_config("[profiles.prod]\ncluster = 3\n");
    let line = error_line(&fixture.token(), 1);
    assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
    fixture.rolecall(&["status"]).assert_ok();
}
