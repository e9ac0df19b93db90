//! Systems without sealed memory: the daemon refuses a restart, and the client stops and starts it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rolecall_protocol::Secret;

use super::{CheckedProgram, HandoverState, ProgramCheckError, StateError};

/// A program that is not opened.
#[derive(Clone, Copy)]
pub(super) enum ProgramFile {}

pub(super) const fn path() -> Option<PathBuf> {
    None
}

pub(super) fn unseal(_: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    Err(unsupported().into())
}

pub(super) fn open(path: &Path) -> Result<ProgramFile, ProgramCheckError> {
    Err(ProgramCheckError::Start { path: path.to_owned(), cause: unsupported() })
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as the other platform has it
pub(super) fn close(program: &ProgramFile) -> io::Result<CheckedProgram> {
    match *program {}
}

pub(super) fn leave_open(program: ProgramFile) -> CheckedProgram {
    match program {}
}

pub(super) fn command(_: &CheckedProgram, _: &[OsString]) -> io::Result<tokio::process::Command> {
    Err(unsupported())
}

pub(super) fn exec(
    _: &CheckedProgram,
    _: &HandoverState<Secret<Vec<u8>>>,
    _: impl Fn(RawFd) -> Vec<OsString> + Send,
) -> io::Result<Infallible> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
