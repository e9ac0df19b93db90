//! `rolecall agent restart` with another program at the daemon's path, and with one that cannot be protected.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rolecall_harness::{Daemon, Output, within};

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, error_line};
use crate::handover::{daemon, restart_after};

/// Both programs in a folder where a test can replace them.
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

    /// Replaces the program like an installer: write a new file, then rename it. A child process writes the file: Linux
    /// cannot execute a file that is open for writing, and children of other tests would inherit this process's
    /// descriptor.
    fn replace(&self, program: &str, content: &[u8]) {
        let script = "cat > \"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"";
        let mut shell = self.fixture.sandbox.command("sh");
        shell.args(["-c", script]).arg(self.folder.join(program));
        self.fixture.sandbox.run_with_input(&mut shell, content).assert_ok();
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

    /// Replaces the daemon by a program of the system.
    fn replace_by_program(&self, program: &str) {
        let path = self.fixture.sandbox.command(program).get_program().to_owned();
        self.replace("rolecalld", &fs::read(path).unwrap());
    }

    /// Returns whether a process runs this file: the kernel then answers ETXTBSY to a writer.
    fn is_running(&self, file: &Path) -> bool {
        let mut shell = self.fixture.sandbox.command("sh");
        shell.args(["-c", ": >> \"$0\""]).arg(file);
        self.fixture.sandbox.run(&mut shell).stderr.contains("ext file busy")
    }
}

#[test]
fn restart_runs_the_replaced_program() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    let old = installed.folder.join("old");
    fs::hard_link(installed.folder.join("rolecalld"), &old).unwrap();
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert!(installed.is_running(&old));
    let pid = fixture.daemon_pid();
    installed.replace_by_a_copy("rolecalld");
    assert!(installed.is_running(&old), "the process still runs the old file");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    assert!(!installed.is_running(&old));
    installed.rolecall(&["token", "prod"]).assert_ok();
    assert_eq!((fixture.daemon_pid(), fixture.assume_role_calls()), (pid, 1));
    // The profile is still renewed in the background.
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
    let restart = || error_line(&installed.rolecall(&["agent", "restart"]), 1);
    // Programs that fail, one that is no daemon, and a script.
    for (program, problem) in [
        ("false", "does not run (exit status: 1)"),
        ("bash", "does not run (exit status: 2)"),
        ("echo", "is not rolecalld"),
        ("", "is a script"),
    ] {
        match program {
            "" => installed.replace("rolecalld", b"#!/bin/sh\necho rolecalld 9.9.9\n"),
            program => installed.replace_by_program(program),
        }
        let line = restart();
        assert!(line.starts_with(&format!("rolecall: the agent was not restarted: {path} {problem}. ")), "{line}");
        assert!(line.ends_with(" rolecall agent stop"), "{line}");
    }
    fs::remove_file(&path).unwrap();
    let line = restart();
    assert!(line.contains(" cannot be started (No such file or directory"), "{line}");
    installed.rolecall(&["token", "prod"]).assert_ok();
    let now = daemon(&fixture);
    assert_eq!((now["pid"].as_u64(), now["restarts"].as_u64()), (Some(pid.into()), Some(0)));
    // With a working program, the restart succeeds.
    installed.replace_by_a_copy("rolecalld");
    let said = installed.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.ends_with("; its sessions were kept\n"), "{}", said.stdout);
    assert_eq!(fixture.assume_role_calls(), 1);
}

/// Fault matrix row 113.
#[test]
fn restart_with_program_of_others_is_rejected() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    installed.rolecall(&["token", "prod"]).assert_ok();
    for (path, kind, mode, before) in [
        (installed.folder.clone(), "the folder ", 0o777, 0o755),
        (installed.folder.join("rolecalld"), "", 0o757, 0o755),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let line = error_line(&installed.rolecall(&["agent", "restart"]), 1);
        let problem = format!("other users can write {kind}{} (mode {mode:04o}), and so choose ", path.display());
        assert!(line.starts_with(&format!("rolecall: the agent was not restarted: {problem}")), "{line}");
        assert!(line.ends_with(&format!("Fix it with: chmod go-w {}", path.display())), "{line}");
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
    }
    assert_eq!(daemon(&fixture)["restarts"], 0);
    installed.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!((daemon(&fixture)["restarts"].as_u64(), fixture.assume_role_calls()), (Some(1), 1));
}

/// The program was opened for the check, so a change of its path has no effect.
#[test]
fn restart_executes_the_program_that_was_checked() {
    let fixture = Fixture::configured();
    let installed = Installed::new(&fixture);
    let running = installed.start_daemon();
    fixture.token().assert_ok();
    restart_after(&fixture, || installed.replace_by_program("false"));
    assert!(within(HANG_GUARD, || (daemon(&fixture)["restarts"] == 1).then_some(())).is_some());
    assert_eq!(fixture.daemon_pid(), running.pid());
    // The next restart checks the path again.
    assert!(error_line(&installed.rolecall(&["agent", "restart"]), 1).contains(" does not run "));
    installed.replace_by_a_copy("rolecalld");
    installed.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
}

/// Without /proc, the daemon cannot know whether the kernel keeps the next program closed.
#[test]
fn restart_without_proc_keeps_no_session() {
    if !rustix::process::geteuid().is_root() {
        return skipped("no /proc: only root can unmount it");
    }
    let fixture = Fixture::configured();
    let mut command = fixture.sandbox.command("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\""]);
    let daemon = fixture.sandbox.spawn_daemon(command.arg(fixture.sandbox.rolecalld().get_program()));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["agent", "restart"]);
    assert!(said.assert_ok().stdout.ends_with("; its sessions are assumed again\n"), "{}", said.stdout);
    daemon.wait_stderr("no session kept", HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!((fixture.daemon_pid(), fixture.assume_role_calls()), (daemon.pid(), 2));
}
