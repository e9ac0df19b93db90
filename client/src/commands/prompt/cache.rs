//! Which profile is the current one, without parsing the kubeconfig for each prompt.
//!
//! Parsing a kubeconfig with hundreds of contexts takes several milliseconds. So the result is kept in a file beside the
//! socket, with the versions of the files that it was read from. A prompt then only looks at the files' metadata.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::{ProfileName, location};
use serde::{Deserialize, Serialize};

use crate::files::atomic_file::{self, Backup};
use crate::kubeconfig::{self, context_entry};
use crate::protected;

/// The size limit of the cache, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The current profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CurrentProfile {
    pub(super) profile: ProfileName,
    pub(super) is_protected: bool,
}

/// The cache.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cached {
    key: Key,
    /// `None` if the current context is not Rolecall's.
    current: Option<CurrentProfile>,
}

/// What decides which profile is the current one. Any write of a file changes its version.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    /// The profile of the shell, if there is one.
    shell: Option<ProfileName>,
    files: Vec<FileVersion>,
}

/// A path, and the inode, the size, and the time of the last change of its file.
type FileVersion = (PathBuf, Option<(u64, u64, i64, i64)>);

/// Returns the profile of this shell, or else that of the current context. `None` if the context is not Rolecall's.
pub(super) fn current_profile() -> Option<CurrentProfile> {
    let path = location::socket().ok()?.with_extension("current");
    let key = key()?;
    if let Some(cached) = read(&path).filter(|cached| cached.key == key) {
        return cached.current;
    }
    let current = look_up(&key);
    write(&path, &Cached { key, current: current.clone() });
    current
}

fn key() -> Option<Key> {
    let shell = location::private_kubeconfig().and(location::profile());
    let mut paths = match shell {
        Some(_) => Vec::new(),
        None => context_entry::files(None).ok()?.paths().to_vec(),
    };
    paths.extend(location::config().ok());
    Some(Key { shell, files: paths.into_iter().map(version).collect() })
}

fn version(path: PathBuf) -> FileVersion {
    let found = path.metadata().ok();
    let version = found.map(|found| (found.ino(), found.size(), found.ctime(), found.ctime_nsec()));
    (path, version)
}

fn look_up(key: &Key) -> Option<CurrentProfile> {
    let profile = match &key.shell {
        Some(profile) => profile.clone(),
        None => {
            let contexts = kubeconfig::contexts(&context_entry::files(None).ok()?).ok()?;
            contexts.into_iter().find(|context| context.is_current)?.profile?.parse().ok()?
        }
    };
    let is_protected = protected::is_protected(profile.as_str());
    Some(CurrentProfile { profile, is_protected })
}

fn read(path: &Path) -> Option<Cached> {
    let found = fs::symlink_metadata(path).ok().filter(|found| found.is_file() && found.size() <= MAX_BYTES);
    found.and_then(|_| serde_json::from_slice(&fs::read(path).ok()?).ok())
}

/// Without a private folder there is no cache. An error is ignored: the next prompt looks again.
fn write(path: &Path, cached: &Cached) {
    let is_private = path.parent().is_some_and(|folder| location::check_private_folder(folder).is_ok());
    if let (true, Ok(text)) = (is_private, serde_json::to_string(cached)) {
        let _ =
            atomic_file::read(path, MAX_BYTES).and_then(|before| atomic_file::replace(&before, &text, Backup::None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_changes_with_each_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let missing = version(path.clone());
        assert_eq!(missing.1, None);
        fs::write(&path, "a").unwrap();
        let first = version(path.clone());
        fs::write(folder.path().join("new"), "b").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(first.1.is_some() && first != version(path.clone()));
        let cached = Cached { key: Key { shell: None, files: vec![first] }, current: None };
        let cache = folder.path().join("agent.current");
        assert_eq!(read(&cache), None);
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        write(&cache, &cached);
        assert_eq!(read(&cache), Some(cached));
    }
}
