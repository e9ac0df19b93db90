//! Starting and stopping: by the first client, by hand, by a service manager, and without a place for a socket.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use rolecall_harness::{Fault, Gate, Op};

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, ROLE, error_line};

#[test]
fn daemon_started_by_token_uses_private_modes() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(fixture.socket().parent().unwrap()), mode(&fixture.socket())), (0o700, 0o600));
    let log = fixture.sandbox.state_home().join("rolecall/daemon.log");
    assert_eq!(mode(&log), 0o600);
    assert!(fs::read_to_string(log).unwrap().contains("daemon started"));
}

#[test]
fn daemon_ignores_aws_variables_of_the_shell() {
    let fixture = Fixture::configured();
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
    // A client with these variables starts the daemon …
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(["token", "prod"]).envs(poison));
    said.assert_ok();
    let call = fixture.aws.log_of(Op::AssumeRole).pop().unwrap();
    assert_eq!(
        (call.caller_arn.as_deref(), call.region.as_deref()),
        (Some(fixture.user.arn.as_str()), Some("eu-west-1"))
    );
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    // … or the shell starts the daemon itself.
    let daemon = fixture.sandbox.spawn_daemon(fixture.sandbox.rolecalld().envs(poison));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!(
        fixture.aws.log_of(Op::AssumeRole).pop().unwrap().caller_arn.as_deref(),
        Some(fixture.user.arn.as_str())
    );
}

#[test]
fn daemon_terminated_finishes_open_requests() {
    let fixture = Fixture::configured();
    let daemon = fixture.sandbox.start_daemon();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| fixture.token());
        fixture.aws.wait_for_calls(Op::AssumeRole, 1, HANG_GUARD);
        daemon.terminate();
        daemon.wait_stderr("daemon stopping", HANG_GUARD);
        gate.open();
        caller.join().unwrap().assert_ok();
    });
    assert!(daemon.wait_exit(HANG_GUARD).success());
    assert!(!fixture.socket().exists());
}

/// Fault matrix row 7.
#[test]
fn socket_without_xdg_runtime_dir_is_never_in_tmp() {
    let fixture = Fixture::configured();
    let said =
        fixture.sandbox.run(fixture.sandbox.rolecall().args(["token", "prod"]).env("XDG_RUNTIME_DIR", "relative"));
    said.assert_ok();
    let status =
        fixture.sandbox.run(fixture.sandbox.rolecall().args(["status", "--json"]).env("XDG_RUNTIME_DIR", "relative"));
    let socket = status.json()["daemon"]["socket"].as_str().unwrap().to_owned();
    let own = fixture.sandbox.state_home().display().to_string();
    assert!(socket.starts_with(&own) || socket.starts_with("/run/user/"), "{socket}");
}

/// Fault matrix row 6.
#[test]
fn runtime_folder_open_to_group_is_rejected() {
    let fixture = Fixture::configured();
    let folder = fixture.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let line = error_line(&fixture.token(), 3);
    assert!(line.contains(&folder.display().to_string()), "{line}");
    assert!(line.contains("open to others (mode 0770, it has to be 0700)"), "{line}");
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o770, "left as it was");
}

/// The daemon runs for days: a lock or a pipe of the script that started it must not stay open as long.
#[cfg(target_os = "linux")]
#[test]
fn daemon_keeps_no_open_file_of_its_starter() {
    let fixture = Fixture::configured();
    let mut starter = fixture.sandbox.command("sh");
    starter.args(["-c", "exec 7>lock; flock -n 7 && rolecall agent start"]);
    fixture.sandbox.run(&mut starter).assert_ok();
    fixture.token().assert_ok();
    let mut flock = fixture.sandbox.command("flock");
    fixture.sandbox.run(flock.args(["-n", "lock", "true"])).assert_ok();
    // A restart passes descriptors of its own.
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1);
}

/// Fault matrix row 4.
#[test]
fn socket_path_that_is_no_socket_is_rejected() {
    let fixture = Fixture::configured();
    let folder = fixture.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(fixture.socket(), "").unwrap();
    let line = error_line(&fixture.token(), 3);
    assert!(line.contains("not a socket"), "{line}");
    let line = error_line(
        &fixture.sandbox.run(fixture.sandbox.rolecall().args(["token", "prod"]).env("ROLECALL_SOCKET", "x")),
        3,
    );
    assert!(line.contains("ROLECALL_SOCKET is not an absolute path"), "{line}");
}

