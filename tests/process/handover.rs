//! `rolecall agent restart`: the daemon runs its program anew and nobody notices.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use rolecall_harness::{Daemon, Fault, Gate, Op, Output};

use crate::fixture::{Fixture, HANG_GUARD, one_line};
use crate::start::activated;

/// Both programs in a folder where they can be replaced.
struct Installed<'a> {
    fixture: &'a Fixture,
    folder: PathBuf,
}

impl<'a> Installed<'a> {
    fn new(fixture: &'a Fixture) -> Self {
        let folder = fixture.sandbox.root().join("bin");
        fs::create_dir(&folder).unwrap();
        let installed = Self { fixture, folder };
        for program in ["rolecall", "rolecalld"] {
            installed.replace_by_a_copy(program);
        }
        installed
    }

    /// As an installer does it: the new file beside the old, and then by its name. Another process writes it: a file
    /// that is open for writing cannot be run, and a child that some other test starts meanwhile would have ours open.
    fn replace(&self, program: &str, content: &[u8]) {
        let script = "cat > \"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"";
        let mut shell = self.fixture.sandbox.command("sh");
        shell.args(["-c", script]).arg(self.folder.join(program));
        self.fixture.sandbox.run_with_input(&mut shell, content).assert_ok();
    }

    fn replace_by_script(&self, script: &str) {
        self.replace("rolecalld", format!("#!/bin/sh\n{script}\n").as_bytes());
    }

    fn replace_by_a_copy(&self, program: &str) {
        let built = self.fixture.sandbox.command(program).get_program().to_owned();
        self.replace(program, &fs::read(built).unwrap());
    }

    fn rolecall(&self, arguments: &[&str]) -> Output {
        let sandbox = &self.fixture.sandbox;
        sandbox.run(sandbox.command(self.folder.join("rolecall")).args(arguments))
    }

    fn start_daemon(&self) -> Daemon {
        let sandbox = &self.fixture.sandbox;
        let daemon = sandbox.spawn_daemon(&mut sandbox.command(self.folder.join("rolecalld")));
        daemon.wait_ready(HANG_GUARD);
        daemon
    }

    /// Whether some process runs the file that has the daemon's name now: the kernel lets nobody write to it then.
    fn is_running(&self) -> bool {
        let mut shell = self.fixture.sandbox.command("sh");
        shell.args(["-c", ": >> \"$0\""]).arg(self.folder.join("rolecalld"));
        self.fixture.sandbox.run(&mut shell).stderr.contains("ext file busy")
    }
}

fn daemon(fixture: &Fixture) -> serde_json::Value {
    let said = fixture.rolecall(&["status", "--json"]);
    said.assert_ok();
    said.json()["daemon"].clone()
}

/// One request by hand.
fn raw(socket: &Path, request: &str) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).map_err(told)?;
    stream.set_read_timeout(Some(HANG_GUARD)).map_err(told)?;
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(answer) } else { Err(format!("answered: {answer:?}")) }
}

/// The same for a token, by the rule that every caller of the daemon goes by: what was cut off before a byte of an
/// answer is asked again.
fn raw_token(socket: &Path, cut: &AtomicU32) -> Result<(), String> {
    for _ in 0..3 {
        match raw(socket, "POST /v1/profiles/prod/token") {
            Err(error) if !error.starts_with("answered") => drop(cut.fetch_add(1, Ordering::Relaxed)),
            answered => return answered.map(drop),
        }
    }
    Err("cut off again and again".to_owned())
}

