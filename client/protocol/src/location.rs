//! Finds the socket, the configuration, the log folder and AWS's files. Except for the two `main.rs`, this is the only
//! place that reads environment variables.
//!
//! The socket lies in the first usable folder of these: `$XDG_RUNTIME_DIR`, `/run/user/UID` (cron and sudo unset the
//! variable), the user's state folder. It never lies under a predictable name in `/tmp`, where another user could
//! create it first.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

/// The name of the folder that holds the socket.
const SOCKET_FOLDER_NAME: &str = "rolecall";
/// The name of the socket.
const SOCKET_NAME: &str = "agent.sock";
/// The prefix of variables that the daemon has for the programs that it runs and not for itself. They survive a restart.
pub const SHELL_PREFIX: &str = "ROLECALL_SHELL_";
/// The folder beside the socket that holds the kubeconfigs of `rolecall shell` and `rolecall exec`.
const KUBECONFIGS_FOLDER_NAME: &str = "kubeconfigs";
/// The variable with the profile of `rolecall shell` and `rolecall exec`, for their child processes.
pub const PROFILE_VARIABLE: &str = "ROLECALL_PROFILE";
/// The variable with how many `rolecall shell` processes there are around a process.
pub const SHELL_LEVEL_VARIABLE: &str = "ROLECALL_SHELL";
/// The variable with the `KUBECONFIG` outside of `rolecall shell` and `rolecall exec`.
pub const OUTER_KUBECONFIG_VARIABLE: &str = "ROLECALL_OUTER_KUBECONFIG";
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

/// Returns the value of `KUBECONFIG`, if it is set and not empty. Inside `rolecall shell` and `rolecall exec`, it is the
/// value outside of them, since their own kubeconfig is removed.
pub fn kubeconfig() -> Option<OsString> {
    match private_kubeconfig() {
        Some(_) => variable(OUTER_KUBECONFIG_VARIABLE),
        None => variable("KUBECONFIG"),
    }
}

/// Returns the kubeconfig of the `rolecall shell` or `rolecall exec` in which this process runs. `None` elsewhere, and if
/// `KUBECONFIG` was set to another file since.
pub fn private_kubeconfig() -> Option<PathBuf> {
    let path = PathBuf::from(variable("KUBECONFIG")?);
    (path.parent()?.parent()? == kubeconfigs_folder().ok()?).then_some(path)
}

/// Returns the folder with a folder for each process that has its own kubeconfig. It lies beside the socket.
///
/// # Errors
/// Those of [`socket`].
pub fn kubeconfigs_folder() -> Result<PathBuf, LocationError> {
    Ok(socket()?.with_file_name(KUBECONFIGS_FOLDER_NAME))
}

/// Returns the profile of the `rolecall shell` or `rolecall exec` in which this process runs.
pub fn profile() -> Option<crate::ProfileName> {
    variable(PROFILE_VARIABLE)?.to_str()?.parse().ok()
}

/// Returns how many `rolecall shell` processes there are around this process.
pub fn shell_level() -> u32 {
    variable(SHELL_LEVEL_VARIABLE).and_then(|level| level.to_str()?.parse().ok()).unwrap_or(0)
}

/// Returns the value of `KUBERNETES_EXEC_INFO`, if it is set and not empty. [`crate::ExecInfo`] parses it.
pub fn exec_info() -> Option<OsString> {
    variable(crate::EXEC_INFO_VARIABLE)
}

/// Returns the entry key in `ROLECALL_ENTRY_KEY`, which a kubeconfig entry sets. `None` without a well-formed key.
pub fn entry_key() -> Option<crate::EntryKey> {
    let text = variable(crate::ENTRY_KEY_VARIABLE)?.into_string().ok()?;
    crate::Secret::new(text).expose().parse().ok()
}

/// Returns whether `ROLECALL_NO_PROMPT` is set to anything but `0`: then the plugin never prompts.
pub fn no_prompt() -> bool {
    variable("ROLECALL_NO_PROMPT").is_some_and(|value| value != "0")
}

/// Returns `ROLECALL_LOG_LEVEL`, the log level of a daemon without a level in its arguments.
pub fn log_level() -> Option<String> {
    variable("ROLECALL_LOG_LEVEL").and_then(|level| level.into_string().ok())
}

/// Returns the paths of AWS's configuration file and credentials file: `AWS_CONFIG_FILE` and
/// `AWS_SHARED_CREDENTIALS_FILE`, or else `~/.aws/config` and `~/.aws/credentials`. Other `AWS_*` variables, which
/// choose an identity, are ignored.
///
/// # Errors
/// `OtherHome` if a variable starts with the home folder of another user, `NoHome` if there is no home folder.
pub fn aws_files() -> Result<(PathBuf, PathBuf), LocationError> {
    let place = |name: &'static str, default: &str| match variable(name).map(|value| expand_aws_path(&value)) {
        Some(path) if path.as_bytes().starts_with(b"~") => Err(LocationError::OtherHome(name)),
        Some(path) => std::path::absolute(path).map_err(LocationError::NoCurrentFolder),
        None => Ok(home()?.join(".aws").join(default)),
    };
    Ok((place("AWS_CONFIG_FILE", "config")?, place("AWS_SHARED_CREDENTIALS_FILE", "credentials")?))
}

