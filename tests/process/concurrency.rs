//! Many clients and daemons in parallel.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use rolecall_harness::{Fault, Gate, Op};

use crate::files::skipped;
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
fn token_waits_while_daemon_is_over_capacity() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if files.maximum.is_some_and(|most| most < 1500) {
        return skipped("more callers than the daemon has places: this process may not open so many files");
    }
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let fixture = Fixture::added();
    // More connections than the daemon accepts. They send nothing, so it closes them after two seconds.
    let connections: Vec<_> = (0..1100).map(|_| UnixStream::connect(fixture.socket()).unwrap()).collect();
    let mut response = [0; 12];
    let mut last = connections.last().unwrap();
    last.set_read_timeout(Some(HANG_GUARD)).unwrap();
    last.read_exact(&mut response).unwrap();
    assert_eq!(&response, b"HTTP/1.1 503");
    // The client gets the same 503 and retries.
    fixture.token().assert_ok();
    drop(connections);
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