/// Asks again and again until told to stop; sends what comes of each.
fn ask(stop: &AtomicBool, results: &mpsc::Sender<Result<(), String>>, mut once: impl FnMut() -> Result<(), String>) {
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
    let (stop, cut) = (AtomicBool::new(false), AtomicU32::new(0));
    let (tell, told) = mpsc::channel();
    let results: Vec<_> = thread::scope(|scope| {
        for _ in 0..4 {
            let (fixture, stop, tell) = (&fixture, &stop, tell.clone());
            scope.spawn(move || {
                ask(stop, &tell, || {
                    let said = fixture.token();
                    if said.status.success() { Ok(()) } else { Err(said.stderr) }
                });
            });
        }
        for _ in 0..2 {
            let (fixture, stop, cut, tell) = (&fixture, &stop, &cut, tell.clone());
            scope.spawn(move || ask(stop, &tell, || raw_token(&fixture.socket(), cut)));
        }
        drop(tell);
        let mut results: Vec<_> = Vec::new();
        for _ in 0..RESTARTS {
            results.extend(told.iter().take(200));
            let said = fixture.rolecall(&["agent", "restart"]);
            said.assert_ok();
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(
                said.stdout,
                format!("✓ the agent restarted (pid {pid}, version {version}); its sessions were kept\n")
            );
        }
        results.extend(told.iter().take(200));
        stop.store(true, Ordering::Relaxed);
        results.extend(told.iter());
        results
    });
    let failures: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of {} failed: {failures:#?}", failures.len(), results.len());
    assert_eq!(fixture.assume_role_calls(), calls, "no role was assumed anew");
    let now = daemon(&fixture);
    assert_eq!((now["pid"].as_u64(), now["restarts"].as_u64()), (Some(pid.into()), Some(RESTARTS.into())));
    is_closed(pid);
}

/// Not dumpable, by the owner that the kernel gives to the files of such a process; nothing told in the arguments but
/// numbers; and nothing of the run before left open.
fn is_closed(pid: u32) {
    assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut batons = arguments.split('\0').skip_while(|argument| *argument != "--handover").skip(1);
    let baton = batons.next().unwrap();
    assert!(baton.chars().all(|c| c.is_ascii_digit() || c == ','), "{arguments:?}");
    assert!(batons.all(|argument| argument != "--handover"), "{arguments:?}");
    // Who may look (root alone may) finds neither the state nor a second lock.
    if let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) {
        let open = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let open: Vec<_> = open.map(|path| path.display().to_string()).collect();
        assert!(!open.iter().any(|path| path.contains("memfd")), "{open:?}");
        assert_eq!(open.iter().filter(|path| path.ends_with("agent.lock")).count(), 1, "{open:?}");
    }
}

#[test]
fn restart_runs_the_replaced_program() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert!(installed.is_running());
    let pid = fixture.daemon_pid();
    installed.replace_by_a_copy("rolecalld");
    assert!(!installed.is_running(), "the old file still does");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    assert!(installed.is_running());
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert_eq!((fixture.daemon_pid(), fixture.assume_role_calls()), (pid, 1));
    // It is kept warm as before.
    let status = fixture.rolecall(&["status", "--json"]).json();
    assert!(status["profiles"][0]["next_renewal"].is_string(), "{status}");
    assert!(status["profiles"][0]["last_used"].is_string(), "{status}");
}

#[test]
fn restart_with_unusable_program_keeps_old_daemon() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    installed.rolecall(&["token", "prod"]).assert_ok();
    let pid = fixture.daemon_pid();
    let path = installed.folder.join("rolecalld").display().to_string();
    // It fails; it is something else; it knows nothing of a handover.
    for script in ["exit 1", "echo a shell", "test $1 = --version && echo rolecalld 0.0.1"] {
        installed.replace_by_script(script);
        let line = one_line(&installed.rolecall(&["agent", "restart"]), 1);
        assert!(line.starts_with(&format!("rolecall: the agent goes on as it is, since {path} ")), "{line}");
        assert!(line.ends_with(" rolecall agent stop"), "{line}");
    }
    fs::remove_file(&path).unwrap();
    let line = one_line(&installed.rolecall(&["agent", "restart"]), 1);
    assert!(line.contains(" cannot be started (No such file or directory"), "{line}");
    installed.rolecall(&["token", "prod"]).assert_ok();
    let now = daemon(&fixture);
    assert_eq!((now["pid"].as_u64(), now["restarts"].as_u64()), (Some(pid.into()), Some(0)));
    // Mended, it is as if nothing had been.
    installed.replace_by_a_copy("rolecalld");
    let said = installed.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.ends_with("; its sessions were kept\n"), "{}", said.stdout);
    assert_eq!(fixture.assume_role_calls(), 1);
}

#[test]
fn restart_with_vanished_program_keeps_old_daemon() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    let daemon = installed.start_daemon();
    fixture.token().assert_ok();
    installed.replace_by_script("echo rolecalld 9.9.9; rm \"$0\"");
    raw(&fixture.socket(), "POST /v1/restart").unwrap();
    daemon.wait_stderr("The restart failed; going on as before", HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1);
    // And once more, this time to the end.
    installed.replace_by_a_copy("rolecalld");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
    assert_eq!((fixture.daemon_pid(), fixture.assume_role_calls()), (daemon.pid(), 1));
}

#[test]
fn restart_with_invalid_config_is_rejected() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    fixture.write_config("[profiles.prod]\ncluster = 3\n");
    let line = one_line(&fixture.rolecall(&["agent", "restart"]), 1);
    assert!(line.contains("goes on as it is, with the last good configuration: "), "{line}");
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
        // Its answer does not come in time; it asks again by itself, and the next run gets an answer from AWS.
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
