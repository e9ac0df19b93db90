//! `rolecall agent restart`: the daemon runs its program anew and nobody notices.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rolecall_harness::{Daemon, Fault, Gate, Op, Output};

use crate::start::activated;
use crate::world::{World, one_line};

const SOON: Duration = Duration::from_secs(20);

/// Both programs in a folder where they can be replaced.
struct Installed<'a> {
    world: &'a World,
    folder: PathBuf,
}

impl<'a> Installed<'a> {
    fn new(world: &'a World) -> Self {
        let folder = world.sandbox.root().join("bin");
        fs::create_dir(&folder).unwrap();
        let installed = Self { world, folder };
        for program in ["rolecall", "rolecalld"] {
            installed.replace_by_a_copy(program);
        }
        installed
    }

    /// As an installer does it: the new file beside the old, and then by its name. Another process writes it: a file
    /// that is open for writing cannot be run, and a child that some other test starts meanwhile would have ours open.
    fn replace(&self, program: &str, content: &[u8]) {
        let script = "cat > \"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"";
        let mut shell = self.world.sandbox.command("sh");
        shell.args(["-c", script]).arg(self.folder.join(program));
        self.world.sandbox.run_with_input(&mut shell, content).assert_ok();
    }

    fn replace_by_script(&self, script: &str) {
        self.replace("rolecalld", format!("#!/bin/sh\n{script}\n").as_bytes());
    }

    fn replace_by_a_copy(&self, program: &str) {
        let built = self.world.sandbox.command(program).get_program().to_owned();
        self.replace(program, &fs::read(built).unwrap());
    }

    fn rolecall(&self, arguments: &[&str]) -> Output {
        let sandbox = &self.world.sandbox;
        sandbox.run(sandbox.command(self.folder.join("rolecall")).args(arguments))
    }

    fn start_daemon(&self) -> Daemon {
        let sandbox = &self.world.sandbox;
        let daemon = sandbox.spawn_daemon(&mut sandbox.command(self.folder.join("rolecalld")));
        daemon.wait_ready(SOON);
        daemon
    }

    /// Whether some process runs the file that has the daemon's name now: the kernel lets nobody write to it then.
    fn is_running(&self) -> bool {
        let mut shell = self.world.sandbox.command("sh");
        shell.args(["-c", ": >> \"$0\""]).arg(self.folder.join("rolecalld"));
        self.world.sandbox.run(&mut shell).stderr.contains("ext file busy")
    }
}

fn daemon(world: &World) -> serde_json::Value {
    let said = world.rolecall(&["status", "--json"]);
    said.assert_ok();
    said.json()["daemon"].clone()
}

/// One request by hand.
fn raw(socket: &Path, request: &str) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).map_err(told)?;
    stream.set_read_timeout(Some(SOON)).map_err(told)?;
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

