//! A process of the same user that tries to read the daemon's memory while the daemon restarts.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rolecall_harness::{Sandbox, StopOnDrop};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::fixture::{Fixture, HANG_GUARD};

/// Restarts during one attack.
const RESTARTS: usize = 10;

/// Returns a command that runs a program without capabilities, so that it is protected only from processes of its user, also if
/// the tests run as root.
fn without_capabilities(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    command.arg("--no-new-privs");
    command
}

/// Opens what the kernel lets a process of the same user open of this process, until `stop`. Returns what it opened.
fn attack(pid: u32, stop: &AtomicBool) -> BTreeSet<&'static str> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
    let process = format!("/proc/{pid}");
    let mut opened = BTreeSet::new();
    loop {
        if File::open(format!("{process}/mem")).is_ok() {
            opened.insert("mem");
        }
        // A thread that is just ending can be opened, and has no memory.
        for name in ["maps", "environ"] {
            if fs::read(format!("{process}/{name}")).is_ok_and(|content| !content.is_empty()) {
                opened.insert(name);
            }
        }
        attack_descriptors(&process, &mut opened);
        for thread in fs::read_dir(format!("{process}/task")).into_iter().flatten().flatten() {
            attack_descriptors(&thread.path().display().to_string(), &mut opened);
        }
        if stop.load(Ordering::Relaxed) {
            return opened;
        }
    }
}

/// Tries to read the files in memory, and to make them readable.
fn attack_descriptors(process: &str, opened: &mut BTreeSet<&'static str>) {
    for number in 3..40 {
        // The daemon may give the number to another file at any time. This descriptor keeps the file.
        let Ok(file) = openat(CWD, format!("{process}/fd/{number}"), OFlags::PATH, Mode::empty()) else { continue };
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        if fs::read_link(&path).is_ok_and(|target| target.display().to_string().contains("memfd")) {
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o777));
            let content = fs::read(&path).unwrap_or_default();
            if String::from_utf8_lossy(&content).contains("\"access_key\":\"ASIA") {
                opened.insert("the snapshot");
            }
        }
    }
}

/// Fault matrix row 45.
#[test]
fn restart_opens_nothing_to_processes_of_the_user() {
    let fixture = Fixture::configured();
    let sandbox = &fixture.sandbox;
    // The attack works on a process without protection.
    let unprotected = sandbox.spawn_daemon(without_capabilities(sandbox).args(["sh", "-c", "echo; exec sleep 600"]));
    unprotected.wait_stdout_line(HANG_GUARD);
    let found =
        thread::scope(|scope| scope.spawn(|| attack(unprotected.pid(), &AtomicBool::new(true))).join().unwrap());
    assert!(found.contains("mem") && found.contains("maps"), "{found:?}");
    drop(unprotected);

    let program = sandbox.rolecalld().get_program().to_owned();
    let daemon = sandbox.spawn_daemon(without_capabilities(sandbox).arg(program));
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    let stop = AtomicBool::new(false);
    let opened = thread::scope(|scope| {
        let attacker = scope.spawn(|| attack(daemon.pid(), &stop));
        let running = StopOnDrop(&stop);
        for _ in 0..RESTARTS {
            let said = fixture.rolecall(&["agent", "restart"]);
            assert!(said.assert_ok().stdout.ends_with("; its sessions were kept\n"), "{}", said.stdout);
        }
        drop(running);
        attacker.join().unwrap()
    });
    assert!(opened.is_empty(), "{opened:?}");
    assert_eq!(fixture.assume_role_calls(), 1);
}
