//! Many clients and daemons in parallel.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use rolecall_harness::{Fault, Gate, Op, within};

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
    let status = "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut open: Vec<_> = (0..64)
        .map(|_| {
            let mut connection = request(b"");
            // Once it is answered, no newer connection takes its place.
            ask(&mut connection, status).unwrap();
            connection.write_all(refresh).unwrap();
            connection
        })
        .collect();
    fixture.aws.wait_for_calls(Op::AssumeRole, before + 1, HANG_GUARD);
    let answer = |connection: &mut UnixStream| {
        let mut response = [0; 12];
        connection.read_exact(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    };
    assert_eq!(answer(&mut request(status.as_bytes())), "HTTP/1.1 503");
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

/// Fault matrix row 28.
#[cfg(target_os = "linux")] // the limit of another process is set
#[test]
fn daemon_without_a_free_file_descriptor_serves_cached_sessions() {
    use rustix::process::{Resource, Rlimit};

    let fixture = Fixture::added();
    fixture.token().assert_ok();
    let pid = fixture.daemon_pid();
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let limit = |limit| rustix::process::prlimit(Some(process), Resource::Nofile, limit);
    let usual = rustix::process::getrlimit(Resource::Nofile);
    let none = Rlimit { current: Some(1), maximum: usual.maximum };
    if limit(usual).is_err() {
        return crate::files::skipped("file descriptors: only root may limit those of the daemon");
    }
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let status = "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    let token = format!(
        "POST /v1/profiles/prod/token HTTP/1.1\r\nhost: x\r\nrolecall-entry-key: {key}\r\ncontent-length: 0\r\n\r\n"
    );
    let refresh = "POST /v1/profiles/prod/refresh HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    // The connection that is in the pool is lost.
    fixture.aws.fault(Op::AssumeRole, Fault::Reset.forever());
    let answers = within(HANG_GUARD, || {
        let mut connection = UnixStream::connect(fixture.socket()).unwrap();
        connection.set_read_timeout(Some(HANG_GUARD)).unwrap();
        ask(&mut connection, status)?; // it is accepted now
        limit(none).unwrap();
        // `None` if the daemon closed the connection meanwhile, because nothing was sent for two seconds.
        let answers =
            (|| Some([ask(&mut connection, &token)?, ask(&mut connection, refresh)?, ask(&mut connection, &token)?]))();
        limit(usual).unwrap();
        answers
    });
    let [before, refreshed, after] = answers.expect("three answers");
    assert!(before.starts_with("HTTP/1.1 200") && before.contains("\"token\":"), "{before}");
    assert!(refreshed.starts_with("HTTP/1.1 502"), "{refreshed}");
    assert!(after.starts_with("HTTP/1.1 200"), "{after}");
    fixture.aws.clear_faults();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
}

/// Sends a request on an open connection and returns the whole response; `None` if the daemon has closed the connection.
fn ask(connection: &mut UnixStream, request: &str) -> Option<String> {
    connection.write_all(request.as_bytes()).ok()?;
    let mut response = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match connection.read(&mut chunk).ok()? {
            0 => return None,
            count => response.extend_from_slice(&chunk[..count]),
        }
        let text = String::from_utf8_lossy(&response);
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| length == Some(body.len())) {
            return Some(text.into_owned());
        }
    }
}

