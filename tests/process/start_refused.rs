//! What the daemon refuses at its start.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::io::FdFlags;

use crate::fixture::{Fixture, HANG_GUARD, error_line};

/// A command that runs the daemon with this descriptor as number 3 and these variables, in which `$$` is its process id.
fn activation(fixture: &Fixture, passed: &OwnedFd, variables: &str) -> Command {
    rustix::io::fcntl_setfd(passed, FdFlags::empty()).unwrap();
    let mut command = fixture.sandbox.command("bash"); // dash knows descriptors of one digit alone
    let script =
        format!("exec 3<&{} {}<&-; export {variables}; exec rolecalld", passed.as_raw_fd(), passed.as_raw_fd());
    command.args(["-c", &script]);
    command
}

/// Fault matrix row 15.
#[test]
fn daemon_rejects_unusable_activation() {
    let fixture = Fixture::configured();
    fs::DirBuilder::new().mode(0o700).create(fixture.socket().parent().unwrap()).unwrap();
    let listener = OwnedFd::from(UnixListener::bind(fixture.socket()).unwrap());
    let silent = OwnedFd::from(UnixStream::pair().unwrap().0);
    let rejected = |passed: &OwnedFd, variables: &str, problem: &str| {
        let said = fixture.sandbox.run(&mut activation(&fixture, passed, variables));
        said.assert_code(1).assert_stdout_empty();
        let expected = format!("rolecalld: the service manager passed {problem}, not one Unix socket\n");
        assert_eq!(said.stderr, expected, "{variables}");
    };
    rejected(&listener, "LISTEN_FDS=2 LISTEN_PID=$$", "2 sockets");
    rejected(&listener, "LISTEN_FDS=4294967295 LISTEN_PID=$$", "4294967295 sockets");
    rejected(&listener, "LISTEN_FDS=99999999999999999999 LISTEN_PID=$$", "an invalid LISTEN_FDS");
    rejected(&listener, "LISTEN_FDS=1 LISTEN_PID=1", "a socket for another process (LISTEN_PID)");
    rejected(&listener, "LISTEN_FDS=1 LISTEN_PID=x", "a socket for another process (LISTEN_PID)");
    rejected(&silent, "LISTEN_FDS=1 LISTEN_PID=$$", "something that does not listen");
    // The variables of a process above, without a socket.
    fs::remove_file(fixture.socket()).unwrap();
    let daemon = fixture.sandbox.spawn_daemon(&mut activation(&fixture, &silent, "LISTEN_FDS=1 LISTEN_PID=1"));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
}

fn make_fifo(path: &Path) {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path.parent().unwrap()).unwrap();
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// Fault matrix row 11.
#[test]
fn fifo_at_the_locks_path_is_an_error() {
    let fixture = Fixture::configured();
    let lock = fixture.socket().with_extension("lock");
    make_fifo(&lock);
    let line = error_line(&fixture.token(), 3);
    let expected = format!("rolecall: prod: the agent cannot start: {} is not a file; move it away. ", lock.display());
    assert!(line.starts_with(&expected), "{line}");
    assert!(fs::metadata(&lock).unwrap().file_type().is_fifo());
}

/// Fault matrix row 11. Tokens work without a log (F4).
#[test]
fn fifo_at_the_logs_path_is_no_log() {
    let fixture = Fixture::configured();
    let log = fixture.sandbox.state_home().join("rolecall/daemon.log");
    make_fifo(&log);
    fixture.token().assert_ok();
    let status = fixture.rolecall(&["status", "--json"]).json();
    assert!(status["daemon"]["log"].is_null(), "{status}");
    assert!(fs::metadata(&log).unwrap().file_type().is_fifo());
}
