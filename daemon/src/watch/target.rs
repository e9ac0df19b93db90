//! Which folder is watched for one that may be missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rolecall_trusted_file::{TrustError, Walk};

/// A folder to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The folder, or the nearest ancestor of a missing folder.
    pub(super) folder: PathBuf,
    /// The path below that ancestor whose creation is awaited. Unset if the folder exists.
    awaited: Option<PathBuf>,
}

impl Target {
    /// Returns what is watched for a folder. For a missing target of a symbolic link, that is the target's nearest ancestor.
    pub(super) fn of(folder: &Path) -> Self {
        Self::of_missing(folder).unwrap_or_else(|| Self { folder: folder.to_owned(), awaited: None })
    }

    /// Returns `None` if the folder exists, or if it cannot be known whether it does.
    fn of_missing(folder: &Path) -> Option<Self> {
        let mut nearest = None;
        for part in Walk::new(folder).ok()? {
            match part {
                Ok(part) if part.metadata.is_symlink() => {} // its target follows
                Ok(part) => nearest = Some(part.path),
                Err(error) if error.is_missing() => {
                    let TrustError::Io { path, .. } = error else { return None };
                    return Some(Self { folder: nearest?, awaited: Some(path) });
                }
                Err(_) => return None,
            }
        }
        None
    }
}

/// Tells apart the changes in an ancestor of a missing folder: only the creation of the missing folder counts there. The home folder
/// or `/tmp` may change several times per second.
pub(super) struct ChangeFilter {
    /// The folders that are watched for missing ones only.
    ancestors: HashSet<PathBuf>,
    /// The paths that count in them.
    counted: HashSet<PathBuf>,
}

impl ChangeFilter {
    pub(super) fn new(targets: &[Target]) -> Self {
        let existing = targets.iter().filter(|target| target.awaited.is_none());
        let existing: HashSet<PathBuf> = existing.filter_map(|target| target.folder.canonicalize().ok()).collect();
        let missing = targets.iter().filter(|target| target.awaited.is_some());
        let ancestors = missing.map(|target| target.folder.clone()).filter(|folder| !existing.contains(folder));
        let counted = targets.iter().flat_map(|target| target.awaited.iter().chain([&target.folder])).cloned();
        Self { ancestors: ancestors.collect(), counted: counted.collect() }
    }

    /// Returns whether a change of these paths counts.
    pub(super) fn counts(&self, paths: &[PathBuf]) -> bool {
        let is_other = |path: &PathBuf| {
            let is_in_ancestor = path.parent().is_some_and(|folder| self.ancestors.contains(folder));
            is_in_ancestor && !self.counted.contains(path)
        };
        // A report without a path says that reports were lost.
        paths.is_empty() || !paths.iter().all(is_other)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::slice;

    use super::*;

    fn awaits(target: &Target) -> (&Path, Option<&Path>) {
        (&target.folder, target.awaited.as_deref())
    }

    #[test]
    fn target_of_a_missing_folder_is_its_nearest_ancestor() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home/aws")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink("../dotfiles/1/rolecall", root.join("home/rolecall")).unwrap();
        for existing in ["home/aws", "file", "file/a", "home/../home"] {
            let folder = root.join(existing);
            assert_eq!(awaits(&Target::of(&folder)), (&*folder, None));
        }
        for (missing, nearest, awaited) in [
            ("home/a", "home", "home/a"),
            ("home/aws/../a/b/c", "home", "home/a"),
            ("home/rolecall", "", "dotfiles"),
            ("home/rolecall/team", "", "dotfiles"),
        ] {
            let expected = (root.join(nearest), root.join(awaited));
            let target = Target::of(&root.join(missing));
            assert_eq!(awaits(&target), (&*expected.0.components().collect::<PathBuf>(), Some(&*expected.1)));
        }
    }

    #[test]
    fn change_beside_a_missing_folder_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home/aws")).unwrap();
        let filter = |folders: &[&str]| {
            let targets: Vec<Target> = folders.iter().map(|folder| Target::of(&root.join(folder))).collect();
            move |paths: &[PathBuf]| ChangeFilter::new(&targets).counts(paths)
        };
        let (history, missing, child) = (root.join("home/history"), root.join("home/a"), root.join("home/aws/x"));
        let counts = filter(&["home/a/b", "home/aws/sso/cache"]);
        assert!(!counts(slice::from_ref(&history)) && !counts(&[history.clone(), child.clone()]));
        for paths in [vec![], vec![missing.clone()], vec![history.clone(), missing], vec![root.join("home")]] {
            assert!(counts(&paths), "{paths:?}");
        }
        assert!(counts(&[root.join("home/aws")]), "its removal");
        let counts = filter(&["home/a", "home/aws", "home/aws/sso"]);
        assert!(counts(&[child]) && !counts(slice::from_ref(&history)));
        assert!(filter(&["home/a", "home"])(&[history]));
    }
}
