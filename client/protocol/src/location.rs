//! Finds the socket, the configuration, the log folder and AWS's files. Except for the two `main.rs`, this module is the
//! only place that reads environment variables.
//!
//! The socket lies in the first usable folder of these: `$XDG_RUNTIME_DIR`, `/run/user/UID` (cron and sudo unset the
//! variable), the user's state folder. It never lies under a predictable name in `/tmp`, where another user could
//! create it first.

mod aws_files;
mod variables;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

pub use aws_files::{aws_files, aws_folder, expand_aws_path};
use variables::variable;
pub use variables::{
    CREDENTIAL_VARIABLES, OUTER_KUBECONFIG_VARIABLE, PROFILE_VARIABLE, SHELL_LEVEL_VARIABLE, SHELL_PREFIX,
    daemon_inherits, entry_key, exec_info, kubeconfig, log_level, no_prompt, private_kubeconfig, profile, shell_level,
    shell_variables,
};

/// The name of the folder that holds the socket.
const SOCKET_FOLDER_NAME: &str = "rolecall";
/// The name of the socket.
const SOCKET_NAME: &str = "agent.sock";
/// The folder beside the socket that holds the kubeconfigs of `rolecall shell` and `rolecall exec`.
const KUBECONFIGS_FOLDER_NAME: &str = "kubeconfigs";
/// The length limit of a Unix socket's address, in bytes without the terminating zero (`sun_path`).
const MAX_SOCKET_ADDRESS_BYTES: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// Why a file or folder could not be located.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// `ROLECALL_SOCKET` cannot be used.
    #[error("ROLECALL_SOCKET is {0}")]
    Override(&'static str),
    /// No candidate for the socket's folder is usable.
    #[error("no usable runtime folder: {}", join_problems(.0))]
    NoRuntimeFolder(Vec<(PathBuf, FolderProblem)>),
    /// A variable with the path of one of AWS's files cannot be used.
    #[error("{0} names the home folder of another user; write its path instead of ~NAME")]
    OtherHome(&'static str),
    /// `HOME` is not set. The password database is not asked: a static program cannot use NSS, which loads libraries.
    #[error("HOME is not set")]
    NoHome,
    /// `HOME` is relative.
    #[error("HOME is not an absolute path: {}", .0.display())]
    RelativeHome(PathBuf),
    /// A relative path cannot be made absolute.
    #[error("cannot find the current folder: {0}")]
    NoCurrentFolder(io::Error),
}

/// Why a folder is not usable for the socket.
#[derive(Debug, thiserror::Error)]
pub enum FolderProblem {
    /// Reading its metadata failed. Usually it does not exist.
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    /// It is not a folder, or it is a symbolic link.
    #[error("not a folder")]
    NotAFolder,
    /// Another user owns it.
    #[error("owned by uid {0}")]
    Owner(u32),
    /// Its mode gives other users access.
    #[error("open to others (mode {0:04o}, it has to be 0700)")]
    Mode(u32),
    /// The socket's path would be too long.
    #[error("path of {0} bytes, {MAX_SOCKET_ADDRESS_BYTES} are possible on this system")]
    TooLong(usize),
    /// The path is relative.
    #[error("not absolute")]
    Relative,
}

/// Returns the path of the socket: `ROLECALL_SOCKET`, or else a path in the first usable folder.
///
/// The parent folder of the path may not exist yet. The caller checks it with [`check_private_folder`] before use.
///
/// # Errors
/// `Override` if `ROLECALL_SOCKET` is relative or, on other systems than Linux, too long, `NoHome` or `RelativeHome` if only the state folder is left
/// and `HOME` does not name one, `NoRuntimeFolder` if no folder is usable.
pub fn socket() -> Result<PathBuf, LocationError> {
    if let Some(path) = variable("ROLECALL_SOCKET") {
        let path = PathBuf::from(path);
        return match () {
            () if !path.is_absolute() => Err(LocationError::Override("not an absolute path")),
            () if !fits(&path) => Err(LocationError::Override("too long for a socket on this system")),
            () => Ok(path),
        };
    }
    let mut rejected = Vec::new();
    for base in runtime_bases() {
        match usable_base(&base) {
            Ok(path) => return Ok(path),
            Err(problem) => rejected.push((base, problem)),
        }
    }
    // The daemon creates this folder with mode 0700 in the user's home folder, so there is nothing to check yet.
    let state = state_folder()?;
    let path = state.join("run").join(SOCKET_NAME);
    if fits(&path) {
        return Ok(path);
    }
    rejected.push((state, FolderProblem::TooLong(path.as_os_str().len())));
    Err(LocationError::NoRuntimeFolder(rejected))
}

/// The address of a socket for `bind` and `connect`. A path that is too long for an address is reached through the descriptor of its
/// folder (Linux).
#[derive(Debug)]
pub struct SocketAddress {
    path: PathBuf,
    #[expect(dead_code, reason = "the address has its number")]
    folder: Option<OwnedFd>,
}

impl SocketAddress {
    /// Returns the address of the socket at `path`.
    ///
    /// # Errors
    /// The error of the system if the path is long and its folder cannot be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Self { path: path.to_owned(), folder: None });
        };
        if path.as_os_str().len() <= MAX_SOCKET_ADDRESS_BYTES || !cfg!(target_os = "linux") {
            return Ok(Self { path: path.to_owned(), folder: None });
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, rustix::fs::Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, folder: Some(folder) })
    }

    /// Returns the path for the system call. It is valid as long as this value exists.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns whether `ROLECALL_SOCKET` names the socket.
