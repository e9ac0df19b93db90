//! A debugger of the same user, and a crash of the daemon: neither shows its memory.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;
use rustix::fs::FlockOperation;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, kill};

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Attaches to a process as another process of its user would, without privileges.
fn attach(pid: u32) -> Result<(), Errno> {
    let attach = || {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
        let pid = Pid::from_raw(pid.try_into().unwrap());
        ptrace::attach(pid)?;
        nix::sys::wait::waitpid(pid, None)?;
        ptrace::detach(pid, None)
    };
    thread::scope(|scope| scope.spawn(attach).join().unwrap())
}

/// Attaches to an unprotected process. No thread waits for its end at the same time: it would be shown the stop of the attach,
/// which [`attach`] waits for.
fn attach_to_other(fixture: &Fixture) -> Result<(), Errno> {
    let mut command = unprivileged(fixture);
    let mut other =
        command.args(["sh", "-c", "echo; read x"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let attached = attach(other.id());
    other.wait().unwrap(); // closes its standard input first
    attached
}

/// A command that runs a program without capabilities, if the tests run as root.
fn unprivileged(fixture: &Fixture) -> Command {
    let mut command = fixture.sandbox.command("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    command.arg("--no-new-privs");
    command
}

/// Fault matrix row 44.
#[test]
fn debugger_of_the_same_user_cannot_attach() {
    let fixture = Fixture::configured();
    if let Err(error) = attach_to_other(&fixture) {
        return skipped(&format!("an attach: this system forbids every one ({error})"));
    }
    let mut daemon = unprivileged(&fixture);
    let daemon = fixture.sandbox.spawn_daemon(daemon.arg(fixture.sandbox.rolecalld().get_program()));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!(attach(daemon.pid()), Err(Errno::EPERM));
}

/// Crashes a daemon that holds a session while core dumps are unlimited, in a folder of its own. Returns its end and its pid.
fn crash_daemon(fixture: &Fixture, folder: &Path) -> (ExitStatus, u32) {
    let mut command = fixture.sandbox.command("sh");
    let daemon =
        fixture.sandbox.spawn_daemon(command.args(["-c", "ulimit -c unlimited; exec rolecalld"]).current_dir(folder));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    // Rust handles the first SIGSEGV that another process sends.
    kill("ABRT", daemon.pid());
    (daemon.wait_exit(HANG_GUARD), daemon.pid())
}

/// Crashes an unprotected process in the same way.
fn crash_other(fixture: &Fixture, folder: &Path) -> (ExitStatus, u32) {
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", "ulimit -c unlimited; kill -ABRT $$"]).current_dir(folder);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    (child.wait().unwrap(), child.id())
}

/// Only one test at a time depends on the core pattern, which is one for the whole machine.
struct CorePatternLock {
    _in_process: MutexGuard<'static, ()>,
    _on_machine: File,
}

fn lock_core_pattern() -> CorePatternLock {
    static IN_PROCESS: Mutex<()> = Mutex::new(());
    let in_process = IN_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let file = File::open(CORE_PATTERN).unwrap();
    rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
    CorePatternLock { _in_process: in_process, _on_machine: file }
}

/// Fault matrix row 46.
#[test]
fn crash_of_the_daemon_leaves_no_core_file() {
    let fixture = Fixture::configured();
    let folder = fixture.sandbox.root().join("cores");
    fs::create_dir(&folder).unwrap();
    let _lock = lock_core_pattern();
    let files = || fs::read_dir(&folder).unwrap().count();
    let (status, _) = crash_daemon(&fixture, &folder);
    assert_eq!((status.signal(), status.core_dumped(), files()), (Some(6), false, 0));
    let (status, _) = crash_other(&fixture, &folder);
    if !status.core_dumped() || files() == 0 {
        skipped("a core file of a process without protection: this system writes none into its folder");
    }
}

/// A core pattern that runs a program. The former one is written back when this value is dropped, or when the test process ends in
/// any way: a shell waits for the end of its input.
struct CorePattern(Child);

impl CorePattern {
    /// `None` if the core pattern cannot be changed.
    fn set(pattern: &str) -> Option<Self> {
        let before = fs::read_to_string(CORE_PATTERN).ok()?;
        if !rustix::process::geteuid().is_root() || File::options().write(true).open(CORE_PATTERN).is_err() {
            return None;
        }
        let mut restore = Command::new("setsid");
        restore.args([
            "sh",
            "-c",
            "trap '' INT TERM HUP; cat; printf %s \"$1\" >\"$2\"",
            "sh",
            before.trim_end(),
            CORE_PATTERN,
        ]);
        let child = restore.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let restored_later = Self(child);
        fs::write(CORE_PATTERN, pattern).ok()?;
        Some(restored_later)
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Fault matrix row 47.
#[test]
fn core_handler_receives_nothing_of_the_daemon() {
    let fixture = Fixture::configured();
    let folder = tempfile::tempdir().unwrap();
    let handler = folder.path().join("h");
    let script = format!("#!/bin/sh\ncat >{0}/$1.part\nmv {0}/$1.part {0}/$1\n", folder.path().display());
    fs::write(&handler, script).unwrap();
    fs::set_permissions(&handler, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let _lock = lock_core_pattern();
    let before = fs::read_to_string(CORE_PATTERN).unwrap();
    let Some(pattern) = CorePattern::set(&format!("|{} %P", handler.display())) else {
        return skipped("a core handler: the core pattern cannot be changed here");
    };
    let received = |pid: u32| -> PathBuf { folder.path().join(pid.to_string()) };
    let other_is_received = || {
        let (status, pid) = crash_other(&fixture, folder.path());
        while status.core_dumped() && !received(pid).exists() {
            thread::yield_now();
        }
        status.core_dumped() && fs::metadata(received(pid)).unwrap().len() > 1000
    };
    let is_usable = other_is_received();
    let (status, pid) = crash_daemon(&fixture, folder.path());
    // The handler of a later crash has run.
    let is_still_usable = other_is_received();
    drop(pattern);
    assert_eq!(fs::read_to_string(CORE_PATTERN).unwrap(), before);
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    let part = received(pid).with_extension("part");
    assert!(!received(pid).exists() && !part.exists(), "the handler was run for the daemon");
    if !is_usable || !is_still_usable {
        skipped("a core handler of a process without protection: this system runs none");
    }
}
