//! The one argument of a handover: which file descriptors are what. Nothing in it is secret.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::str::FromStr;

use super::HandoverState;
use crate::harden;

/// Numbers, written as `RESTARTS,LISTENER,LOCK,STATE`, and `,DEVICE,INODE` where the socket's name is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdArgs {
    restarts: u32,
    listener: RawFd,
    lock: RawFd,
    state: RawFd,
    name: Option<(u64, u64)>,
}

/// Somebody else's numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("only a rolecalld that restarts knows what to pass here")]
pub struct InvalidFdArgs;

impl FdArgs {
    /// One that is well formed and leads nowhere.
    pub(super) const EXAMPLE: Self = Self { restarts: 1, listener: 3, lock: 4, state: 5, name: Some((1, 1)) };

    pub(super) fn of(state: &HandoverState) -> Self {
        Self {
            restarts: state.restarts,
            listener: state.listener.as_raw_fd(),
            lock: state.lock.as_raw_fd(),
            state: state.state.as_raw_fd(),
            name: state.name,
        }
    }

    /// Takes what was left to us, before anything else is opened. What it really is is still to be seen.
    pub fn take(&self) -> io::Result<HandoverState> {
        Ok(HandoverState {
            restarts: self.restarts,
            listener: harden::inherited(self.listener)?,
            lock: harden::inherited(self.lock)?,
            state: harden::inherited(self.state)?,
            name: self.name,
        })
    }
}

impl fmt::Display for FdArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.restarts, self.listener, self.lock, self.state)?;
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
            [restarts, listener, lock, state] => (restarts, [listener, lock, state], None),
            [restarts, listener, lock, state, device, inode] => {
                (restarts, [listener, lock, state], Some((device, inode)))
            }
            _ => return Err(InvalidFdArgs),
        };
        let fd = |number: u64| RawFd::try_from(number).map_err(|_| InvalidFdArgs);
        let [listener, lock, state] = fds;
        Ok(Self {
            restarts: u32::try_from(restarts).map_err(|_| InvalidFdArgs)?,
            listener: fd(listener)?,
            lock: fd(lock)?,
            state: fd(state)?,
            name,
        })
    }
}
