//! The socket after a restart. The descriptors of the process before are checked as untrusted input.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{AddressFamily, SocketType, getsockname, sockopt};

use super::{BoundSocket, SocketClaim, SocketError, SocketName, check_folder, identity, io_error};

/// Continues with the socket of the process before. `named` is its path and identity, unless a service manager owns the path.
pub fn inherited(
    listener: OwnedFd,
    lock: OwnedFd,
    named: Option<(&Path, (u64, u64))>,
) -> Result<BoundSocket, SocketError> {
    if !listens(&listener) {
        return Err(SocketError::Handover("listener"));
    }
    let listener = UnixListener::from(listener);
    let path = match named {
        Some((path, _)) => path.to_owned(),
        None => super::own_path(&listener).ok_or(SocketError::Handover("listener path"))?,
    };
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    let name = named.map(|(path, identity)| SocketName { path: path.to_owned(), identity });
    if name.as_ref().is_some_and(|name| !name.is_ours()) {
        return Err(SocketError::Handover("socket path"));
    }
    let lock = File::from(lock);
    if !is_our_lock(&lock, &path) {
        return Err(SocketError::Handover("lock"));
    }
    listener.set_nonblocking(true).map_err(|cause| io_error(&path, "prepare", cause))?;
    Ok(BoundSocket { listener, path, claim: SocketClaim { name, lock } })
}

/// Whether a descriptor is a listening Unix stream socket.
pub(super) fn listens(socket: &OwnedFd) -> bool {
    matches!(sockopt::socket_type(socket), Ok(SocketType::STREAM))
        && getsockname(socket).is_ok_and(|address| address.address_family() == AddressFamily::UNIX)
        && accepts_connections(socket)
}

#[cfg(target_os = "linux")]
fn accepts_connections(socket: &OwnedFd) -> bool {
    matches!(sockopt::socket_acceptconn(socket), Ok(true))
}

/// macOS does not implement SO_ACCEPTCONN. There listen(2) fails on a connected socket and on one without a path, and changes
/// nothing else on one that listens.
#[cfg(not(target_os = "linux"))]
fn accepts_connections(socket: &OwnedFd) -> bool {
    /// The queue of macOS (`kern.ipc.somaxconn`).
    const BACKLOG: i32 = 128;
    rustix::net::listen(socket, BACKLOG).is_ok()
}

/// Whether a file is the lock of that socket and this process holds it. If so, locking it again changes nothing; if another
/// process holds it, locking fails.
fn is_our_lock(lock: &File, path: &Path) -> bool {
    let is_it = |found: &std::fs::Metadata| {
        identity(&path.with_extension("lock")).is_ok_and(|lock| lock == (found.dev(), found.ino()))
    };
    lock.metadata().is_ok_and(|found| is_it(&found)) && lock.try_lock().is_ok()
}

impl SocketClaim {
    /// Returns the lock and the socket's identity for the next run of the program.
    pub fn leave(&self) -> io::Result<(OwnedFd, Option<(u64, u64)>)> {
        Ok((self.lock.as_fd().try_clone_to_owned()?, self.name.as_ref().map(|name| name.identity)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::super::bind;
    use super::*;

    fn handed_over(bound: &BoundSocket) -> (OwnedFd, OwnedFd, (u64, u64)) {
        let (lock, name) = bound.claim.leave().unwrap();
        (bound.listener.as_fd().try_clone_to_owned().unwrap(), lock, name.unwrap())
    }

    #[test]
    fn inherited_socket_keeps_waiting_clients() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecall/agent.sock");
        let old = bind(&path).unwrap();
        let _waits = UnixStream::connect(&path).unwrap();
        let (listener, lock, identity) = handed_over(&old);
        std::mem::forget(old); // as after an exec, nothing is dropped
        let new = inherited(listener, lock, Some((&path, identity))).unwrap();
        assert!(new.listener.accept().is_ok(), "a waiting client is accepted");
        assert!(matches!(bind(&path), Err(SocketError::AlreadyRunning)), "the lock is still held");
        drop(new);
        assert!(!path.exists(), "the path is removed with its last owner");
    }

    #[test]
    fn wrong_descriptors_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecall/agent.sock");
        let bound = bind(&path).unwrap();
        let refused = |listener: OwnedFd, lock: OwnedFd, path: &Path, identity| {
            inherited(listener, lock, Some((path, identity))).unwrap_err().to_string()
        };
        let (_, lock, identity) = handed_over(&bound);
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(refused(stream.into(), lock, &path, identity).contains("invalid listener"));
        let (listener, lock, (device, inode)) = handed_over(&bound);
        assert!(refused(listener, lock, &path, (device, inode + 1)).contains("invalid socket path"));
        let (listener, _, identity) = handed_over(&bound);
        let other = File::open("/dev/null").unwrap().into();
        assert!(refused(listener, other, &path, identity).ends_with("invalid lock"));
        // The right file, but locked by another process.
        let (listener, _, identity) = handed_over(&bound);
        let other = File::open(path.with_extension("lock")).unwrap().into();
        assert!(refused(listener, other, &path, identity).ends_with("invalid lock"));
        // A folder that has become open to others.
        std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (listener, lock, identity) = handed_over(&bound);
        assert!(refused(listener, lock, &path, identity).contains("0755"));
    }
}