/// Fault matrix row 22.
#[test]
fn bodies_of_a_gigabyte_are_refused_before_memory_is_used() {
    let fixture = Fixture::added();
    let pid = fixture.daemon_pid();
    let before = peak(pid);
    for path in ["profiles/prod/token", "config/check", "lock", "profiles/prod/access"] {
        for _ in 0..15 {
            let mut connection = UnixStream::connect(fixture.socket()).unwrap();
            connection.set_read_timeout(Some(HANG_GUARD)).unwrap();
            let head = format!("POST /v1/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 1 << 30);
            connection.write_all(head.as_bytes()).unwrap();
            // The daemon may close the connection before the whole of it is sent.
            let _ = connection.write_all(&vec![b'['; 64 * 1024]);
            let mut answer = [0; 12];
            connection.read_exact(&mut answer).unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413", "{path}");
        }
    }
    let grown = peak(pid) - before;
    assert!(grown < 16 * 1024, "{grown} kB");
}

/// Returns the largest size that a process has had in memory, in kB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Fault matrix rows 22 and 33. Configurations of the maximum size, eight at a time.
#[test]
fn large_drafts_need_at_most_64_mib() {
    let fixture = Fixture::added();
    let pid = fixture.daemon_pid();
    let source = "[sources.s]\naws_profile = \"work\"\n";
    let profile = |number: usize| {
        format!(
            "[profiles.p{number}]\ncluster = \"c{number}\"\nregion = \"us-east-1\"\nsource = \"s\"\ntags = {{ a{number} = \"x\", \
             b = \"y\" }}\nrole_arn = \"arn:aws:iam::111122223333:role/r{number}\"\n"
        )
    };
    let profiles = |count: usize| format!("{source}{}", (0..count).map(profile).collect::<String>());
    let ca = format!("certificate_authority_data = \"{}\"\n", "A".repeat(3_000));
    for (draft, expected) in [
        ("[".repeat(8 << 20), "409"),
        (format!("#{}", "a".repeat((8 << 20) - 1)), "409"),
        (format!("a = \"{}\"", "\\n".repeat((4 << 20) - 8)), "409"),
        (format!("a = [{}]", "1,".repeat(45_000)), "409"),
        (format!("a = [{}]", "{b=1},".repeat(4_900)), "409"),
        (format!("{}=1", vec!["a"; 90_000].join(".")), "409"),
        ("a.b\n".repeat(1 << 21), "409"),
        (profiles(20_000), "200"),
        (format!("{}colour = 1\n", profiles(20_000)), "409"),
        (format!("{source}{}", (0..2_500).map(|n| profile(n) + &ca).collect::<String>()), "409"),
        (format!("{source}{}", (0..60_000).map(profile).collect::<String>()).split_at(8 << 20).0.to_owned(), "409"),
    ] {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| check_draft(&fixture, &draft))).collect();
            let statuses: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
            // Some may have waited too long for the others, and a busy machine may need too long for one.
            let is_expected = |status: &String| [expected, "503", "504"].contains(&status.as_str());
            assert!(statuses.iter().all(is_expected), "{statuses:?}");
            let is_answered = || (check_draft(&fixture, &draft) == expected).then_some(());
            assert!(statuses.iter().any(|status| status == expected) || within(HANG_GUARD, is_answered).is_some());
        });
        assert!(peak(pid) < 64 << 10, "{} kB after {:.40}", peak(pid), draft);
    }
}

/// Sends a configuration to `/v1/config/check` and returns the status of the response.
fn check_draft(fixture: &Fixture, draft: &str) -> String {
    let mut connection = UnixStream::connect(fixture.socket()).unwrap();
    connection.set_read_timeout(Some(HANG_GUARD)).unwrap();
    let head = format!("POST /v1/config/check HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", draft.len());
    connection.write_all(head.as_bytes()).unwrap();
    // The daemon may answer before the whole of it is sent.
    let _ = connection.write_all(draft.as_bytes());
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

/// Fault matrix rows 18 and 19.
#[test]
fn token_with_stopped_daemon_fails_at_deadline() {
    let fixture = Fixture::added();
    let pid = fixture.daemon_pid();
    let calls = fixture.assume_role_calls();
    kill("STOP", pid);
    let said = fixture.token();
    kill("CONT", pid);
    let line = crate::fixture::error_line(&said, 3);
    assert_eq!(line, "rolecall: prod: the agent did not answer within 10 s. Run: rolecall agent restart");
    // An answer of the daemon ends the cooldown.
    fixture.rolecall(&["status"]).assert_ok();
    fixture.token().assert_ok();
    assert_eq!(fixture.assume_role_calls(), calls, "the request of the client that left costs no call");
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
