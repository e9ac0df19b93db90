//! Processes that run in a sandbox without being children of the test, such as a daemon that the client started in the
//! background.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::output::within;

/// The kernel ends a killed process long before this.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills them, waits until they end, and returns their ids. Calls `show` with each id before it is killed.
///
/// A hardened daemon hides its environment even from its own user, so a process is found in two ways: its
/// `/proc/*/cmdline` or `/proc/*/environ` names the sandbox, or it listens on a socket inside the sandbox.
pub(crate) fn kill(root: &Path, show: impl Fn(u32)) -> Vec<u32> {
    let mut killed = Vec::new();
    // A killed process may have been starting another, so search again.
    for _ in 0..3 {
        let found: Vec<u32> = living_in(root);
        if found.is_empty() {
            break;
        }
        found.iter().copied().for_each(&show);
        for pid in &found {
            // The process may have ended in the meantime.
            let _ = kill_process(to_pid(*pid), Signal::KILL);
        }
        for pid in &found {
            wait_for_end(*pid);
        }
        killed.extend(found);
    }
    // A process may be found more than once while its threads end.
    killed.sort_unstable();
    killed.dedup();
    killed
}

/// Returns the ids of the processes that run in this sandbox.
pub(crate) fn living_in(root: &Path) -> Vec<u32> {
    let mut found = naming(root);
    found.extend(listening_in(root));
    found.sort_unstable();
    found.dedup();
    // The test process itself may name the folder or own sockets in it.
    found.retain(|pid| *pid != std::process::id());
    found
}

/// Returns processes that name the folder in their arguments or environment.
fn naming(root: &Path) -> Vec<u32> {
    let needle = root.as_os_str().as_bytes();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |pid: &u32| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.windows(needle.len()).any(|window| window == needle)
        })
    };
    pids.filter(names).filter(|pid| !is_zombie(*pid)).collect()
}

/// Returns processes that listen on a socket in the folder. The kernel reports the process that called listen(),
/// whatever /proc hides.
fn listening_in(root: &Path) -> Vec<u32> {
    sockets_below(root).iter().filter_map(|socket| listener_of(socket)).collect()
}

/// Returns the process that listens on a socket, as the kernel reports it.
#[cfg(target_os = "linux")]
pub(crate) fn listener_of(socket: &Path) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
    // A stopped daemon with a full queue would block a connect forever.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&stream, &SocketAddrUnix::new(socket).ok()?).ok()?;
    let peer = sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Other systems have no portable call for it; dropping [`super::Daemon`] kills what the sandbox itself started.
#[cfg(not(target_os = "linux"))]
pub(crate) fn listener_of(_socket: &Path) -> Option<u32> {
    None
}

fn sockets_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut sockets = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sockets.extend(sockets_below(&entry.path())),
            Ok(kind) if kind.is_socket() => sockets.push(entry.path()),
            _ => {}
        }
    }
    sockets
}

/// Waits for the end of a process that is not a child of this one.
fn wait_for_end(pid: u32) {
    let ended = || !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid);
    within(KILL_TIMEOUT, || ended().then_some(()));
}

/// Returns whether the process has ended and its parent has not reaped it.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain any character, so search for the last one.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid fits")).expect("a pid is not zero")
}