#[test]
#[allow(clippy::disallowed_methods, reason = "real processes, in real time")]
fn row_113_restarts_under_load_lose_no_request_and_no_session() {
    const RESTARTS: u32 = 5;
    let world = World::added();
    world.token().assert_ok();
    let (pid, calls) = (world.daemon_pid(), world.assume_role_calls());
    let (stop, cut, begun) = (AtomicBool::new(false), AtomicU32::new(0), Instant::now());
    let (tell, told) = mpsc::channel();
    let results: Vec<_> = thread::scope(|scope| {
        for _ in 0..4 {
            let (world, stop, tell) = (&world, &stop, tell.clone());
            scope.spawn(move || {
                ask(stop, &tell, || {
                    let said = world.token();
                    if said.status.success() { Ok(()) } else { Err(said.stderr) }
                });
            });
        }
        for _ in 0..2 {
            let (world, stop, cut, tell) = (&world, &stop, &cut, tell.clone());
            scope.spawn(move || ask(stop, &tell, || raw_token(&world.socket(), cut)));
        }
        drop(tell);
        let mut results: Vec<_> = Vec::new();
        for _ in 0..RESTARTS {
            results.extend(told.iter().take(200));
            let said = world.rolecall(&["agent", "restart"]);
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
    let seconds = begun.elapsed().as_secs_f64();
    let cut = cut.load(Ordering::Relaxed);
    println!("{} requests in {seconds:.1} s over {RESTARTS} restarts, {cut} of them asked again", results.len());
    assert!(failures.is_empty(), "{} of {} failed: {failures:#?}", failures.len(), results.len());
    assert_eq!(world.assume_role_calls(), calls, "no role was assumed anew");
    let now = daemon(&world);
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
fn a_program_that_was_replaced_is_what_runs_after_a_restart() {
    let world = World::configured();
    let installed = Installed::new(&world);
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert!(installed.is_running());
    let pid = world.daemon_pid();
    installed.replace_by_a_copy("rolecalld");
    assert!(!installed.is_running(), "the old file still does");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    assert!(installed.is_running());
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert_eq!((world.daemon_pid(), world.assume_role_calls()), (pid, 1));
    // It is kept warm as before.
    let status = world.rolecall(&["status", "--json"]).json();
    assert!(status["profiles"][0]["next_renewal"].is_string(), "{status}");
    assert!(status["profiles"][0]["last_used"].is_string(), "{status}");
}

#[test]
fn a_program_that_does_not_run_is_refused_and_the_old_one_goes_on() {
    let world = World::configured();
    let installed = Installed::new(&world);
    installed.rolecall(&["token", "prod"]).assert_ok();
    let pid = world.daemon_pid();
    let path = installed.folder.join("rolecalld").display().to_string();
    // It fails; it is something else; it knows nothing of a handover.
    for script in ["exit 1", "echo a shell", "test $1 = --version && echo rolecalld 0.0.1"] {
        installed.replace_by_script(script);
        let line = one_line(&installed.rolecall(&["agent", "restart"]), 1);
        assert!(line.starts_with(&format!("rolecall: the agent was not restarted: {path} ")), "{line}");
        assert!(line.ends_with(" rolecall agent stop"), "{line}");
    }
    fs::remove_file(&path).unwrap();
    let line = one_line(&installed.rolecall(&["agent", "restart"]), 1);
    assert!(line.contains(" cannot be started (No such file or directory"), "{line}");
    installed.rolecall(&["token", "prod"]).assert_ok();
    let now = daemon(&world);
    assert_eq!((now["pid"].as_u64(), now["restarts"].as_u64()), (Some(pid.into()), Some(0)));
    // Mended, it is as if nothing had been.
    installed.replace_by_a_copy("rolecalld");
    let said = installed.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.ends_with("; its sessions were kept\n"), "{}", said.stdout);
    assert_eq!(world.assume_role_calls(), 1);
}

#[test]
fn a_program_that_vanishes_at_the_last_moment_leaves_the_old_one_serving() {
    let world = World::configured();
    let installed = Installed::new(&world);
    let daemon = installed.start_daemon();
    world.token().assert_ok();
    installed.replace_by_script("echo rolecalld 9.9.9; rm \"$0\"");
    raw(&world.socket(), "POST /v1/restart").unwrap();
    daemon.wait_stderr("restart failed, serving again", SOON);
    world.token().assert_ok();
    assert_eq!(world.assume_role_calls(), 1);
    // And once more, this time to the end.
    installed.replace_by_a_copy("rolecalld");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    world.token().assert_ok();
    assert_eq!((world.daemon_pid(), world.assume_role_calls()), (daemon.pid(), 1));
}

#[test]
fn a_configuration_that_is_broken_by_now_keeps_the_daemon_from_a_restart() {
    let world = World::configured();
    world.token().assert_ok();
    world.write_config("[profiles.prod]\ncluster = 3\n");
    let line = one_line(&world.rolecall(&["agent", "restart"]), 1);
    assert!(line.contains("was not restarted and keeps the last valid configuration: "), "{line}");
    assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
    world.token().assert_ok();
}

#[test]
fn whoever_waits_for_aws_during_a_restart_gets_their_token() {
    let world = World::configured();
    let daemon = world.sandbox.start_daemon();
    let gate = Gate::new();
    world.aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).times(1));
    thread::scope(|scope| {
        let caller = scope.spawn(|| world.token());
        world.aws.wait_for_calls(Op::AssumeRole, 1, SOON);
        // Its answer does not come in time; it asks again by itself, and the next run gets an answer from AWS.
        world.rolecall(&["agent", "restart"]).assert_ok();
        caller.join().unwrap().assert_ok();
    });
    gate.open();
    assert_eq!((world.daemon_pid(), world.assume_role_calls()), (daemon.pid(), 2));
}

#[test]
fn a_silent_connection_does_not_hold_up_a_restart() {
    let world = World::added();
    let _silent: Vec<_> = (0..20).map(|_| UnixStream::connect(world.socket()).unwrap()).collect();
    world.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!(daemon(&world)["restarts"], 1);
}

#[test]
fn row_16_a_service_managers_socket_survives_a_restart() {
    let world = World::configured();
    let (listener, daemon) = activated(&world);
    world.token().assert_ok();
    for _ in 0..2 {
        let said = world.rolecall(&["agent", "restart"]);
        assert!(said.assert_ok().stdout.contains(&format!("(pid {}, ", daemon.pid())), "{}", said.stdout);
        world.token().assert_ok();
    }
    assert_eq!(world.assume_role_calls(), 1);
    let said = world.rolecall(&["agent", "stop"]);
    assert!(said.assert_ok().stdout.contains("the service manager keeps its socket"), "{}", said.stdout);
    assert!(daemon.wait_exit(SOON).success());
    assert!(world.socket().exists());
    drop(listener);
}

#[test]
fn where_no_daemon_runs_a_restart_starts_one() {
    let world = World::configured();
    let said = world.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.starts_with("✓ the agent started (pid "), "{}", said.stdout);
    world.token().assert_ok();
}

#[test]
fn a_daemon_that_is_stopped_after_a_restart_takes_its_name_along() {
    let world = World::added();
    world.rolecall(&["agent", "restart"]).assert_ok();
    world.rolecall(&["agent", "stop"]).assert_ok();
    assert!(!world.socket().exists());
    world.token().assert_ok();
}

#[test]
fn a_handover_that_nobody_made_is_refused() {
    let world = World::configured();
    for (numbers, code) in [("1,3,4,5", 1), ("1,0,1,2", 1), ("1,3,4,5,1,1", 1), ("x", 2), ("1,-1,4,5", 2)] {
        let said = world.sandbox.run(world.sandbox.rolecalld().args(["--handover", numbers]));
        said.assert_code(code).assert_stdout_empty();
    }
    assert!(!world.socket().exists());
}
