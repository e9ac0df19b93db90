//! Processes that live in a sandbox without being its children, such as a daemon that the client started in the
//! background.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Kills them and waits for their end; returns their ids. Each is shown before it is killed.
///
/// A hardened daemon hides its environment even from its own user, so there are two ways to find one: who names the
/// sandbox in `/proc/*/cmdline` or `/proc/*/environ`, and who listens on a socket inside it.
pub(crate) fn kill(root: &Path, show: impl Fn(u32)) -> Vec<u32> {
    let mut killed = Vec::new();
    // Once more after the first round: what was killed may have been starting another.
    for _ in 0..3 {
        let found: Vec<u32> = living_in(root);
        if found.is_empty() {
            break;
        }
        found.iter().copied().for_each(&show);
        for pid in &found {
            // It may have ended by itself in this moment.
            let _ = kill_process(to_pid(*pid), Signal::KILL);
        }
        for pid in &found {
            wait_for_end(*pid);
        }
        killed.extend(found);
    }
    // One whose threads end one after the other was found more than once.
    killed.sort_unstable();
    killed.dedup();
    killed
}

/// Their ids.
pub(crate) fn living_in(root: &Path) -> Vec<u32> {
    let mut found = naming(root);
    found.extend(listening_in(root));
    found.sort_unstable();
    found.dedup();
    // Ourselves never, though our arguments or our own sockets may be in the folder.
    found.retain(|pid| *pid != std::process::id());
    found
}

/// Processes with the folder in their arguments or environment.
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

/// Processes that listen on a socket in the folder. The kernel names who called listen(), whatever /proc hides.
fn listening_in(root: &Path) -> Vec<u32> {
    sockets_below(root).iter().filter_map(|socket| listener_of(socket)).collect()
}

#[cfg(target_os = "linux")]
fn listener_of(socket: &Path) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
    // Not blocking: a stopped daemon with a full backlog would hold us for ever.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&stream, &SocketAddrUnix::new(socket).ok()?).ok()?;
    let peer = sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Elsewhere there is no portable way to ask; Drop of [`super::Daemon`] kills what the sandbox started itself.
#[cfg(not(target_os = "linux"))]
fn listener_of(_socket: &Path) -> Option<u32> {
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

/// Not our child, so nothing tells us of its end: look, for a second at most.
fn wait_for_end(pid: u32) {
    for _ in 0..200 {
        if !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Dead, and only waiting for its parent to ask.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, so count from the last one.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid fits")).expect("a pid is not zero")
}