/// Expands `$NAME` and `${NAME}`, and then `~` at the start, as the AWS CLI does in the two variables with paths. A variable
/// that is not set stays as it is, and so does the home folder of another user (`~NAME`).
#[must_use]
pub fn expand_aws_path(path: &OsStr) -> OsString {
    let Some(text) = path.to_str() else { return path.to_owned() };
    #[allow(clippy::disallowed_methods)] // a variable that is set to nothing counts here
    let expanded = expand_variables(text, |name| env::var(name).ok());
    match (expanded.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')), home()) {
        (Some(rest), Ok(home)) => {
            let mut path = home.into_os_string();
            path.push(rest);
            path
        }
        _ => expanded.into(),
    }
}

/// Replaces `$NAME` and `${NAME}` by the values of variables (Python's `os.path.expandvars`).
fn expand_variables(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('$') {
        let (before, variable) = rest.split_at(start);
        let after = &variable[1..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let braced = after.strip_prefix('{').and_then(|braced| braced.find('}'));
        let (name, end) = if let Some(length) = braced {
            (&after[1..=length], length + 3)
        } else {
            let length = after.find(|c| !is_word(c)).unwrap_or(after.len());
            (&after[..length], length + 1)
        };
        expanded.push_str(before);
        match value_of(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&variable[..end]),
        }
        rest = &variable[end..];
    }
    expanded + rest
}

/// Returns `~/.aws`, where AWS's tools keep logins regardless of those two variables.
pub fn aws_folder() -> Result<PathBuf, LocationError> {
    Ok(home()?.join(".aws"))
}

/// Returns whether a daemon that starts in the background inherits the environment variable `name`. Other variables of
/// the shell are removed: the daemon also serves other terminals, and the `AWS_*` variables of one terminal must not
/// choose their identity. `TZ` would shift `allowed_hours`.
pub fn daemon_inherits(name: &str) -> bool {
    const INHERITED: &[&str] = &[
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TMPDIR",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "GNUPGHOME",
        "PASSWORD_STORE_DIR",
        "SSH_AUTH_SOCK",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
    ];
    // A secret of one kubeconfig entry, and what belongs to one terminal.
    let not_inherited = [crate::ENTRY_KEY_VARIABLE, PROFILE_VARIABLE, SHELL_LEVEL_VARIABLE, OUTER_KUBECONFIG_VARIABLE];
    if not_inherited.contains(&name) {
        return false;
    }
    INHERITED.contains(&name) || ["XDG_", "LC_", "ROLECALL_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the environment of the shell that started this daemon, without the variables that hold credentials. The daemon
/// keeps variables that would change what it does itself under another name, see [`SHELL_PREFIX`].
#[allow(clippy::disallowed_methods)] // the one place that reads variables
pub fn shell_variables() -> Vec<(OsString, OsString)> {
    let original =
        |(name, value): (OsString, OsString)| match name.to_str().and_then(|it| it.strip_prefix(SHELL_PREFIX)) {
            Some(name) => (name.into(), value),
            None => (name, value),
        };
    env::vars_os().map(original).collect()
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

#[allow(clippy::disallowed_methods)] // the one place that reads variables
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the folders with their problems as one line: `/run/user/7 (not a folder), ~ (entity not found)`.
pub fn join_problems(rejected: &[(PathBuf, FolderProblem)]) -> String {
    rejected.iter().map(|(path, problem)| format!("{} ({problem})", path.display())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_variables_as_the_aws_cli_does() {
        let value_of = |name: &str| match name {
            "HOME" => Some("/home/ana".to_owned()),
            "A_1" => Some("x$HOME".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("$HOME/config", "/home/ana/config"),
            ("${HOME}/config", "/home/ana/config"),
            ("/a/$A_1-$EMPTY.", "/a/x$HOME-."),
            ("$UNSET/${UNSET}/$", "$UNSET/${UNSET}/$"),
            ("${HOME/$HOME", "${HOME//home/ana"),
            ("$$HOME", "$/home/ana"),
            ("${}", "${}"),
        ] {
            assert_eq!(expand_variables(text, value_of), expected, "{text}");
        }
    }

    #[test]
    fn daemon_inherits_no_identity_secret_or_time_zone() {
        assert!(["HOME", "XDG_RUNTIME_DIR", "ROLECALL_CONFIG", "LC_ALL"].iter().all(|name| daemon_inherits(name)));
        for name in
            ["AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", crate::ENTRY_KEY_VARIABLE, PROFILE_VARIABLE, "TZ", "LD_PRELOAD"]
        {
            assert!(!daemon_inherits(name), "{name}");
        }
    }

    #[test]
    fn expand_aws_path_home_of_this_user_only() {
        let home = home().unwrap();
        for (path, expected) in [
            ("~/config", home.join("config").into_os_string()),
            ("~", home.clone().into_os_string()),
            ("~ana/config", "~ana/config".into()),
            ("a/~", "a/~".into()),
        ] {
            assert_eq!(expand_aws_path(OsStr::new(path)), expected, "{path}");
        }
    }
}
