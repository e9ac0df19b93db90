//! `rolecall agent restart`: the daemon replaces its program and loses no request.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use rolecall_harness::{Fault, Gate, Op, StopOnDrop};

use crate::fixture::{Fixture, HANG_GUARD, error_line};
use crate::start::activated;

pub(crate) fn daemon(fixture: &Fixture) -> serde_json::Value {
    let said = fixture.rolecall(&["status", "--json"]);
    said.assert_ok();
    said.json()["daemon"].clone()
}

/// Sends one request and returns the response.
fn send_request(socket: &Path, request: &str, headers: &str) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).map_err(text)?;
    stream.set_read_timeout(Some(HANG_GUARD)).map_err(text)?;
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(text)?;
    if response.starts_with("HTTP/1.1 200 ") { Ok(response) } else { Err(format!("response: {response:?}")) }
}

/// Requests a token by the rule for every client: retry a request if the connection closed before the first byte of a
/// response.
fn request_token(socket: &Path, key: &str, retries: &AtomicU32) -> Result<(), String> {
    let key = format!("rolecall-entry-key: {key}\r\n");
    for _ in 0..3 {
        match send_request(socket, "POST /v1/profiles/prod/token", &key) {
            Err(error) if !error.starts_with("response") => drop(retries.fetch_add(1, Ordering::Relaxed)),
            response => return response.map(drop),
        }
    }
    Err("the connection closed three times".to_owned())
}

/// Sends requests until `stop` is set, and passes on each result.
fn repeat_until_stopped(
    stop: &AtomicBool,
    results: &mpsc::Sender<Result<(), String>>,
    mut once: impl FnMut() -> Result<(), String>,
) {
    while !stop.load(Ordering::Relaxed) {
        results.send(once()).unwrap();
    }
}

/// Fault matrix row 113.
#[test]
fn restart_under_load_loses_no_request_or_session() {
    const RESTARTS: u32 = 5;
    let fixture = Fixture::added();
    fixture.token().assert_ok();
    let (pid, calls) = (fixture.daemon_pid(), fixture.assume_role_calls());
    let (stop, retries) = (AtomicBool::new(false), AtomicU32::new(0));
    let (sender, receiver) = mpsc::channel();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let results: Vec<_> = thread::scope(|scope| {
        for _ in 0..4 {
            let (fixture, stop, sender) = (&fixture, &stop, sender.clone());
            scope.spawn(move || {
                repeat_until_stopped(stop, &sender, || {
                    let said = fixture.token();
                    if said.status.success() { Ok(()) } else { Err(said.stderr) }
                });
            });
        }
        for _ in 0..2 {
            let (fixture, key, stop, retries, sender) = (&fixture, &key, &stop, &retries, sender.clone());
            scope.spawn(move || repeat_until_stopped(stop, &sender, || request_token(&fixture.socket(), key, retries)));
        }
        drop(sender);
        let running = StopOnDrop(&stop);
        let mut results: Vec<_> = Vec::new();
        for _ in 0..RESTARTS {
            results.extend(receiver.iter().take(200));
            let said = fixture.rolecall(&["agent", "restart"]);
            said.assert_ok();
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(
                said.stdout,
                format!("✓ the agent restarted (pid {pid}, version {version}); its sessions were kept\n")
            );
        }
        results.extend(receiver.iter().take(200));
        drop(running);
        results.extend(receiver.iter());
        results
    });
    let failures: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of {} failed: {failures:#?}", failures.len(), results.len());
    assert_eq!(fixture.assume_role_calls(), calls, "a restart assumes no role");
    let now = daemon(&fixture);
    assert_eq!((now["pid"].as_u64(), now["restarts"].as_u64()), (Some(pid.into()), Some(RESTARTS.into())));
    assert_hardened(pid);
}

/// Asserts that the process is not dumpable (the kernel then gives its files in /proc to root), that its arguments hold
/// only numbers, and that no descriptor of the previous run is open.
fn assert_hardened(pid: u32) {
    assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0);
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "rolecalld\n");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut rest = arguments.split('\0').skip_while(|argument| *argument != "--handover").skip(1);
    let numbers = rest.next().unwrap();
    assert!(numbers.chars().all(|c| c.is_ascii_digit() || c == ','), "{arguments:?}");
    assert!(rest.all(|argument| argument != "--handover"), "{arguments:?}");
    // Only root may list the descriptors. They contain neither the snapshot nor a second lock.
    if let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) {
        let open = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let open: Vec<_> = open.map(|path| path.display().to_string()).collect();
        assert!(!open.iter().any(|path| path.contains("memfd")), "{open:?}");
        assert_eq!(open.iter().filter(|path| path.ends_with("agent.lock")).count(), 1, "{open:?}");
    }
}

