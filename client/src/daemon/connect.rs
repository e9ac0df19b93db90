//! Connects to the socket, and checks that the daemon of this user listens there.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem, SocketAddress};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::error::CallError;
use crate::clock::{Deadline, backoff};

/// How long a connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connects to a daemon that this or another client has just started, and that may not listen yet.
pub(super) fn open_after_start(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let deadline = deadline.within(CONNECT_TIMEOUT);
    let mut attempt = 0;
    loop {
        match open(socket, deadline) {
            Err(CallError::NotRunning) if deadline.sleep(backoff(attempt)) => attempt += 1,
            result => return result,
        }
    }
}

/// Connects, and checks that the folder is private, and that the socket and the listening process belong to this user
/// (P3).
pub(super) fn open(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let refused =
        |path: &Path, problem: String| CallError::UntrustedSocket { path: path.to_owned(), problem, can_close: false };
    let folder = socket.parent().unwrap_or(socket);
    match location::check_private_folder(folder) {
        Ok(()) => {}
        Err(FolderProblem::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Err(CallError::NotRunning),
        Err(FolderProblem::Io(error)) => return Err(refused(folder, format!("out of reach ({error})"))),
        Err(problem) => {
            let can_close = matches!(problem, FolderProblem::Mode(_)) && is_made_by_us(folder);
            return Err(CallError::UntrustedSocket {
                path: folder.to_owned(),
                problem: problem.to_string(),
                can_close,
            });
        }
    }
    let own = rustix::process::geteuid().as_raw();
    match socket.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => return Err(refused(socket, "not a socket".to_owned())),
        Ok(found) if found.uid() != own => return Err(refused(socket, format!("owned by uid {}", found.uid()))),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CallError::NotRunning),
        Err(error) => return Err(refused(socket, format!("out of reach ({error})"))),
    }
    let stream = connect(socket, deadline.within(CONNECT_TIMEOUT))?;
    match peer_uid(&stream) {
        Ok(uid) if uid == own || is_launchd(uid) => Ok(stream),
        Ok(uid) => Err(refused(socket, format!("served by uid {uid}"))),
        Err(error) => Err(refused(socket, format!("served by an unknown user ({error})"))),
    }
}

/// Whether a folder of this user is one that Rolecall created for its socket: `rolecall` in a private folder, or in the
/// folder of its state. Never `/tmp` or another folder that `ROLECALL_SOCKET` names.
fn is_made_by_us(folder: &Path) -> bool {
    let is_in_runtime_folder = folder.file_name().is_some_and(|name| name == "rolecall")
        && folder.parent().is_some_and(|base| location::check_private_folder(base).is_ok());
    is_in_runtime_folder || location::state_folder().is_ok_and(|state| state.join("run") == folder)
}

/// `connect(2)` with a deadline. Without one, the call waits without limit if the daemon is stopped and its queue is full.
/// With a send timeout the kernel wakes this process as soon as there is room; polling on `EAGAIN` would wake it later.
pub(super) fn connect(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let failed = |cause: rustix::io::Errno| CallError::Connect { path: socket.to_owned(), cause: cause.into() };
    let path = SocketAddress::of(socket).map_err(|cause| CallError::Connect { path: socket.to_owned(), cause })?;
    let address = SocketAddrUnix::new(path.path()).map_err(failed)?;
    let fd = new_socket().map_err(failed)?;
    let mut attempt = 0;
    loop {
        let left = deadline.remaining().ok_or(CallError::Busy(deadline.limit()))?;
        rustix::net::sockopt::set_socket_timeout(&fd, rustix::net::sockopt::Timeout::Send, Some(left))
            .map_err(failed)?;
        match rustix::net::connect(&fd, &address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(rustix::io::Errno::INTR) => {}
            // A system that does not wait: try again until the deadline.
            Err(rustix::io::Errno::AGAIN) => {
                deadline.sleep(backoff(attempt));
                attempt += 1;
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Err(CallError::NotRunning),
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) fn new_socket() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(target_os = "macos")]
pub(super) fn new_socket() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(target_os = "linux")]
fn peer_uid(stream: &UnixStream) -> rustix::io::Result<u32> {
    rustix::net::sockopt::socket_peercred(stream).map(|peer| peer.uid.as_raw())
}

#[cfg(target_os = "macos")]
fn peer_uid(stream: &UnixStream) -> rustix::io::Result<u32> {
    let peer = nix::unistd::getpeereid(stream);
    peer.map(|(uid, _)| uid.as_raw()).map_err(|error| rustix::io::Errno::from_raw_os_error(error as i32))
}

/// Whether the listener may be launchd, which runs as root. macOS reports the user that called listen(2), and under launchd the
/// daemon calls it only once it runs. Accepting root costs nothing: root can read the memory of every process.
fn is_launchd(uid: u32) -> bool {
    cfg!(target_os = "macos") && uid == 0
}

/// The process that listens.
#[cfg(target_os = "linux")]
pub(super) fn listener_pid(stream: &UnixStream) -> Option<rustix::process::Pid> {
    rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.pid)
}

/// macOS reports the process that last used the listener, which may be launchd.
#[cfg(target_os = "macos")]
pub(super) fn listener_pid(_: &UnixStream) -> Option<rustix::process::Pid> {
    None
}
