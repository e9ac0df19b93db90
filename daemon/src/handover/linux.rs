//! What only Linux has: the path of the start, memory that can be sealed, and a table of file descriptors of one's own.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::Secret;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use super::{HandoverState, StateError};

/// The largest state, in bytes: 10,000 sessions through a hub each take about 30 MiB.
const MOST: u64 = 64 * 1024 * 1024;

/// Against every change, and against taking that back.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// The path that this program was started by.
pub(super) fn path() -> Option<PathBuf> {
    let started = Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()));
    std::path::absolute(started).ok()
}

pub(super) fn seal(state: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    let length = state.expose().len() as u64;
    if length > MOST {
        return Err(StateError::Large(length));
    }
    let mut memory = File::from(memory()?);
    memory.write_all(state.expose())?;
    fcntl_add_seals(&memory, SEALS).map_err(io::Error::from)?;
    Ok(memory.into())
}

fn memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("rolecalld", flags | MemfdFlags::NOEXEC_SEAL) {
        // A kernel from before 6.3, where every such memory could be run as a program.
        Err(Errno::INVAL) => memfd_create("rolecalld", flags),
        made => made,
    }
    .map_err(Into::into)
}

pub(super) fn unseal(state: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    // What is no such memory has no seals, and no answer either.
    if !fcntl_get_seals(&state).is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(StateError::Open);
    }
    let memory = File::from(state);
    let length = memory.metadata()?.len();
    let size = usize::try_from(length).ok().filter(|_| length <= MOST).ok_or(StateError::Large(length))?;
    let mut text = vec![0; size];
    let read = memory.read_exact_at(&mut text, 0);
    let text = Secret::new(text); // wiped, whatever comes of it
    read?;
    Ok(text)
}

/// Becomes the program, in a thread of its own: its table of file descriptors is one of its own too, so that a helper
/// that another thread starts this very moment does not inherit what is passed on.
pub(super) fn exec(path: &Path, arguments: &[OsString], state: &HandoverState) -> io::Result<Infallible> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let arguments = arguments.iter().map(|argument| CString::new(argument.clone().into_vec()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let thread = || {
        // A container may forbid it. Then a helper that starts in these microseconds inherits too, which is no harm
        // that would be worth a refusal.
        let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES);
        let passed = [state.listener.as_fd(), state.lock.as_fd(), state.state.as_fd()];
        let flag = |flags| passed.iter().try_for_each(|fd| fcntl_setfd(fd, flags));
        let failed = flag(FdFlags::empty()).map_or_else(io::Error::from, |()| {
            let Err(error) = nix::unistd::execv(&path, &arguments);
            error.into()
        });
        let _ = flag(FdFlags::CLOEXEC);
        failed
    };
    let failed = std::thread::scope(|scope| scope.spawn(thread).join());
    Err(failed.unwrap_or_else(|_| io::Error::other("a thread ended unexpectedly")))
}
