//! Restart without loss (B14): the process executes its program again, which may be a newer file, and passes on the listener with
//! the connections that wait in it, the lock, and the state in sealed memory.
//!
//! Nothing is written to a disk or the environment. The file descriptors stay open over the exec, and hidden arguments have their
//! numbers, the [`FdArgs`], and the program's path.
//!
//! Other processes of the user cannot open the state: the process is closed to them before, during and after the exec. A program
//! that other users can replace is not executed, and the state depends on who else could have replaced it, see [`SnapshotScope`].

#[cfg(target_os = "linux")]
mod closed_program;
mod fd_args;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "linux")]
mod program_file;
#[cfg(target_os = "linux")]
mod sealed_memory;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as system;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode, Secret};
#[cfg(target_os = "linux")]
use rolecall_trusted_file::TrustError;
use tokio::io::AsyncReadExt;

use crate::services::snapshot::SnapshotScope;

pub use fd_args::{FdArgs, InvalidFdArgs};
#[cfg(target_os = "linux")]
pub use program_file::ProgramFileError;

/// The option that has the [`FdArgs`].
pub const HANDOVER_OPTION: &str = "--handover";
/// The option that has the path of the program: the kernel does not report it for a program that was executed by its descriptor.
pub const PROGRAM_OPTION: &str = "--program";
/// How the output of `rolecalld --version` begins.
const VERSION_PREFIX: &[u8] = b"rolecalld ";
/// How long `rolecalld --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes of its output are read.
const MAX_VERSION_BYTES: u64 = 256;

/// The program of this process, by the path it was started with, so that a restart runs a file that replaced it.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// The program's name and its arguments, without those of a handover.
    arguments: Vec<OsString>,
    /// What the ordered restart executes.
    next: Mutex<Option<CheckedProgram>>,
}

/// A program that [`Program::check`] has opened and run. The file at its path may have changed since.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems check no program"))]
pub struct CheckedProgram {
    file: OwnedFd,
    /// Whether the file is a copy in sealed memory.
    is_copy: bool,
    scope: SnapshotScope,
}

/// What one run of the program passes to the next. `S` is the snapshot: its bytes before the exec, its descriptor after it.
#[derive(Debug)]
pub struct HandoverState<S> {
    /// How often the process has restarted, including the next time.
    pub restarts: u32,
    /// The listener.
    pub listener: OwnedFd,
    /// The locked file.
    pub lock: OwnedFd,
    /// The snapshot.
    pub snapshot: S,
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
    /// The file cannot be opened, or other users can replace it.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    File(#[from] ProgramFileError),
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
    /// the path may be relative. `given` is the path that the process before the restart passed.
    #[must_use]
    pub fn of_this_process(given: Option<&Path>) -> Option<Self> {
        let started = system::path()?;
        Some(Self::new(given.map_or(started, Path::to_owned), std::env::args_os()))
    }

    fn new(path: PathBuf, arguments: impl Iterator<Item = OsString>) -> Self {
        let mut kept = Vec::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if argument == HANDOVER_OPTION || argument == PROGRAM_OPTION {
                arguments.next(); // the value, from the last restart
            } else {
                kept.push(argument);
            }
        }
        Self { path, arguments: kept, next: Mutex::default() }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks before a restart that other users cannot replace the program, that it runs, is rolecalld, and knows each argument that
    /// it would get: an older version may not know the handover.
    pub async fn check(&self) -> Result<CheckedProgram, ProgramCheckError> {
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = system::open(&path)?;
            Ok::<_, ProgramCheckError>((system::close(&opened), opened))
        });
        let failed =
            |error: tokio::task::JoinError| ProgramCheckError::Start { path: self.path.clone(), cause: error.into() };
        let (closed, opened) = opened.await.map_err(failed)??;
        let reason = match closed {
            Ok(closed) => match self.check_version(&closed).await {
                // A security module may forbid programs in memory.
                Err(ProgramCheckError::Start { cause, .. }) if cause.kind() == io::ErrorKind::PermissionDenied => cause,
                checked => return checked.map(|()| closed),
            },
            Err(cause) => cause,
        };
        let open = system::leave_open(opened);
        self.check_version(&open).await?;
        tracing::warn!(%reason, "next program cannot start closed to other processes of the user, no session kept");
        Ok(open)
    }

    async fn check_version(&self, program: &CheckedProgram) -> Result<(), ProgramCheckError> {
        let cannot_start = |cause| ProgramCheckError::Start { path: self.path.clone(), cause };
        let mut arguments = self.arguments_with(&FdArgs::EXAMPLE);
        arguments.push("--version".into());
        let mut command = system::command(program, &arguments).map_err(cannot_start)?;
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

    /// Sets what the ordered restart executes.
    pub fn set_next(&self, checked: CheckedProgram) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(checked);
    }

    /// Returns what the ordered restart executes, once.
    pub fn take_next(&self) -> Option<CheckedProgram> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Replaces this process by the checked program. Returns only if that fails, and then nothing has changed.
    pub fn replace_this(&self, checked: &CheckedProgram, state: &HandoverState<Secret<Vec<u8>>>) -> io::Error {
        match system::exec(checked, state, |snapshot| self.arguments_with(&FdArgs::of(state, snapshot))) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// Returns the arguments of the next run.
    fn arguments_with(&self, fd_args: &FdArgs) -> Vec<OsString> {
        let handover =
            [HANDOVER_OPTION.into(), fd_args.to_string().into(), PROGRAM_OPTION.into(), self.path.clone().into()];
        self.arguments.iter().cloned().chain(handover).collect()
    }
}

impl CheckedProgram {
    /// Returns which sessions it may get.
    #[must_use]
    pub const fn scope(&self) -> SnapshotScope {
        self.scope
    }
}

impl ProgramCheckError {
    /// Returns the error for the protocol.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let hint = match self {
            #[cfg(target_os = "linux")]
            Self::File(ProgramFileError::Untrusted(error @ TrustError::WritableByOthers { .. })) => error.advice(),
            _ => "Reinstall rolecalld, or stop the agent, which drops its sessions: rolecall agent stop".to_owned(),
        };
        ErrorBody::new(ErrorCode::RestartRefused, format!("the agent was not restarted: {self}")).hint(hint)
    }
}

/// Reads the snapshot that the run before stored in sealed memory.
pub fn unseal(snapshot: OwnedFd) -> Result<Secret<Vec<u8>>, StateError> {
    system::unseal(snapshot)
}

#[cfg(test)]
mod tests;
