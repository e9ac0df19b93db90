//! Finds and reads the kubeconfig files that kubectl uses.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::KubeconfigError;
use super::model::{self, Value};
use super::schema;
use crate::files::atomic_file::{self, Original};
use crate::files::error::FileError;

/// The size limit of a kubeconfig, in bytes.
pub(super) const MAX_KUBECONFIG_BYTES: u64 = 16 * 1024 * 1024;

/// The kubeconfig files, in the order in which kubectl reads them.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    pub(super) timeouts: LockTimeouts,
}

/// How long [`Locks`](super::lock::Locks) waits for other programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockTimeouts {
    /// For other `rolecall` processes. Each holds its lock for milliseconds, and the kernel releases it after a crash.
    pub(super) rolecall: Duration,
    /// For kubectl, whose lock file stays after a crash.
    pub(super) kubectl: Duration,
    /// The age from which kubectl's lock file counts as left behind by a crash.
    pub(super) stale_after: Duration,
}

/// A kubeconfig file as it was read.
#[derive(Debug)]
pub(super) struct LoadedFile {
    /// The path in `KUBECONFIG`. kubectl creates its lock file beside this path, even if it is a symbolic link.
    pub(super) listed: PathBuf,
    pub(super) original: Original,
    pub(super) model: Value,
}

impl Files {
    /// Returns the files that kubectl uses with this `KUBECONFIG` and this home folder: the list in the variable
    /// without empty and repeated items, or else `~/.kube/config` (client-go, tools/clientcmd/loader.go,
    /// `NewDefaultClientConfigLoadingRules`).
    ///
    /// # Errors
    /// `EmptyList` if the variable has only separators, `NoHome` if neither is given.
    pub(crate) fn from_env(kubeconfig: Option<&OsStr>, home: Option<&Path>) -> Result<Files, KubeconfigError> {
        let paths = match kubeconfig.filter(|list| !list.is_empty()) {
            Some(list) => {
                let mut paths: Vec<PathBuf> = Vec::new();
                for item in list.as_bytes().split(|byte| *byte == b':').filter(|item| !item.is_empty()) {
                    let path = absolute(Path::new(OsStr::from_bytes(item)))?;
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
                paths
            }
            None => vec![home.ok_or(KubeconfigError::NoHome)?.join(".kube/config")],
        };
        if paths.is_empty() {
            return Err(KubeconfigError::EmptyList);
        }
        Ok(Files { paths, timeouts: LockTimeouts::default() })
    }

    /// Returns one file, as with `kubectl --kubeconfig FILE`.
    pub(crate) fn one(path: &Path) -> Result<Files, KubeconfigError> {
        Ok(Files { paths: vec![absolute(path)?], timeouts: LockTimeouts::default() })
    }

    /// Returns these files, which are absolute paths, in order.
    pub(crate) fn of_paths(paths: Vec<PathBuf>) -> Files {
        Files { paths, timeouts: LockTimeouts::default() }
    }

    /// Returns the paths, in order.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads and parses all files. A file that is listed again under another name is read once: kubectl finds nothing new
    /// in it either.
    pub(super) fn load(&self) -> Result<Vec<LoadedFile>, KubeconfigError> {
        let mut seen = HashSet::new();
        let is_first = |path: &&PathBuf| path.metadata().map_or(true, |found| seen.insert((found.dev(), found.ino())));
        self.paths.iter().filter(is_first).map(|path| LoadedFile::read(path)).collect()
    }
}

impl LoadedFile {
    fn read(listed: &Path) -> Result<LoadedFile, KubeconfigError> {
        let original = atomic_file::read_unicode(listed, MAX_KUBECONFIG_BYTES)?;
        let model = model::parse(listed, &original.text)?;
        schema::check(&model)
            .map_err(|problem| KubeconfigError::NotAKubeconfig { path: listed.to_owned(), problem })?;
        Ok(LoadedFile { listed: listed.to_owned(), original, model })
    }
}

/// Returns the index of the file that gets new entries and the current context: the first that exists, or else the last
/// (client-go, tools/clientcmd/config.go, `PathOptions.GetDefaultFilename` and `writeCurrentContext`).
pub(super) fn default_index(files: &[LoadedFile]) -> usize {
    files.iter().position(|file| file.original.exists()).unwrap_or(files.len().saturating_sub(1))
}

fn absolute(path: &Path) -> Result<PathBuf, KubeconfigError> {
    std::path::absolute(path).map_err(|source| FileError::Io { path: path.to_owned(), verb: "find", source }.into())
}

impl Default for LockTimeouts {
    fn default() -> Self {
        Self { rolecall: Duration::from_secs(10), kubectl: Duration::from_secs(2), stale_after: Duration::from_mins(1) }
    }
}