/// Orders a restart while a request waits for AWS: the daemon then restarts up to a second later. Calls `then` before that.
pub(crate) fn restart_after(fixture: &Fixture, then: impl FnOnce()) {
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(Gate::new()).times(1));
    thread::scope(|scope| {
        let calls = fixture.assume_role_calls();
        let caller = scope.spawn(|| fixture.rolecall(&["refresh", "prod"]));
        fixture.aws.wait_for_calls(Op::AssumeRole, calls + 1, HANG_GUARD);
        send_request(&fixture.socket(), "POST /v1/restart", "").unwrap();
        then();
        // The restart may cut it off.
        drop(caller.join());
    });
}

#[test]
fn restart_that_fails_keeps_old_daemon() {
    let fixture = Fixture::configured();
    let daemon = fixture.sandbox.start_daemon();
    fixture.token().assert_ok();
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit_files = |current| {
        let limit = rustix::process::Rlimit { current: Some(current), maximum: Some(4096) };
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    };
    restart_after(&fixture, || limit_files(3));
    daemon.wait_stderr("restart failed, serving again", HANG_GUARD);
    limit_files(1024);
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
    assert_eq!(fixture.daemon_pid(), daemon.pid());
}

#[test]
fn restart_with_invalid_config_is_rejected() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    fixture.write_config("[profiles.prod]\ncluster = 3\n");
    let line = error_line(&fixture.rolecall(&["agent", "restart"]), 1);
    assert!(line.contains("was not restarted and keeps the last valid configuration: "), "{line}");
    assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
    fixture.token().assert_ok();
}

#[test]
fn restart_during_aws_call_still_returns_the_token() {
    let fixture = Fixture::configured();
    let daemon = fixture.sandbox.start_daemon();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    thread::scope(|scope| {
        let caller = scope.spawn(|| fixture.token());
        fixture.aws.wait_for_calls(Op::AssumeRole, 1, HANG_GUARD);
        // The restart cuts off the first request. The client retries, and the new daemon process calls AWS.
        fixture.rolecall(&["agent", "restart"]).assert_ok();
        caller.join().unwrap().assert_ok();
    });
    gate.open();
    assert_eq!((fixture.daemon_pid(), fixture.assume_role_calls()), (daemon.pid(), 2));
}

#[test]
fn restart_is_not_delayed_by_silent_connections() {
    let fixture = Fixture::added();
    let _silent: Vec<_> = (0..20).map(|_| UnixStream::connect(fixture.socket()).unwrap()).collect();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!(daemon(&fixture)["restarts"], 1);
}

/// Fault matrix row 16.
#[test]
fn restart_keeps_the_service_managers_socket() {
    let fixture = Fixture::configured();
    let (listener, daemon) = activated(&fixture);
    fixture.token().assert_ok();
    for _ in 0..2 {
        let said = fixture.rolecall(&["agent", "restart"]);
        assert!(said.assert_ok().stdout.contains(&format!("(pid {}, ", daemon.pid())), "{}", said.stdout);
        fixture.token().assert_ok();
    }
    assert_eq!(fixture.assume_role_calls(), 1);
    let said = fixture.rolecall(&["agent", "stop"]);
    assert!(said.assert_ok().stdout.contains("the service manager keeps its socket"), "{}", said.stdout);
    assert!(daemon.wait_exit(HANG_GUARD).success());
    assert!(fixture.socket().exists());
    drop(listener);
}

#[test]
fn restart_without_daemon_starts_one() {
    let fixture = Fixture::configured();
    let said = fixture.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.starts_with("✓ the agent started (pid "), "{}", said.stdout);
    fixture.token().assert_ok();
}

#[test]
fn stop_after_restart_removes_the_socket() {
    let fixture = Fixture::added();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    assert!(!fixture.socket().exists());
    fixture.token().assert_ok();
}

#[test]
fn daemon_rejects_handover_arguments_without_state() {
    let fixture = Fixture::configured();
    for (numbers, code) in [("1,3,4,5", 1), ("1,0,1,2", 1), ("1,3,4,5,1,1", 1), ("x", 2), ("1,-1,4,5", 2)] {
        let said = fixture.sandbox.run(fixture.sandbox.rolecalld().args(["--handover", numbers]));
        said.assert_code(code).assert_stdout_empty();
    }
    assert!(!fixture.socket().exists());
}
