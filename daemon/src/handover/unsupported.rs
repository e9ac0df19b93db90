//! Systems without sealed memory: the daemon refuses a restart, and the client stops and starts it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rolecall_protocol::Secret;

use super::{HandoverState, StateError};

pub(super) const fn path() -> Option<PathBuf> {
    None
}

pub(super) fn seal(_: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

pub(super) fn unseal(_: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

pub(super) fn exec(_: &Path, _: &[OsString], _: &HandoverState) -> io::Result<Infallible> {
    Err(io::ErrorKind::Unsupported.into())
}
