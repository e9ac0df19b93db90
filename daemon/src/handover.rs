//! Restarting without a loss: the process runs its program anew, as the file is by then, and hands it what must not be
//! lost: the listener with every connection that waits in it, the lock, and the state in a sealed piece of memory (B14).
//!
//! Nothing touches a disk or the environment. File descriptors stay open over the exec, and one hidden argument, the
//! [`FdArgs`], says which they are.

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

/// The argument that carries the [`FdArgs`].
pub const FLAG: &str = "--handover";
/// What a rolecalld says first to `--version`.
const NAME: &[u8] = b"rolecalld ";
/// How long it may take to say so.
const VERSION: Duration = Duration::from_secs(2);
/// And how much of what it says is read, in bytes.
const MOST: u64 = 256;

/// The program that this process runs: as it was started, not as it is, so that a file that was replaced is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    /// What it is called first, then its arguments, without a fd_args.
    arguments: Vec<OsString>,
}

/// What one run of the program leaves to the next.
#[derive(Debug)]
pub struct HandoverState {
    /// How often the process has run its program anew, the next time included.
    pub restarts: u32,
    /// Listens.
    pub listener: OwnedFd,
    /// Is locked.
    pub lock: OwnedFd,
    /// Holds the state, sealed.
    pub state: OwnedFd,
    /// The device and inode of the socket's name; `None` where a service manager owns it.
    pub name: Option<(u64, u64)>,
}

/// Why a program is not one to become.
#[derive(Debug, thiserror::Error)]
pub enum ProgramCheckError {
    /// It cannot be started.
    #[error("{} cannot be started ({cause})", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// It says nothing.
    #[error("{} has not told its version within {} s", .0.display(), VERSION.as_secs())]
    Slow(PathBuf),
    /// It fails.
    #[error("{} does not run ({status})", path.display())]
    Failed {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// It is something else.
    #[error("{} is not rolecalld", .0.display())]
    Stranger(PathBuf),
}

/// Why a state cannot be passed on, or is not one that was.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is too large.
    #[error("it has {0} bytes")]
    Large(u64),
    /// Somebody could have changed it, or still could.
    #[error("it is not sealed")]
    Open,
    /// The system refused a step.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Program {
    /// The program of this process, by the path and the arguments it was started with. `None` where a process cannot
    /// hand itself over. Call it before anything changes the folder: the path may be a relative one.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Some(Self::new(system::path()?, std::env::args_os()))
    }

    fn new(path: PathBuf, arguments: impl Iterator<Item = OsString>) -> Self {
        let mut kept = Vec::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if argument == FLAG {
                arguments.next(); // of the handover that brought us here
            } else {
                kept.push(argument);
            }
        }
        Self { path, arguments: kept }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure, before anything is given up, that the program runs, is a rolecalld, and knows every argument that it
    /// would get: one of before may not know what a handover is.
    pub async fn check(&self) -> Result<(), ProgramCheckError> {
        let cannot_start = |cause| ProgramCheckError::Start { path: self.path.clone(), cause };
        let mut command = tokio::process::Command::new(&self.path);
        command.args(self.with(&FdArgs::EXAMPLE).into_iter().skip(1)).arg("--version");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let run = async {
            let mut child = command.spawn().map_err(cannot_start)?;
            let mut said = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(MOST).read_to_end(&mut said).await.map_err(cannot_start)?;
            }
            match child.wait().await.map_err(cannot_start)? {
                status if !status.success() => Err(ProgramCheckError::Failed { path: self.path.clone(), status }),
                _ if !said.starts_with(NAME) => Err(ProgramCheckError::Stranger(self.path.clone())),
                _ => Ok(()),
            }
        };
        tokio::time::timeout(VERSION, run).await.unwrap_or_else(|_| Err(ProgramCheckError::Slow(self.path.clone())))
    }

    /// Becomes that program. Returns only if that fails, and then nothing has changed.
    pub fn replace_this(&self, state: &HandoverState) -> io::Error {
        match system::exec(&self.path, &self.with(&FdArgs::of(state)), state) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// The arguments of a run that takes over.
    fn with(&self, fd_args: &FdArgs) -> Vec<OsString> {
        self.arguments.iter().cloned().chain([FLAG.into(), fd_args.to_string().into()]).collect()
    }
}

impl ProgramCheckError {
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(ErrorCode::RestartRefused, format!("the agent goes on as it is, since {self}"))
            .hint("Install rolecalld there again; or stop the agent, which gives its sessions up: rolecall agent stop")
    }
}

/// Puts a state where the next run finds it: memory of its own, which nobody can change any more, we neither.
pub fn seal(state: &Secret<Vec<u8>>) -> Result<OwnedFd, StateError> {
    system::seal(state)
}

/// Reads what [`seal`] has put there.
pub fn unseal(state: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    system::unseal(state)
}

#[cfg(test)]
mod tests;
