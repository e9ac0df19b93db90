//! Connects to the socket, and checks that the daemon of this user listens there.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem, SocketAddress};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
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
///
/// Only this user can create a socket in a private folder, and the kernel names the user of the process that listens. The socket's own
/// metadata is therefore read only if the connection fails.
pub(super) fn open(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    check_folder(socket.parent().unwrap_or(socket))?;
    let stream = match connect(socket, deadline.within(CONNECT_TIMEOUT)) {
        Err(error @ (CallError::NotRunning | CallError::Connect { .. })) => {
            return Err(check_socket(socket).err().unwrap_or(error));
        }
        result => result?,
    };
    match peer_uid(&stream) {
        Ok(uid) if uid == location::own_uid() || is_launchd(uid) => Ok(stream),
        Ok(uid) => Err(untrusted(socket, format!("served by uid {uid}"))),
        Err(error) => Err(untrusted(socket, format!("served by an unknown user ({error})"))),
    }
}

fn untrusted(path: &Path, problem: String) -> CallError {
    CallError::UntrustedSocket { path: path.to_owned(), problem, can_close: false }
}

fn check_folder(folder: &Path) -> Result<(), CallError> {
    match location::check_private_folder(folder) {
        Ok(()) => Ok(()),
        Err(FolderProblem::Io(error)) if error.kind() == io::ErrorKind::NotFound => Err(CallError::NotRunning),
        Err(FolderProblem::Io(error)) => Err(untrusted(folder, format!("out of reach ({error})"))),
        Err(problem) => {
            let can_close = matches!(problem, FolderProblem::Mode(_)) && is_made_by_us(folder);
            Err(CallError::UntrustedSocket { path: folder.to_owned(), problem: problem.to_string(), can_close })
        }
    }
}

/// Checks that the path names a socket of this user, without following a symbolic link.
fn check_socket(socket: &Path) -> Result<(), CallError> {
    match socket.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => Err(untrusted(socket, "not a socket".to_owned())),
        Ok(found) if found.uid() != location::own_uid() => {
            Err(untrusted(socket, format!("owned by uid {}", found.uid())))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CallError::NotRunning),
        Err(error) => Err(untrusted(socket, format!("out of reach ({error})"))),
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
pub(super) fn connect(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let failed = |cause: Errno| CallError::Connect { path: socket.to_owned(), cause: cause.into() };
    let path = SocketAddress::of(socket).map_err(|cause| CallError::Connect { path: socket.to_owned(), cause })?;
    let address = SocketAddrUnix::new(path.path()).map_err(failed)?;
    let fd = new_socket().map_err(failed)?;
    let connected = match rustix::net::connect(&fd, &address) {
        Err(Errno::AGAIN | Errno::INTR) => connect_when_possible(&fd, &address, deadline),
        result => result,
    };
    match connected {
        Ok(()) => Ok(UnixStream::from(fd)),
        Err(Errno::TIMEDOUT) => Err(CallError::Busy(deadline.limit())),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Err(CallError::NotRunning),
        Err(error) => Err(failed(error)),
    }
}

/// Waits until the daemon's queue has room; `TIMEDOUT` at the deadline. With a send timeout the kernel wakes this process as
/// soon as there is room; polling on `EAGAIN` would wake it later.
fn connect_when_possible(fd: &OwnedFd, address: &SocketAddrUnix, deadline: Deadline) -> rustix::io::Result<()> {
    rustix::io::ioctl_fionbio(fd, false)?;
    let mut attempt = 0;
    loop {
        let left = deadline.remaining().ok_or(Errno::TIMEDOUT)?;
        set_socket_timeout(fd, Timeout::Send, Some(left))?;
        match rustix::net::connect(fd, address) {
            Err(Errno::INTR) => {}
            // A system that does not wait: try again until the deadline.
            Err(Errno::AGAIN) => {
                deadline.sleep(backoff(attempt));
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// A socket whose calls do not wait.
#[cfg(target_os = "linux")]
pub(super) fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(target_os = "macos")]
pub(super) fn new_socket() -> rustix::io::Result<OwnedFd> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

#[cfg(target_os = "linux")]
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(peer(stream)?.uid())
}

/// Returns the listener's credentials. The process id is 0 if the listener is in another PID namespace, which the types of `rustix` cannot
/// hold: they read such credentials as an error.
#[cfg(target_os = "linux")]
fn peer(stream: &UnixStream) -> io::Result<nix::sys::socket::UnixCredentials> {
    Ok(nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?)
}

#[cfg(target_os = "macos")]
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let (uid, _) = nix::unistd::getpeereid(stream)?;
    Ok(uid.as_raw())
}

/// Whether the listener may be launchd, which runs as root. macOS reports the user that called listen(2), and under launchd the
/// daemon calls it only once it runs. Accepting root costs nothing: root can read the memory of every process.
fn is_launchd(uid: u32) -> bool {
    cfg!(target_os = "macos") && uid == 0
}

/// The process that listens; `None` if it is in another PID namespace.
#[cfg(target_os = "linux")]
pub(super) fn listener_pid(stream: &UnixStream) -> Option<rustix::process::Pid> {
    peer(stream).ok().and_then(|peer| rustix::process::Pid::from_raw(peer.pid()))
}

/// macOS reports the process that last used the listener, which may be launchd.
#[cfg(target_os = "macos")]
pub(super) fn listener_pid(_: &UnixStream) -> Option<rustix::process::Pid> {
    None
}