pub fn names_socket() -> bool {
    variable("ROLECALL_SOCKET").is_some()
}

/// Returns the path of the configuration: `ROLECALL_CONFIG`, or else `config.toml` in the platform's configuration
/// folder.
pub fn config() -> Result<PathBuf, LocationError> {
    match variable("ROLECALL_CONFIG") {
        Some(path) => std::path::absolute(PathBuf::from(path)).map_err(LocationError::NoCurrentFolder),
        None => default_config(),
    }
}

/// Returns the path of the user's own configuration: `config.toml` in the platform's configuration folder, whatever
/// `ROLECALL_CONFIG` says.
pub fn default_config() -> Result<PathBuf, LocationError> {
    Ok(platform_folder("XDG_CONFIG_HOME", ".config")?.join("config.toml"))
}

/// Returns Rolecall's folder in the platform's state folder, which holds the logs.
pub fn state_folder() -> Result<PathBuf, LocationError> {
    platform_folder("XDG_STATE_HOME", ".local/state")
}

/// Returns the path of the audit log. A full log is renamed to [`old_log`] of this path.
pub fn audit_log() -> Result<PathBuf, LocationError> {
    Ok(state_folder()?.join("audit.jsonl"))
}

/// Returns the path of the file with the context before the current one.
pub fn previous_context() -> Result<PathBuf, LocationError> {
    Ok(state_folder()?.join("previous-context"))
}

/// Returns the path of the file, beside the socket, that the daemon writes for prompts: see [`crate::PromptState`].
#[must_use]
pub fn prompt_state(socket: &Path) -> PathBuf {
    socket.with_extension("state")
}

/// Returns the path that a log has after it was full: its own path and `.old`.
#[must_use]
pub fn old_log(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".old");
    path.into()
}

/// Returns the user's home folder: the value of `HOME`.
///
/// # Errors
/// `NoHome` if the variable is unset or empty, `RelativeHome` if its path is relative.
pub fn home() -> Result<PathBuf, LocationError> {
    match variable("HOME").map(PathBuf::from) {
        Some(home) if home.is_absolute() => Ok(home),
        Some(home) => Err(LocationError::RelativeHome(home)),
        None => Err(LocationError::NoHome),
    }
}

/// Returns Rolecall's folder in a base folder: that of the variable (XDG Base Directory Specification, which ignores a
/// relative path), or else `default` in the home folder. On macOS all of them are in `~/Library/Application Support`.
fn platform_folder(name: &str, default: &str) -> Result<PathBuf, LocationError> {
    let home = home()?;
    if cfg!(target_os = "macos") {
        return Ok(home.join("Library/Application Support/rolecall"));
    }
    let base = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(base.unwrap_or_else(|| home.join(default)).join("rolecall"))
}

/// Returns the folder with a folder for each process that has its own kubeconfig. It lies beside the socket.
///
/// # Errors
/// Those of [`socket`].
pub fn kubeconfigs_folder() -> Result<PathBuf, LocationError> {
    Ok(socket()?.with_file_name(KUBECONFIGS_FOLDER_NAME))
}

/// Checks that a folder belongs to the user and that no other user has access to it. Does not follow a symbolic link.
///
/// # Errors
/// The first [`FolderProblem`] that applies.
pub fn check_private_folder(path: &Path) -> Result<(), FolderProblem> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(FolderProblem::NotAFolder);
    }
    if found.uid() != own_uid() {
        return Err(FolderProblem::Owner(found.uid()));
    }
    match found.mode() & 0o777 {
        mode if mode & !0o700 == 0 => Ok(()),
        mode => Err(FolderProblem::Mode(mode)),
    }
}

/// Returns the effective user id of this process. Asks the system once.
pub fn own_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(|| rustix::process::geteuid().as_raw())
}

fn runtime_bases() -> impl Iterator<Item = PathBuf> {
    let user_folder = cfg!(target_os = "linux").then_some(|| PathBuf::from(format!("/run/user/{}", own_uid())));
    variable("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain(user_folder.map(|path| path()))
}

fn usable_base(base: &Path) -> Result<PathBuf, FolderProblem> {
    if !base.is_absolute() {
        return Err(FolderProblem::Relative);
    }
    check_private_folder(base)?;
    let path = base.join(SOCKET_FOLDER_NAME).join(SOCKET_NAME);
    if fits(&path) { Ok(path) } else { Err(FolderProblem::TooLong(path.as_os_str().len())) }
}

/// Whether a socket can have this path.
fn fits(path: &Path) -> bool {
    cfg!(target_os = "linux") || path.as_os_str().len() <= MAX_SOCKET_ADDRESS_BYTES
}

/// Returns the folders with their problems as one line: `/run/user/7 (not a folder), ~ (entity not found)`.
pub fn join_problems(rejected: &[(PathBuf, FolderProblem)]) -> String {
    rejected.iter().map(|(path, problem)| format!("{} ({problem})", path.display())).collect::<Vec<_>>().join(", ")
}
