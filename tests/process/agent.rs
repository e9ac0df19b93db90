//! `rolecall agent`.

use std::os::unix::fs::PermissionsExt;

use crate::world::{World, one_line};

#[test]
fn start_status_restart_logs_stop() {
    let world = World::configured();
    let line = one_line(&world.rolecall(&["agent", "status"]), 3);
    assert_eq!(line, "rolecall: the agent is not running. Run: rolecall agent start");

    let said = world.rolecall(&["agent", "start"]);
    said.assert_ok();
    let first = world.daemon_pid();
    assert!(said.stdout.contains(&first.to_string()), "{}", said.stdout);
    world.rolecall(&["agent", "start"]).assert_ok();
    assert_eq!(world.daemon_pid(), first, "a second start starts nothing");

    let said = world.rolecall(&["agent", "status"]);
    said.assert_ok();
    for part in [&first.to_string(), env!("CARGO_PKG_VERSION"), "agent.sock", "daemon.log", "config.toml"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }

    world.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!(world.daemon_pid(), first, "it runs its program anew");

    let said = world.rolecall(&["agent", "logs", "-n", "50"]);
    said.assert_ok();
    assert!(said.stdout.matches("Serving").count() >= 2, "{}", said.stdout);

    world.rolecall(&["agent", "stop"]).assert_ok();
    assert!(!world.socket().exists());
    one_line(&world.rolecall(&["agent", "status"]), 3);
    world.rolecall(&["agent", "stop"]).assert_ok();
}

#[test]
fn a_log_that_cannot_be_written_keeps_nobody_from_serving() {
    let world = World::configured();
    std::fs::create_dir_all(world.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    world.token().assert_ok();
    assert!(world.rolecall(&["status", "--json"]).json()["daemon"]["log"].is_null());
}

#[test]
fn a_daemon_that_cannot_start_says_why_through_the_client() {
    let world = World::configured();
    let lock = world.socket().with_file_name("agent.lock");
    std::fs::create_dir_all(&lock).unwrap();
    std::fs::set_permissions(lock.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let line = one_line(&world.token(), 3);
    assert!(line.contains("the agent cannot start: ") && line.contains("agent.lock"), "{line}");
}

#[test]
fn a_broken_configuration_does_not_keep_the_daemon_from_saying_so() {
    let world = World::configured();
    world.write_config("[profiles.prod]\ncluster = 3\n");
    let line = one_line(&world.token(), 1);
    assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
    world.rolecall(&["status"]).assert_ok();
}
