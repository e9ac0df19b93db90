//! Starting and stopping: by the first client, by hand, by a service manager; and where there is no place for a socket.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rolecall_harness::{Fault, Gate, Op};

use crate::world::{ROLE, World, one_line};

#[test]
fn the_first_token_starts_the_daemon_in_a_private_place() {
    let world = World::configured();
    world.token().assert_ok();
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(world.socket().parent().unwrap()), mode(&world.socket())), (0o700, 0o600));
    let log = world.sandbox.state_home().join("rolecall/daemon.log");
    assert_eq!(mode(&log), 0o600);
    assert!(fs::read_to_string(log).unwrap().contains("Serving"));
}

#[test]
fn the_shells_variables_change_nothing() {
    let world = World::configured();
    let poison = [
        ("AWS_ACCESS_KEY_ID", "wrong"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
        ("AWS_SESSION_TOKEN", "wrong"),
        ("AWS_PROFILE", "other"),
        ("AWS_DEFAULT_REGION", "ap-south-1"),
        ("AWS_REGION", "ap-south-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9"),
        ("RUST_LOG", "trace"),
    ];
    // A client of that shell starts the daemon …
    let said = world.sandbox.run(world.sandbox.rolecall().args(["token", "prod"]).envs(poison));
    said.assert_ok();
    let call = world.aws.log_of(Op::AssumeRole).pop().unwrap();
    assert_eq!(
        (call.caller_arn.as_deref(), call.region.as_deref()),
        (Some(world.user.arn.as_str()), Some("eu-west-1"))
    );
    world.rolecall(&["agent", "stop"]).assert_ok();
    // … or the shell does.
    let daemon = world.sandbox.spawn_daemon(world.sandbox.rolecalld().envs(poison));
    daemon.wait_ready(Duration::from_secs(20));
    world.token().assert_ok();
    assert_eq!(world.aws.log_of(Op::AssumeRole).pop().unwrap().caller_arn.as_deref(), Some(world.user.arn.as_str()));
}

#[test]
fn a_daemon_that_is_told_to_stop_finishes_what_is_under_way() {
    let world = World::configured();
    let daemon = world.sandbox.start_daemon();
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| world.token());
        world.aws.wait_for_calls(Op::AssumeRole, 1, Duration::from_secs(10));
        daemon.terminate();
        daemon.wait_stderr("Stopping", Duration::from_secs(10));
        gate.open();
        caller.join().unwrap().assert_ok();
    });
    assert!(daemon.wait_exit(Duration::from_secs(10)).success());
    assert!(!world.socket().exists());
}

#[test]
fn row_7_without_xdg_runtime_dir_there_is_another_place_and_never_tmp() {
    let world = World::configured();
    let said = world.sandbox.run(world.sandbox.rolecall().args(["token", "prod"]).env("XDG_RUNTIME_DIR", "relative"));
    said.assert_ok();
    let status =
        world.sandbox.run(world.sandbox.rolecall().args(["status", "--json"]).env("XDG_RUNTIME_DIR", "relative"));
    let socket = status.json()["daemon"]["socket"].as_str().unwrap().to_owned();
    let own = world.sandbox.state_home().display().to_string();
    assert!(socket.starts_with(&own) || socket.starts_with("/run/user/"), "{socket}");
}

#[test]
fn row_6_a_runtime_folder_that_others_can_enter_is_refused() {
    let world = World::configured();
    let folder = world.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let line = one_line(&world.token(), 3);
    assert!(line.contains(&folder.display().to_string()), "{line}");
    assert!(line.contains("open to others (mode 0770, it has to be 0700)"), "{line}");
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o770, "left as it was");
}

#[test]
fn row_4_a_socket_that_is_not_ours_is_refused() {
    let world = World::configured();
    let folder = world.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(world.socket(), "").unwrap();
    let line = one_line(&world.token(), 3);
    assert!(line.contains("not a socket"), "{line}");
    let line =
        one_line(&world.sandbox.run(world.sandbox.rolecall().args(["token", "prod"]).env("ROLECALL_SOCKET", "x")), 3);
    assert!(line.contains("ROLECALL_SOCKET is not an absolute path"), "{line}");
}

