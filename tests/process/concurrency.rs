//! Many clients and daemons in parallel.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use rolecall_harness::{Fault, Gate, Op};

use crate::fixture::{Fixture, HANG_GUARD, kill};

#[test]
fn token_200_processes_cold_share_one_assume_role() {
    let fixture = Fixture::configured();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    // No daemon runs: these clients start it.
    let children: Vec<_> = (0..200)
        .map(|_| {
            let mut command = fixture.sandbox.rolecall();
            fixture.sandbox.pass_entry_key(&mut command, "prod");
            command.args(["token", "prod"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    fixture.aws.wait_for_calls(Op::AssumeRole, 1, HANG_GUARD);
    gate.open();
    let mut outputs = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        outputs.insert(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(outputs.len(), 1, "{outputs:#?}");
    let credential: serde_json::Value = serde_json::from_str(outputs.first().unwrap()).unwrap();
    assert!(credential["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));
    assert_eq!(fixture.assume_role_calls(), 1);
}

/// Fault matrix row 10.
#[test]
fn daemon_started_50_times_runs_once() {
    let fixture = Fixture::configured();
    let daemons: Vec<_> = (0..50).map(|_| fixture.sandbox.spawn_daemon(&mut fixture.sandbox.rolecalld())).collect();
    // All daemons but one exit on their own.
    let said = thread::scope(|scope| {
        let waiting: Vec<_> = daemons
            .iter()
            .map(|daemon| {
                scope.spawn(|| {
                    daemon.wait_stdout_line(HANG_GUARD);
                    daemon.stdout()
                })
            })
            .collect();
        waiting.into_iter().map(|waiting| waiting.join().unwrap()).collect::<Vec<_>>()
    });
    let count = |line: &str| said.iter().filter(|said| said.trim() == line).count();
    assert_eq!((count("ready"), count("already running")), (1, 49), "{said:#?}");
    fixture.token().assert_ok();
}

/// Fault matrix rows 9 and 20.
#[test]
fn token_after_daemon_kill_starts_a_new_daemon() {
    let fixture = Fixture::added();
    for _ in 0..5 {
        kill("KILL", fixture.daemon_pid());
        fixture.token().assert_ok();
    }
}

/// Fault matrix row 20.
#[test]
fn token_survives_daemon_kill_during_aws_call() {
    let fixture = Fixture::added();
    // Restart the daemon so that it has no sessions.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    let before = fixture.assume_role_calls();
    let pid = fixture.daemon_pid();
    thread::scope(|scope| {
        let caller = scope.spawn(|| fixture.token());
        fixture.aws.wait_for_calls(Op::AssumeRole, before + 1, HANG_GUARD);
        kill("KILL", pid);
        caller.join().unwrap().assert_ok();
    });
    gate.open();
}

/// Fault matrix row 23.
#[test]
fn connections_with_half_a_request_make_room() {
    let fixture = Fixture::added();
    let connections: Vec<_> = (0..1100)
        .map(|number| {
            let mut connection = half_a_request(&fixture);
            if number % 2 == 0 {
                // The head is complete, and the body is not.
                let _ = connection.write_all(b"t: x\r\ncontent-length: 100\r\n\r\n{");
            }
            connection
        })
        .collect();
    fixture.token().assert_ok();
    // The oldest was closed for a newer one.
    let mut oldest = connections.first().unwrap();
    oldest.set_read_timeout(Some(HANG_GUARD)).unwrap();
    let read = oldest.read(&mut [0; 16]);
    assert!(read.as_ref().is_ok_and(|bytes| *bytes == 0) || read.is_err(), "{read:?}");
}

/// Opens a connection and sends the beginning of a request, unless the daemon has closed it already.
fn half_a_request(fixture: &Fixture) -> UnixStream {
    let mut connection = UnixStream::connect(fixture.socket()).unwrap();
    let _ = connection.write_all(b"POST /v1/profiles/prod/token HTTP/1.1\r\nhos");
    connection
}

/// Fault matrix row 23.
#[test]
fn process_with_64_open_requests_blocks_only_itself() {
    let fixture = Fixture::added();
    let gate = Gate::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    let before = fixture.assume_role_calls();
    let request = |request: &[u8]| {
        let mut connection = UnixStream::connect(fixture.socket()).unwrap();
        connection.set_read_timeout(Some(HANG_GUARD)).unwrap();
        // The daemon may have closed the connection already, with its answer.
        let _ = connection.write_all(request);
        connection
    };
    let refresh = b"POST /v1/profiles/prod/refresh HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let mut open: Vec<_> = (0..64).map(|_| request(refresh)).collect();
    fixture.aws.wait_for_calls(Op::AssumeRole, before + 1, HANG_GUARD);
    let status = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = |connection: &mut UnixStream| {
        let mut response = [0; 12];
        connection.read_exact(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    };
    assert_eq!(answer(&mut request(status)), "HTTP/1.1 503");
    fixture.rolecall(&["status"]).assert_ok();
    gate.open();
    for connection in &mut open {
        assert_eq!(answer(connection), "HTTP/1.1 200");
    }
}

/// Fault matrix row 27.
#[test]
fn daemon_with_64_files_serves_200_clients() {
    let fixture = Fixture::configured();
    let mut command = fixture.sandbox.command("sh");
    let daemon = fixture.sandbox.spawn_daemon(command.args(["-c", "ulimit -n 64; exec rolecalld"]));
    daemon.wait_ready(HANG_GUARD);
    let silent: Vec<_> = (0..60).map(|_| half_a_request(&fixture)).collect();
    let children: Vec<_> = (0..200)
        .map(|_| {
            let mut command = fixture.sandbox.rolecall();
            command.args(["token", "prod"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            fixture.sandbox.pass_entry_key(&mut command, "prod");
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    drop(silent);
}

/// Fault matrix row 18.
#[test]
fn token_with_stopped_daemon_fails_at_deadline() {
    let fixture = Fixture::added();
    let pid = fixture.daemon_pid();
    kill("STOP", pid);
    let said = fixture.token();
    kill("CONT", pid);
    let line = crate::fixture::error_line(&said, 3);
    assert_eq!(line, "rolecall: prod: the agent did not answer within 10 s. Run: rolecall agent restart");
    // An answer of the daemon ends the cooldown.
    fixture.rolecall(&["status"]).assert_ok();
    fixture.token().assert_ok();
}

/// Fault matrix row 73.
#[test]
fn token_30_profiles_cold_need_30_assume_role_calls() {
    let fixture = Fixture::with_profiles(30);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..90)
            .map(|n| {
                let (fixture, name) = (&fixture, format!("p{}", n % 30));
                scope.spawn(move || fixture.rolecall(&["token", &name]))
            })
            .collect();
        for caller in callers {
            caller.join().unwrap().assert_ok();
        }
    });
    assert_eq!(fixture.assume_role_calls(), 30);
}
