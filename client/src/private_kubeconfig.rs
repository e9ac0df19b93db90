//! The kubeconfig of one process: the profile's own context and nothing else, for `rolecall shell` and `rolecall exec`.
//!
//! `KUBECONFIG` of the process names this file alone, not a list with the user's files: kubectl merges a list, so every
//! other context would be a `--context` or a `kubectl config use-context` away, and both commands would write into the
//! user's files and switch all other terminals. With one context, a command meant for this cluster cannot reach another.
//!
//! The file lies in a folder with the process id of the program, and on Linux with the id of its PID namespace before it, in the
//! private folder of the socket, with mode 0600. Programs in other PID namespaces (containers, sandboxes) may share that folder. It is a
//! copy of the user's own entries ([`kubeconfig::extract()`]), so that the pin and the entry key hold. The program replaces
//! this process ([`crate::terminal::child`]), so nothing runs at its end: the next start removes the folders of processes
//! that have ended. A process id that was given to another process keeps its folder until that one ends.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolecall_protocol::{Hint, Namespace, ProfileName, join_sentences, location, sanitize_for_terminal, similar_names};
use rustix::process::{Pid, test_kill_process};

use crate::config_file::ConfigFile;
use crate::error::{CliError, Exit};
use crate::files::atomic_file::{self, Backup};
use crate::files::error::FileError;
use crate::files::names::folder_of;
use crate::kubeconfig::context_entry::files;
use crate::kubeconfig::{self, Extract, Files, KubeconfigError};

/// The file in the folder of the process.
const FILE_NAME: &str = "config";
/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The kubeconfig of this process and of the program that replaces it.
#[derive(Debug)]
pub(crate) struct PrivateKubeconfig {
    profile: ProfileName,
    /// Its path.
    pub(crate) path: PathBuf,
    /// The namespace of its context, if it has one.
    pub(crate) namespace: Option<String>,
    /// The `KUBECONFIG` outside.
    outer: OsString,
}

impl PrivateKubeconfig {
    /// Writes the kubeconfig of a profile for this process, with `namespace` or the namespace of the user's own context.
    /// Removes those of processes that have ended.
    ///
    /// # Errors
    /// If the profile or its context does not exist, or if the file cannot be written.
    pub(crate) fn create(profile: &ProfileName, namespace: Option<&Namespace>) -> Result<Self, CliError> {
        // Inside a shell of Rolecall these are the files outside of it, so that shells can be nested.
        let files = files(None)?;
        let namespace = namespace.map(Namespace::as_str);
        let Some(Extract { text, namespace }) = kubeconfig::extract(&files, profile.as_str(), namespace)? else {
            return Err(no_context(profile, &files));
        };
        let folder = location::kubeconfigs_folder()?;
        prepare_folder(&folder)?;
        remove_leftovers(&folder);
        let path = folder.join(folder_name(std::process::id())).join(FILE_NAME);
        write(&path, &text)?;
        let outer = std::env::join_paths(files.paths()).unwrap_or_default();
        Ok(Self { profile: profile.clone(), path, namespace, outer })
    }

    /// Sets the variables of the program: `KUBECONFIG` and `ROLECALL_PROFILE`, and the `KUBECONFIG` outside.
    pub(crate) fn set_variables(&self, command: &mut Command) {
        command
            .env("KUBECONFIG", &self.path)
            .env(location::PROFILE_VARIABLE, self.profile.as_str())
            .env(location::OUTER_KUBECONFIG_VARIABLE, &self.outer);
    }

    /// Writes a further file of the process beside the kubeconfig. Returns its path.
    pub(crate) fn write_beside(&self, name: &str, text: &str) -> Result<PathBuf, CliError> {
        let path = self.path.with_file_name(name);
        write(&path, text)?;
        Ok(path)
    }
}

/// Creates the folder, and checks that its parent, the folder of the socket, is the user's alone.
fn prepare_folder(folder: &Path) -> Result<(), CliError> {
    atomic_file::create_folder(folder).map_err(|error| KubeconfigError::File(error).into()).and_then(|()| {
        [folder_of(folder), folder].into_iter().try_for_each(|folder| {
            location::check_private_folder(folder).map_err(|problem| {
                CliError::new(
                    Exit::Failed,
                    format!("cannot keep a kubeconfig in {}: {problem}", folder.display()),
                    "Make it a folder of your own with mode 700, or set XDG_RUNTIME_DIR to one",
                )
            })
        })
    })
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let replace = || {
        let before = atomic_file::read(path, MAX_BYTES)?;
        atomic_file::replace(&before, text, Backup::None)
    };
    replace().map(|_| ()).map_err(|error: FileError| KubeconfigError::File(error).into())
}

/// The name of the folder of a process of this PID namespace.
fn folder_name(pid: u32) -> String {
    format!("{}{pid}", namespace_prefix())
}

/// What precedes the process id: the id of this PID namespace, where the system has such namespaces.
fn namespace_prefix() -> String {
    fs::metadata("/proc/self/ns/pid").map(|namespace| format!("{}-", namespace.ino())).unwrap_or_default()
}

/// Removes the folders of processes of this PID namespace that have ended. A folder that cannot be removed stays until the next
/// start.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let prefix = namespace_prefix();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok()).and_then(Pid::from_raw);
        if pid.is_some_and(has_ended) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether no process has this id. A process of another user counts as running.
fn has_ended(pid: Pid) -> bool {
    test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// The error for a profile without a context.
fn no_context(profile: &ProfileName, files: &Files) -> CliError {
    let known = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let known = known.map(|config| config.all_profile_names()).unwrap_or_default();
    if known.iter().any(|known| known == profile.as_str()) {
        let paths: Vec<_> = files.paths().iter().map(|path| path.display().to_string()).collect();
        return CliError::failed(
            format!("the profile {profile} has no context of Rolecall in {}", sanitize_for_terminal(&paths.join(", "))),
            Hint::command(format!("rolecall kubeconfig {profile}")),
        );
    }
    let alike = similar_names(profile.as_str(), known.iter().map(String::as_str));
    let hint = match alike.as_slice() {
        [] => "See the profiles with: rolecall list".to_owned(),
        alike => join_sentences(&format!("Did you mean {}?", alike.join(" or ")), None::<&str>),
    };
    CliError::failed(format!("there is no profile \"{profile}\""), hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn remove_leftovers_keeps_running_processes() {
        let folder = tempfile::tempdir().unwrap();
        let mut ended = Command::new("true").spawn().unwrap();
        let ended_pid = ended.id();
        ended.wait().unwrap();
        let names = [
            folder_name(std::process::id()),
            folder_name(ended_pid),
            "notes".to_owned(),
            folder_name(0),
            format!("1-{ended_pid}"), // of another PID namespace
        ];
        for name in &names {
            write(&folder.path().join(name).join(FILE_NAME), "x").unwrap();
        }
        remove_leftovers(folder.path());
        let is_left = names.each_ref().map(|name| folder.path().join(name).exists());
        assert_eq!(is_left, [true, false, true, true, true]);
    }

    #[test]
    fn prepare_folder_refuses_an_open_folder() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("run/kubeconfigs");
        prepare_folder(&folder).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        write(&folder.join("7").join(FILE_NAME), "x").unwrap();
        assert_eq!((mode(&folder.join("7")), mode(&folder.join("7/config"))), (0o700, 0o600));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(prepare_folder(&folder).unwrap_err().to_string().contains("open to others"));
    }
}