#[test]
fn without_any_runtime_folder_the_answer_comes_without_a_daemon() {
    let world = World::configured();
    // A home whose path is too long for a socket, and no other place.
    let home = world.sandbox.root().join("x".repeat(90));
    fs::rename(world.sandbox.home(), &home).unwrap();
    let bare = |mut command: std::process::Command| {
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", "/nonexistent").env("XDG_CONFIG_HOME", home.join(".config"));
        command.env("XDG_STATE_HOME", home.join(".local/state")).current_dir("/");
        command
    };
    let mut command = bare(world.sandbox.rolecall());
    let said = world.sandbox.run(command.args(["token", "prod"]));
    said.assert_ok();
    assert!(said.json()["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));
    let line = said.stderr.strip_suffix('\n').unwrap();
    assert!(
        line.starts_with("rolecall: no usable runtime folder (") && line.ends_with("answering without the daemon"),
        "{line}"
    );
    assert_eq!(world.assume_role_calls(), 1);
    // An error there is one of the daemon's own, with its exit code.
    world.aws.remove_role(ROLE);
    let mut command = bare(world.sandbox.rolecall());
    let said = world.sandbox.run(command.args(["token", "prod"]));
    said.assert_code(1).assert_stdout_empty();
    assert!(
        said.stderr.lines().last().unwrap().starts_with("rolecall: prod: AWS denied AssumeRole"),
        "{}",
        said.stderr
    );
}

#[test]
fn row_112_a_poor_environment_is_enough_or_gets_a_clear_error() {
    let world = World::configured();
    let mut command = world.sandbox.rolecall();
    command.args(["token", "prod"]).env_clear().env("HOME", world.sandbox.home());
    command.env("XDG_RUNTIME_DIR", world.sandbox.runtime_dir()).env("XDG_CONFIG_HOME", world.sandbox.config_home());
    let said = world.sandbox.run(&mut command);
    said.assert_ok();
}

#[test]
fn a_daemon_that_is_killed_while_it_starts_is_started_once_more() {
    let world = World::configured();
    let bin = world.sandbox.home().join("bin");
    let real = world.sandbox.rolecalld().get_program().to_owned();
    // Beside the client, a daemon that dies without a word as often as there are folders to take away. Written by a
    // shell: a program that this process had open for writing could not be run while another thread starts something.
    let install = "mkdir -p \"$2\" && cp \"$1\" \"$2/rolecall\" && cat > \"$2/rolecalld\" && chmod +x \"$2/rolecalld\"";
    let mut command = world.sandbox.command("sh");
    command.args(["-c", install, "sh"]).arg(world.sandbox.rolecall().get_program()).arg(&bin);
    let script = format!(
        "#!/bin/sh\nfor n in 1 2; do rmdir '{0}/die'$n 2>/dev/null && kill -9 $$; done\nexec '{1}' \"$@\"\n",
        bin.display(),
        real.display()
    );
    world.sandbox.run_with_input(&mut command, script.as_bytes()).assert_ok();
    let token = || world.sandbox.run(world.sandbox.command(bin.join("rolecall")).args(["token", "prod"]));

    // With a place for the socket: without one, a daemon for this one call would answer.
    fs::create_dir(world.socket().parent().unwrap()).unwrap();
    fs::set_permissions(world.socket().parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(bin.join("die1")).unwrap();
    fs::create_dir(bin.join("die2")).unwrap();
    let line = one_line(&token(), 3);
    assert!(line.starts_with("rolecall: prod: the agent exited right after it was started. "), "{line}");
    fs::create_dir(bin.join("die1")).unwrap();
    token().assert_ok();
}

#[test]
fn a_daemon_is_not_dumpable_and_leaves_no_core() {
    let world = World::configured();
    let daemon = world.sandbox.start_daemon();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    // The kernel gives what belongs to a process that is not dumpable to root.
    let owner = fs::metadata(format!("/proc/{}/environ", daemon.pid())).unwrap().uid();
    assert_eq!(owner, 0);
}

/// A daemon that gets its socket as a service manager hands it over: as file descriptor 3.
pub(crate) fn activated(world: &World) -> (UnixListener, rolecall_harness::Daemon) {
    let folder = world.socket().parent().unwrap().to_owned();
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let listener = UnixListener::bind(world.socket()).unwrap();
    let passed = listener.try_clone().unwrap();
    // The descriptor survives the start of the shell, which moves it to where systemd would have it.
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).unwrap();
    let script = format!("exec 3<&{}; export LISTEN_FDS=1 LISTEN_PID=$$; exec rolecalld", passed.as_raw_fd());
    let mut command = world.sandbox.command("bash"); // dash knows descriptors of one digit alone
    command.args(["-c", &script]);
    let daemon = world.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(Duration::from_secs(20));
    (listener, daemon)
}

#[test]
fn rows_15_and_16_a_service_managers_socket_is_served_and_stays_when_the_daemon_stops() {
    let world = World::configured();
    let (_listener, daemon) = activated(&world);
    world.token().assert_ok();
    let status = world.rolecall(&["status", "--json"]).json();
    assert_eq!(status["daemon"]["socket"], world.socket().display().to_string());
    // One that is started by hand finds the lock taken.
    let second = world.sandbox.run(&mut world.sandbox.rolecalld());
    assert_eq!(second.assert_ok().stdout, "already running\n");
    let said = world.rolecall(&["agent", "stop"]);
    said.assert_ok();
    assert!(said.stdout.contains("the service manager keeps its socket"), "{}", said.stdout);
    assert!(daemon.wait_exit(Duration::from_secs(10)).success());
    assert!(world.socket().exists());
}

#[test]
fn row_12_a_daemon_whose_socket_is_taken_away_makes_way() {
    let world = World::configured();
    let daemon = world.sandbox.start_daemon();
    fs::remove_file(world.socket()).unwrap();
    assert!(daemon.wait_exit(Duration::from_secs(20)).success());
    world.token().assert_ok();
}
