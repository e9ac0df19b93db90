//! Where things live: the socket, the configuration, the logs. Beside the two `main.rs`, the only place that reads
//! environment variables.
//!
//! The socket's search order is S1 of the hardening requirements: `$XDG_RUNTIME_DIR`, then `/run/user/UID` (cron and
//! sudo have the former unset), then a folder of the user's own state. Never a predictable name in `/tmp`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The folder below a base that holds the socket.
const FOLDER: &str = "rolecall";
/// The socket in it.
const SOCKET: &str = "agent.sock";
/// The longest path of a Unix socket, in bytes without the terminating zero (`sun_path`).
pub const MAX_SOCKET_PATH: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// Why there is no place for the socket.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// `ROLECALL_SOCKET` cannot be used.
    #[error("ROLECALL_SOCKET is {0}")]
    Override(&'static str),
    /// None of the candidates passed.
    #[error("no usable runtime folder: {}", refusals(.0))]
    NoRuntimeFolder(Vec<(PathBuf, FolderProblem)>),
    /// Neither `HOME` nor the password database tells a home.
    #[error("no home folder: set HOME")]
    NoHome,
}

/// What is wrong with a folder that should be private.
#[derive(Debug, thiserror::Error)]
pub enum FolderProblem {
    /// It cannot be looked at; most often it does not exist.
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    /// It is something else, or a symbolic link.
    #[error("not a folder")]
    NotAFolder,
    /// It is somebody else's.
    #[error("owned by uid {0}")]
    Owner(u32),
    /// Others may enter it.
    #[error("open to others (mode {0:04o}, it has to be 0700)")]
    Mode(u32),
    /// The socket's path would be too long.
    #[error("path of {0} bytes, {MAX_SOCKET_PATH} are possible")]
    TooLong(usize),
    /// The path does not begin at the root.
    #[error("not absolute")]
    Relative,
}

/// Where the daemon listens, and where the client looks for it.
///
/// The base folder is checked; the folder in it ([`Path::parent`] of the answer) may not exist yet and is for
/// [`private_folder`] to judge.
pub fn socket() -> Result<PathBuf, LocationError> {
    if let Some(path) = variable("ROLECALL_SOCKET") {
        let path = PathBuf::from(path);
        return match () {
            () if !path.is_absolute() => Err(LocationError::Override("not an absolute path")),
            () if path.as_os_str().len() > MAX_SOCKET_PATH => Err(LocationError::Override("too long for a socket")),
            () => Ok(path),
        };
    }
    let mut refused = Vec::new();
    for base in runtime_bases() {
        match usable_base(&base) {
            Ok(path) => return Ok(path),
            Err(problem) => refused.push((base, problem)),
        }
    }
    match state_folder() {
        // Nothing to check yet: the daemon makes this one, privately, below the user's home.
        Ok(state) => {
            let path = state.join("run").join(SOCKET);
            let length = path.as_os_str().len();
            if length <= MAX_SOCKET_PATH {
                return Ok(path);
            }
            refused.push((state, FolderProblem::TooLong(length)));
        }
        Err(_) => refused.push((PathBuf::from("~"), FolderProblem::Io(io::ErrorKind::NotFound.into()))),
    }
    Err(LocationError::NoRuntimeFolder(refused))
}

/// The configuration: `ROLECALL_CONFIG`, else `config.toml` in the platform's configuration folder.
pub fn config() -> Result<PathBuf, LocationError> {
    if let Some(path) = variable("ROLECALL_CONFIG") {
        return std::path::absolute(PathBuf::from(path)).map_err(|_| LocationError::NoHome);
    }
    let folders = directories::ProjectDirs::from("", "", "rolecall").ok_or(LocationError::NoHome)?;
    Ok(folders.config_dir().join("config.toml"))
}

/// The folder for logs: the platform's state folder.
pub fn state_folder() -> Result<PathBuf, LocationError> {
    let folders = directories::ProjectDirs::from("", "", "rolecall").ok_or(LocationError::NoHome)?;
    Ok(folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_owned())
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

/// `KUBECONFIG` as it is.
pub fn kubeconfig() -> Option<OsString> {
    variable("KUBECONFIG")
}

/// What client-go told the plugin; see [`crate::ExecInfo`].
pub fn exec_info() -> Option<OsString> {
    variable(crate::EXEC_INFO_VARIABLE)
}

/// Whether the plugin is to ask nobody, whatever the terminal: `ROLECALL_NO_PROMPT`, unless it is `0`.
pub fn no_prompt() -> bool {
    variable("ROLECALL_NO_PROMPT").is_some_and(|value| value != "0")
}

/// How much a daemon logs that is not told by its arguments: `ROLECALL_LOG_LEVEL`.
pub fn log_level() -> Option<String> {
    variable("ROLECALL_LOG_LEVEL").and_then(|level| level.into_string().ok())
}

/// AWS's own files: `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/config` and
/// `~/.aws/credentials`. These two variables say where files are, not who the user is, so they are honoured.
pub fn aws_files() -> Result<(PathBuf, PathBuf), LocationError> {
    let place = |name: &str, default: &str| match variable(name) {
        Some(path) => std::path::absolute(path).map_err(|_| LocationError::NoHome),
        None => Ok(home().ok_or(LocationError::NoHome)?.join(".aws").join(default)),
    };
    Ok((place("AWS_CONFIG_FILE", "config")?, place("AWS_SHARED_CREDENTIALS_FILE", "credentials")?))
}

/// Where AWS's tools keep logins, whatever those variables say: `~/.aws`.
pub fn aws_logins() -> Result<PathBuf, LocationError> {
    Ok(home().ok_or(LocationError::NoHome)?.join(".aws"))
}

/// Whether `name` is a variable that a daemon started in the background keeps. Everything else of the caller's shell is
/// left behind: the daemon outlives it and serves others, and `AWS_*` of one terminal must not decide who they are.
pub fn daemon_keeps(name: &str) -> bool {
    const KEPT: &[&str] = &[
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "SHELL",
        "LANG",
        "TZ",
        "TMPDIR",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
    ];
    KEPT.contains(&name) || ["XDG_", "LC_", "ROLECALL_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a folder is the user's own and closed to everybody else (S2). Does not follow a symbolic link.
pub fn private_folder(path: &Path) -> Result<(), FolderProblem> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(FolderProblem::NotAFolder);
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(FolderProblem::Owner(found.uid()));
    }
    match found.mode() & 0o777 {
        mode if mode & !0o700 == 0 => Ok(()),
        mode => Err(FolderProblem::Mode(mode)),
    }
}

fn runtime_bases() -> impl Iterator<Item = PathBuf> {
    let own = format!("/run/user/{}", rustix::process::geteuid().as_raw());
    variable("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain(cfg!(target_os = "linux").then(|| own.into()))
}

fn usable_base(base: &Path) -> Result<PathBuf, FolderProblem> {
    if !base.is_absolute() {
        return Err(FolderProblem::Relative);
    }
    private_folder(base)?;
    let path = base.join(FOLDER).join(SOCKET);
    match path.as_os_str().as_bytes().len() {
        length if length <= MAX_SOCKET_PATH => Ok(path),
        length => Err(FolderProblem::TooLong(length)),
    }
}

#[allow(clippy::disallowed_methods)] // the one place that looks
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Each folder with what is wrong with it, as one line: `/run/user/7 (not a folder), ~ (not found)`.
pub fn refusals(refused: &[(PathBuf, FolderProblem)]) -> String {
    refused.iter().map(|(path, problem)| format!("{} ({problem})", path.display())).collect::<Vec<_>>().join(", ")
}
