//! The socket over a restart: what the program before this one had, checked as if a stranger had passed it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::{Bound, Claim, Name, SocketError, check_folder, identity, io_error};

/// Goes on with the socket that was served until now. `named` is its path and what that led to, where the name is ours.
pub fn inherited(listener: OwnedFd, lock: OwnedFd, named: Option<(&Path, (u64, u64))>) -> Result<Bound, SocketError> {
    if !listens(&listener) {
        return Err(SocketError::Handover("socket that listens"));
    }
    let listener = UnixListener::from(listener);
    let path = match named {
        Some((path, _)) => path.to_owned(),
        None => super::own_path(&listener).ok_or(SocketError::Handover("socket with a path"))?,
    };
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    let name = named.map(|(path, identity)| Name { path: path.to_owned(), identity });
    if name.as_ref().is_some_and(|name| !name.is_ours()) {
        return Err(SocketError::Handover("socket of that name"));
    }
    let lock = File::from(lock);
    if !is_our_lock(&lock, &path) {
        return Err(SocketError::Handover("lock"));
    }
    listener.set_nonblocking(true).map_err(|cause| io_error(&path, "prepare", cause))?;
    Ok(Bound { listener, path, claim: Claim { name, lock } })
}

/// Whether it is a Unix stream socket that listens.
pub(super) fn listens(socket: &OwnedFd) -> bool {
    matches!(sockopt::socket_domain(socket), Ok(AddressFamily::UNIX))
        && matches!(sockopt::socket_type(socket), Ok(SocketType::STREAM))
        && matches!(sockopt::socket_acceptconn(socket), Ok(true))
}

/// Whether it is the lock of that socket, and held by us: taking it once more changes nothing then, and fails where
/// somebody else has it.
fn is_our_lock(lock: &File, path: &Path) -> bool {
    let is_it = |found: &std::fs::Metadata| {
        identity(&path.with_extension("lock")).is_ok_and(|lock| lock == (found.dev(), found.ino()))
    };
    lock.metadata().is_ok_and(|found| is_it(&found)) && lock.try_lock().is_ok()
}

impl Claim {
    /// The lock and what the name leads to, for the next run of the program.
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

    fn left(bound: &Bound) -> (OwnedFd, OwnedFd, (u64, u64)) {
        let (lock, name) = bound.claim.leave().unwrap();
        (bound.listener.as_fd().try_clone_to_owned().unwrap(), lock, name.unwrap())
    }

    #[test]
    fn what_was_left_is_served_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecall/agent.sock");
        let old = bind(&path).unwrap();
        let _waits = UnixStream::connect(&path).unwrap();
        let (listener, lock, identity) = left(&old);
        std::mem::forget(old); // as an exec does: nothing is dropped
        let new = inherited(listener, lock, Some((&path, identity))).unwrap();
        assert!(new.listener.accept().is_ok(), "whoever waited is answered");
        assert!(matches!(bind(&path), Err(SocketError::AlreadyRunning)), "the lock is still held");
        drop(new);
        assert!(!path.exists(), "the name goes with the one that ends");
    }

    #[test]
    fn what_is_not_what_it_claims_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecall/agent.sock");
        let bound = bind(&path).unwrap();
        let refused = |listener: OwnedFd, lock: OwnedFd, path: &Path, identity| {
            inherited(listener, lock, Some((path, identity))).unwrap_err().to_string()
        };
        let (_, lock, identity) = left(&bound);
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(refused(stream.into(), lock, &path, identity).contains("is not its socket that listens"));
        let (listener, lock, (device, inode)) = left(&bound);
        assert!(refused(listener, lock, &path, (device, inode + 1)).contains("is not its socket of that name"));
        let (listener, _, identity) = left(&bound);
        let other = File::open("/dev/null").unwrap().into();
        assert!(refused(listener, other, &path, identity).ends_with("is not its lock"));
        // The right file, but held by somebody else.
        let (listener, _, identity) = left(&bound);
        let other = File::open(path.with_extension("lock")).unwrap().into();
        assert!(refused(listener, other, &path, identity).ends_with("is not its lock"));
        // A folder that is open by now.
        std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (listener, lock, identity) = left(&bound);
        assert!(refused(listener, lock, &path, identity).contains("0755"));
    }
}
