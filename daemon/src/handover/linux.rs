//! The handover on Linux: the program's path from the auxiliary vector, sealed memory, and a descriptor table for one thread.

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

/// The size of a state: 10,000 sessions, each through a hub role, take about 30 MiB.
const MAX_STATE_BYTES: u64 = 64 * 1024 * 1024;

/// No change, and no removal of these seals.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Returns the path that this program was started with.
pub(super) fn path() -> Option<PathBuf> {
    let started = Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()));
    std::path::absolute(started).ok()
}

pub(super) fn seal(state: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    let length = state.expose().len() as u64;
    if length > MAX_STATE_BYTES {
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
        // Kernels before 6.3 have no MFD_NOEXEC_SEAL.
        Err(Errno::INVAL) => memfd_create("rolecalld", flags),
        made => made,
    }
    .map_err(Into::into)
}

pub(super) fn unseal(state: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    // Another kind of descriptor returns an error for its seals.
    if !fcntl_get_seals(&state).is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(StateError::Open);
    }
    let memory = File::from(state);
    let length = memory.metadata()?.len();
    let size = usize::try_from(length).ok().filter(|_| length <= MAX_STATE_BYTES).ok_or(StateError::Large(length))?;
    let mut text = vec![0; size];
    let read = memory.read_exact_at(&mut text, 0);
    let text = Secret::new(text); // wiped also after an error
    read?;
    Ok(text)
}

/// Executes the program in a new thread with its own descriptor table, so that a child that another thread starts at the same time
/// does not inherit the descriptors.
pub(super) fn exec(path: &Path, arguments: &[OsString], state: &HandoverState) -> io::Result<Infallible> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let arguments = arguments.iter().map(|argument| CString::new(argument.clone().into_vec()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let thread = || {
        // A container may forbid it. A child that starts in these microseconds then inherits the descriptors, which is harmless
        // enough not to refuse the restart.
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