/// Fault matrix row 8. The path of a socket in this home has more than 107 bytes, and there is no other candidate.
#[test]
fn socket_with_long_path_is_served() {
    let fixture = Fixture::configured();
    let home = fixture.sandbox.root().join("x".repeat(120));
    let key = fixture.sandbox.entry_key("prod").unwrap();
    fs::rename(fixture.sandbox.home(), &home).unwrap();
    let state = home.join(".local/state");
    let run = |arguments: &[&str]| {
        let mut command = fixture.sandbox.rolecall();
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", "/nonexistent").env("XDG_CONFIG_HOME", home.join(".config"));
        command.env("XDG_STATE_HOME", &state).env("ROLECALL_ENTRY_KEY", &key).current_dir("/").args(arguments);
        fixture.sandbox.run(&mut command)
    };
    run(&["token", "prod"]).assert_ok();
    assert!(state.join("rolecall/run/agent.sock").exists());
    run(&["agent", "restart"]).assert_ok();
    let said = run(&["token", "prod"]);
    assert!(said.assert_ok().stderr.is_empty(), "{said}");
    assert_eq!(fixture.assume_role_calls(), 1);
    run(&["agent", "stop"]).assert_ok();
    assert!(!state.join("rolecall/run/agent.sock").exists());
}

/// Fault matrix row 14.
#[test]
fn token_without_runtime_folder_runs_without_daemon() {
    let fixture = Fixture::configured();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let bare = |mut command: std::process::Command| {
        // Even root cannot create a folder in /proc.
        command.env("XDG_RUNTIME_DIR", "/nonexistent").env("XDG_STATE_HOME", "/proc/state");
        command.env("ROLECALL_ENTRY_KEY", &key).current_dir("/");
        command
    };
    let mut command = bare(fixture.sandbox.rolecall());
    let said = fixture.sandbox.run(command.args(["token", "prod"]));
    said.assert_ok();
    assert!(said.json()["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));
    let line = said.stderr.strip_suffix('\n').unwrap();
    assert!(line.contains("/proc/state/rolecall") && line.ends_with("answering without the daemon"), "{line}");
    assert_eq!(fixture.assume_role_calls(), 1);
    // Errors of a call without a daemon have the daemon's exit codes.
    fixture.aws.remove_role(ROLE);
    let mut command = bare(fixture.sandbox.rolecall());
    let said = fixture.sandbox.run(command.args(["token", "prod"]));
    said.assert_code(1).assert_stdout_empty();
    assert!(
        said.stderr.lines().last().unwrap().starts_with("rolecall: prod: AWS denied AssumeRole"),
        "{}",
        said.stderr
    );
}

/// Fault matrix row 14. A runtime folder on a read-only file system, and one without locks.
#[test]
fn token_without_usable_file_system_runs_without_daemon() {
    let fixture = Fixture::configured();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let run = |program: &str, arguments: &[&str], expected: &str| {
        let mut command = fixture.sandbox.command(program);
        command.args(arguments).args(["rolecall", "token", "prod"]).env("ROLECALL_ENTRY_KEY", &key).current_dir("/");
        let said = fixture.sandbox.run(&mut command);
        said.assert_ok();
        assert!(said.json()["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));
        assert!(
            said.stderr.contains(expected) && said.stderr.contains("answering without the daemon"),
            "{}",
            said.stderr
        );
        assert!(!fixture.socket().exists());
    };
    let runtime = fixture.sandbox.runtime_dir().display().to_string();
    let mount = format!("mount -t tmpfs -o ro,mode=0700 tmpfs {runtime} && exec \"$@\"");
    let is_possible = |program: &str, arguments: &[&str]| {
        fixture
            .sandbox
            .command(program)
            .args(arguments)
            .arg("true")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    // In a mount namespace of its own.
    let arguments = ["-m", "sh", "-c", &mount, "sh"];
    if is_possible("unshare", &arguments) {
        run("unshare", &arguments, "Read-only file system");
    } else {
        skipped("a read-only runtime folder: no file system can be mounted here");
    }
    let trace = fixture.sandbox.root().join("tmp/trace").display().to_string();
    let arguments = ["-f", "-o", &trace, "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"];
    if is_possible("strace", &arguments) {
        run("strace", &arguments, "No locks available");
    } else {
        skipped("a file system without locks: strace is not installed, or may not trace");
    }
}

/// Fault matrix row 112.
#[test]
fn token_with_minimal_environment_succeeds() {
    let fixture = Fixture::configured();
    let mut command = fixture.sandbox.rolecall();
    command.args(["token", "prod"]).env_clear().env("HOME", fixture.sandbox.home());
    command.env("XDG_RUNTIME_DIR", fixture.sandbox.runtime_dir()).env("XDG_CONFIG_HOME", fixture.sandbox.config_home());
    let said = fixture.sandbox.run(&mut command);
    said.assert_ok();
}

#[test]
fn daemon_killed_at_start_is_started_once_more() {
    let fixture = Fixture::configured();
    let bin = fixture.sandbox.home().join("bin");
    let real = fixture.sandbox.rolecalld().get_program().to_owned();
    // Install a daemon beside the client that kills itself once for each folder `die1`, `die2`. A shell writes it:
    // Linux cannot execute a file that another thread's child still has open for writing.
    let install = "mkdir -p \"$2\" && cp \"$1\" \"$2/rolecall\" && cat > \"$2/rolecalld\" && chmod +x \"$2/rolecalld\"";
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", install, "sh"]).arg(fixture.sandbox.rolecall().get_program()).arg(&bin);
    let script = format!(
        "#!/bin/sh\nfor n in 1 2; do rmdir '{0}/die'$n 2>/dev/null && kill -9 $$; done\nexec '{1}' \"$@\"\n",
        bin.display(),
        real.display()
    );
    fixture.sandbox.run_with_input(&mut command, script.as_bytes()).assert_ok();
    let token = || fixture.sandbox.run(fixture.sandbox.command(bin.join("rolecall")).args(["token", "prod"]));

    // Create the socket's folder: without it, the client would run the call without a daemon.
    fs::create_dir(fixture.socket().parent().unwrap()).unwrap();
    fs::set_permissions(fixture.socket().parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(bin.join("die1")).unwrap();
    fs::create_dir(bin.join("die2")).unwrap();
    let line = error_line(&token(), 3);
    assert!(line.starts_with("rolecall: prod: the agent exited right after it was started. "), "{line}");
    fs::create_dir(bin.join("die1")).unwrap();
    token().assert_ok();
}

/// Fault matrix rows 44 to 46. The attach and the crash are in `dumps`.
#[test]
fn daemon_is_not_dumpable_and_limits_core_size() {
    let fixture = Fixture::configured();
    let daemon = fixture.sandbox.start_daemon();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    // The kernel gives the files in /proc of a process that is not dumpable to root.
    let owner = fs::metadata(format!("/proc/{}/environ", daemon.pid())).unwrap().uid();
    assert_eq!(owner, 0);
}

/// Starts a daemon that gets its socket like from systemd: as file descriptor 3.
pub(crate) fn activated(fixture: &Fixture) -> (UnixListener, rolecall_harness::Daemon) {
    let folder = fixture.socket().parent().unwrap().to_owned();
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let listener = UnixListener::bind(fixture.socket()).unwrap();
    let passed = listener.try_clone().unwrap();
    // The descriptor stays open across exec, and the shell moves it to 3.
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).unwrap();
    let script = format!("exec 3<&{}; export LISTEN_FDS=1 LISTEN_PID=$$; exec rolecalld", passed.as_raw_fd());
    let mut command = fixture.sandbox.command("bash"); // dash knows descriptors of one digit alone
    command.args(["-c", &script]);
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    (listener, daemon)
}

/// Fault matrix rows 15 and 16.
#[test]
fn socket_of_service_manager_remains_after_stop() {
    let fixture = Fixture::configured();
    let (_listener, daemon) = activated(&fixture);
    fixture.token().assert_ok();
    let status = fixture.rolecall(&["status", "--json"]).json();
    assert_eq!(status["daemon"]["socket"], fixture.socket().display().to_string());
    // A daemon started by hand finds the instance lock held.
    let second = fixture.sandbox.run(&mut fixture.sandbox.rolecalld());
    assert_eq!(second.assert_ok().stdout, "already running\n");
    let said = fixture.rolecall(&["agent", "stop"]);
    said.assert_ok();
    assert!(said.stdout.contains("the service manager keeps its socket"), "{}", said.stdout);
    assert!(daemon.wait_exit(HANG_GUARD).success());
    assert!(fixture.socket().exists());
}

/// Fault matrix row 12.
#[test]
fn daemon_with_deleted_socket_exits() {
    let fixture = Fixture::configured();
    let daemon = fixture.sandbox.start_daemon();
    fs::remove_file(fixture.socket()).unwrap();
    assert!(daemon.wait_exit(HANG_GUARD).success());
    fixture.token().assert_ok();
}
