//! Restart without loss (B14): the process executes its program again, which may be a newer file, and passes on the listener with
//! the connections that wait in it, the lock, and the state in sealed memory.
//!
//! Nothing is written to a disk or the environment. The file descriptors stay open over the exec, and one hidden argument, the
//! [`FdArgs`], has their numbers.

mod fd_args;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as system;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode, Secret};
use tokio::io::AsyncReadExt;

pub use fd_args::{FdArgs, InvalidFdArgs};

/// The option that has the [`FdArgs`].
pub const HANDOVER_OPTION: &str = "--handover";
/// How the output of `rolecalld --version` begins.
const VERSION_PREFIX: &[u8] = b"rolecalld ";
/// How long `rolecalld --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes of its output are read.
const MAX_VERSION_BYTES: u64 = 256;

/// The program of this process, by the path it was started with, so that a restart runs a file that replaced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    /// The program's name and its arguments, without [`FdArgs`].
    arguments: Vec<OsString>,
}

/// What one run of the program passes to the next.
#[derive(Debug)]
pub struct HandoverState {
    /// How often the process has restarted, including the next time.
    pub restarts: u32,
    /// The listener.
    pub listener: OwnedFd,
    /// The locked file.
    pub lock: OwnedFd,
    /// The snapshot, in sealed memory.
    pub state: OwnedFd,
    /// The device and inode of the socket; `None` if a service manager owns its path.
    pub name: Option<(u64, u64)>,
}

/// Why a restart with this program is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProgramCheckError {
    /// The program cannot be started.
    #[error("{} cannot be started ({cause})", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// `--version` exceeded its timeout.
    #[error("{} did not report its version within {} s", .0.display(), VERSION_TIMEOUT.as_secs())]
    Slow(PathBuf),
    /// `--version` failed.
    #[error("{} does not run ({status})", path.display())]
    Failed {
        /// The program.
        path: PathBuf,
        /// Its exit status.
        status: ExitStatus,
    },
    /// The program is not rolecalld.
    #[error("{} is not rolecalld", .0.display())]
    NotRolecalld(PathBuf),
}

/// Why a state cannot be sealed or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state is too large.
    #[error("it has {0} bytes")]
    Large(u64),
    /// The memory is not sealed, so another process could have changed it.
    #[error("it is not sealed")]
    Open,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Program {
    /// Returns the program of this process, or `None` on systems without a handover. Call it before the working directory changes:
    /// the path may be relative.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Some(Self::new(system::path()?, std::env::args_os()))
    }

    fn new(path: PathBuf, arguments: impl Iterator<Item = OsString>) -> Self {
        let mut kept = Vec::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if argument == HANDOVER_OPTION {
                arguments.next(); // the value, from the last restart
            } else {
                kept.push(argument);
            }
        }
        Self { path, arguments: kept }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks before a restart that the program runs, is rolecalld, and knows each argument that it would get: an older version may
    /// not know the handover.
    pub async fn check(&self) -> Result<(), ProgramCheckError> {
        let cannot_start = |cause| ProgramCheckError::Start { path: self.path.clone(), cause };
        let mut command = tokio::process::Command::new(&self.path);
        command.args(self.arguments_with(&FdArgs::EXAMPLE).into_iter().skip(1)).arg("--version");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let run = async {
            let mut child = command.spawn().map_err(cannot_start)?;
            let mut output = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(MAX_VERSION_BYTES).read_to_end(&mut output).await.map_err(cannot_start)?;
            }
            match child.wait().await.map_err(cannot_start)? {
                status if !status.success() => Err(ProgramCheckError::Failed { path: self.path.clone(), status }),
                _ if !output.starts_with(VERSION_PREFIX) => Err(ProgramCheckError::NotRolecalld(self.path.clone())),
                _ => Ok(()),
            }
        };
        tokio::time::timeout(VERSION_TIMEOUT, run)
            .await
            .unwrap_or_else(|_| Err(ProgramCheckError::Slow(self.path.clone())))
    }

    /// Replaces this process by the program. Returns only if that fails, and then nothing has changed.
    pub fn replace_this(&self, state: &HandoverState) -> io::Error {
        match system::exec(&self.path, &self.arguments_with(&FdArgs::of(state)), state) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// Returns the arguments of the next run.
    fn arguments_with(&self, fd_args: &FdArgs) -> Vec<OsString> {
        self.arguments.iter().cloned().chain([HANDOVER_OPTION.into(), fd_args.to_string().into()]).collect()
    }
}

impl ProgramCheckError {
    /// Returns the error for the protocol.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(ErrorCode::RestartRefused, format!("the agent was not restarted: {self}"))
            .hint("Reinstall rolecalld, or stop the agent, which drops its sessions: rolecall agent stop")
    }
}

/// Stores a state in sealed memory for the next run. No process can change it, this one included.
pub fn seal(state: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    system::seal(state)
}

/// Reads a state that [`seal`] stored.
pub fn unseal(state: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    system::unseal(state)
}

#[cfg(test)]
mod tests;
