//! The handover on Linux: the program's path from the auxiliary vector, sealed memory, and an exec that keeps the process closed.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::Secret;
use rustix::fs::{MemfdFlags, fcntl_add_seals, fcntl_get_seals};
use rustix::io::{FdFlags, fcntl_setfd};

use super::program_file::{self, ProgramFile};
use super::sealed_memory::{SEALS, memory};
use super::{CheckedProgram, HandoverState, ProgramCheckError, StateError, closed_program};
use crate::harden::{self, Executable};
use crate::services::snapshot::SnapshotScope;

/// The size of a state: 10,000 sessions, each through a hub role, take about 30 MiB.
const MAX_STATE_BYTES: u64 = 64 * 1024 * 1024;

/// Returns the path that this program was started with.
pub(super) fn path() -> Option<PathBuf> {
    let started = Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()));
    std::path::absolute(started).ok()
}

/// Stores a snapshot in sealed memory. No process can change it, this one included.
pub(super) fn seal(state: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    let length = state.expose().len() as u64;
    if length > MAX_STATE_BYTES {
        return Err(StateError::Large(length));
    }
    let mut memory = File::from(memory(MemfdFlags::NOEXEC_SEAL)?);
    memory.write_all(state.expose())?;
    fcntl_add_seals(&memory, SEALS).map_err(io::Error::from)?;
    Ok(memory.into())
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

/// Opens the program at a path, and checks who can replace it.
pub(super) fn open(path: &Path) -> Result<ProgramFile, ProgramCheckError> {
    Ok(program_file::open(path)?)
}

/// Returns the program as one whose process is closed to its user from the start.
pub(super) fn close(program: &ProgramFile) -> io::Result<CheckedProgram> {
    closed_program::close(program)
}

/// Returns the program as one that gets no session.
pub(super) fn leave_open(program: ProgramFile) -> CheckedProgram {
    closed_program::leave_open(program)
}

/// Returns a command that runs the program.
pub(super) fn command(program: &CheckedProgram, arguments: &[OsString]) -> io::Result<tokio::process::Command> {
    Ok(Executable::new(program.file.try_clone()?, arguments)?.into_command())
}

/// Executes the program in a new thread, which
///
/// - has its own descriptor table. The snapshot and the copy that is executed are in no other: a child of another thread could inherit
///   them, and while the exec ends the other threads, processes of the user can open the descriptors of a thread whose memory is gone;
/// - cannot read the program, also as root, so that the process stays closed.
pub(super) fn exec(
    program: &CheckedProgram,
    state: &HandoverState<Secret<Vec<u8>>>,
    arguments: impl Fn(RawFd) -> Vec<OsString> + Send,
) -> io::Result<Infallible> {
    let thread = move || {
        let prepared = harden::own_descriptor_table().and_then(|()| closed_program::drop_read_capabilities());
        // Without sessions there is nothing to protect.
        if program.scope != SnapshotScope::NoSessions {
            prepared?;
        }
        let file =
            if program.is_copy { closed_program::copy_again(&program.file)? } else { program.file.try_clone()? };
        let snapshot = seal(&state.snapshot).map_err(io::Error::other)?;
        let executable = Executable::new(file, &arguments(snapshot.as_raw_fd()))?;
        let passed = [state.listener.as_fd(), state.lock.as_fd(), snapshot.as_fd()];
        let flag = |flags| passed.iter().try_for_each(|fd| fcntl_setfd(fd, flags));
        let failed = flag(FdFlags::empty()).map_or_else(io::Error::from, |()| executable.replace_this_process());
        let _ = flag(FdFlags::CLOEXEC);
        Err(failed)
    };
    let ended = std::thread::scope(|scope| scope.spawn(thread).join());
    ended.unwrap_or_else(|_| Err(io::Error::other("a thread ended unexpectedly")))
}
