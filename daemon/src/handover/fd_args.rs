//! The value of the handover option: the numbers of the file descriptors. It has no secret.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::str::FromStr;

use super::HandoverState;
use crate::harden;

/// Numbers in the format `RESTARTS,LISTENER,LOCK,SNAPSHOT`, with `,DEVICE,INODE` unless a service manager owns the socket's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdArgs {
    restarts: u32,
    listener: RawFd,
    lock: RawFd,
    snapshot: RawFd,
    name: Option<(u64, u64)>,
}

/// The value is not one of a restart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("only rolecalld passes this option, when it restarts")]
pub struct InvalidFdArgs;

impl FdArgs {
    /// A valid value, to check that a program knows the option.
    pub(super) const EXAMPLE: Self = Self { restarts: 1, listener: 3, lock: 4, snapshot: 5, name: Some((1, 1)) };

    pub(super) fn of<S>(state: &HandoverState<S>, snapshot: RawFd) -> Self {
        Self {
            restarts: state.restarts,
            listener: state.listener.as_raw_fd(),
            lock: state.lock.as_raw_fd(),
            snapshot,
            name: state.name,
        }
    }

    /// Takes ownership of the descriptors, before the process opens any other. Their types are still to be checked.
    pub fn take(&self) -> io::Result<HandoverState<OwnedFd>> {
        Ok(HandoverState {
            restarts: self.restarts,
            listener: harden::inherited(self.listener)?,
            lock: harden::inherited(self.lock)?,
            snapshot: harden::inherited(self.snapshot)?,
            name: self.name,
        })
    }
}

impl fmt::Display for FdArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.restarts, self.listener, self.lock, self.snapshot)?;
        match self.name {
            Some((device, inode)) => write!(f, ",{device},{inode}"),
            None => Ok(()),
        }
    }
}

impl FromStr for FdArgs {
    type Err = InvalidFdArgs;

    fn from_str(text: &str) -> Result<Self, InvalidFdArgs> {
        let numbers: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        let (restarts, fds, name) = match *numbers.map_err(|_| InvalidFdArgs)?.as_slice() {
            [restarts, listener, lock, snapshot] => (restarts, [listener, lock, snapshot], None),
            [restarts, listener, lock, snapshot, device, inode] => {
                (restarts, [listener, lock, snapshot], Some((device, inode)))
            }
            _ => return Err(InvalidFdArgs),
        };
        let fd = |number: u64| RawFd::try_from(number).map_err(|_| InvalidFdArgs);
        let [listener, lock, snapshot] = fds;
        Ok(Self {
            restarts: u32::try_from(restarts).map_err(|_| InvalidFdArgs)?,
            listener: fd(listener)?,
            lock: fd(lock)?,
            snapshot: fd(snapshot)?,
            name,
        })
    }
}
