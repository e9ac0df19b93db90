//! Which files kubectl reads, and which one it would write to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::KubeconfigError;
use super::model::{self, Kind, Value};
use crate::files::atomic_file::{self, FileError, Original};

/// The largest kubeconfig that is read.
const CAP: u64 = 16 * 1024 * 1024;

/// The kubeconfig files, in the order in which kubectl reads them.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    pub(super) waits: Waits,
}

/// How long to wait for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For other runs of rolecall, each of which takes milliseconds and whose locks die with them.
    pub(super) ours: Duration,
    /// For kubectl, whose lock is a file that outlives a crash.
    pub(super) kubectl: Duration,
    /// The age at which kubectl's lock is taken to be what a crash left behind.
    pub(super) stale: Duration,
}

/// One file as it is now.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The name under which kubectl knows it, and beside which it puts its lock.
    pub(super) listed: PathBuf,
    pub(super) original: Original,
    pub(super) model: Value,
}

impl Files {
    /// The files that kubectl uses with this `KUBECONFIG` and this home folder: the list in the variable, without
    /// empty items and repetitions, or else `~/.kube/config`
    /// (client-go, tools/clientcmd/loader.go, `NewDefaultClientConfigLoadingRules`).
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
        Ok(Files { paths, waits: Waits::default() })
    }

    /// One file alone, as with `kubectl --kubeconfig FILE`.
    pub(crate) fn one(path: &Path) -> Result<Files, KubeconfigError> {
        Ok(Files { paths: vec![absolute(path)?], waits: Waits::default() })
    }

    /// The files, in order.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The file that takes new entries and the current context, as an index: the first that exists, else the last
    /// (client-go, tools/clientcmd/config.go, `PathOptions.GetDefaultFilename` and `writeCurrentContext`).
    pub(super) fn default_index(&self) -> usize {
        self.paths.iter().position(|path| path.exists()).unwrap_or(self.paths.len() - 1)
    }

    /// Reads all of them.
    pub(super) fn load(&self) -> Result<Vec<Loaded>, KubeconfigError> {
        self.paths.iter().map(|path| Loaded::read(path)).collect()
    }
}

impl Loaded {
    fn read(listed: &Path) -> Result<Loaded, KubeconfigError> {
        let original = atomic_file::read(listed, CAP)?;
        let model = model::parse(listed, &original.text)?;
        Ok(Loaded { listed: listed.to_owned(), original, model })
    }
}

/// The named entry's place in its list. Twice the same name is an error, as it is for client-go.
pub(super) fn find(path: &Path, model: &Value, kind: Kind, name: &str) -> Result<Option<usize>, KubeconfigError> {
    let items = model.get(kind.list()).map(Value::items).unwrap_or_default();
    let mut places = items.iter().enumerate().filter(|(_, item)| item.is_named(name)).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            Err(KubeconfigError::Duplicate { path: path.to_owned(), kind: kind.body(), name: name.to_owned() })
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, KubeconfigError> {
    std::path::absolute(path).map_err(|source| FileError::Io { path: path.to_owned(), verb: "find", source }.into())
}

impl Default for Waits {
    fn default() -> Self {
        Self { ours: Duration::from_secs(10), kubectl: Duration::from_secs(2), stale: Duration::from_mins(1) }
    }
}
