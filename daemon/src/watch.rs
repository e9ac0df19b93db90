//! Watches folders. A watch of a file would miss an editor that replaces the file, or a socket's path that is removed.

pub mod aws_files;
mod target;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use rolecall_core::clock::{TICK, next_tick};
use target::{ChangeFilter, Target};

/// How long further changes are collected after one (B16).
const DEBOUNCE_TIME: Duration = Duration::from_millis(200);

/// The further ticks before a check without a report of a change: network file systems report none.
const CHECK_PAUSE: Duration = TICK.saturating_mul(4);

/// Sends a message for each change in one of the folders, and for the creation of a missing one, until the watcher is dropped. Errors
/// if one of the folders, or the nearest ancestor of a missing one, cannot be watched.
pub fn watch(folders: &[PathBuf], changes: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let targets: Vec<Target> = folders.iter().map(|folder| Target::of(folder)).collect();
    let filter = ChangeFilter::new(&targets);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_other = event.is_ok_and(|event| event.kind.is_access() || !filter.counts(&event.paths));
        if !is_other {
            // A full channel means that a check is due anyway.
            let _ = changes.try_send(());
        }
    })?;
    for folder in targets.iter().map(|target| &target.folder).collect::<BTreeSet<_>>() {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// What is looked at, in a thread for blocking work: a file system may be slow, and a file large.
struct Watched<F, C> {
    folders: F,
    check: C,
}

/// Calls `check` now, after each change in one of the folders, and every five ticks, until `stop`. Asks for the folders
/// after each check, since a change may have created or replaced one.
pub async fn follow(
    folders: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static,
    stop: CancellationToken,
    check: impl Fn() + Send + Sync + 'static,
) {
    let following = async {
        // It ends if the watcher panics.
        let _: Result<(), JoinError> = Arc::new(Watched { folders, check }).follow().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
}

impl<F: Fn() -> Vec<PathBuf> + Send + Sync + 'static, C: Fn() + Send + Sync + 'static> Watched<F, C> {
    async fn follow(self: Arc<Self>) -> Result<(), JoinError> {
        loop {
            let (sender, mut changes) = mpsc::channel(1);
            let this = Arc::clone(&self);
            let (known, watcher) = spawn_blocking(move || this.watch(sender)).await?;
            loop {
                let this = Arc::clone(&self);
                // A panic is in the log. The next change is checked again.
                if spawn_blocking(move || this.check()).await.is_ok_and(|found| found != known) {
                    break;
                }
                tokio::select! {
                    _ = changes.recv(), if watcher.is_some() => {
                        tokio::time::sleep(DEBOUNCE_TIME).await; // editors write in several steps
                        while changes.try_recv().is_ok() {}
                    }
                    () = tokio::time::sleep_until(next_tick()), if watcher.is_none() => {}
                    () = tokio::time::sleep_until(next_tick() + CHECK_PAUSE) => {}
                }
            }
        }
    }

    /// Starts to watch. Returns the watched folders, and the watcher if there is one.
    fn watch(&self, changes: mpsc::Sender<()>) -> (Vec<Identity>, Option<RecommendedWatcher>) {
        let found = (self.folders)();
        let known = identities(&found);
        let watcher = watch(&found, changes).inspect_err(|error| {
            tracing::warn!(folders = ?found, %error, "folders cannot be watched, checking once a minute");
        });
        (known, watcher.ok())
    }

    /// Calls `check`, after the watch has started, so that no change is missed. Returns the folders to watch after it.
    fn check(&self) -> Vec<Identity> {
        (self.check)();
        identities(&(self.folders)())
    }
}

/// A folder to watch with its device and inode.
type Identity = (Target, Option<(u64, u64)>);

/// Returns what is watched for the folders.
fn identities(folders: &[PathBuf]) -> Vec<Identity> {
    let identity = |folder: &PathBuf| {
        let target = Target::of(folder);
        let found = target.folder.metadata().ok();
        (target, found.map(|found| (found.dev(), found.ino())))
    };
    folders.iter().map(identity).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Mutex, mpsc as blocking};

    use super::*;

    /// Requests are served while a large configuration is read, or one on a slow file system.
    #[tokio::test]
    async fn check_does_not_hold_up_the_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let folders = vec![folder.path().to_owned()];
        let ((begun, mut begins), (done, is_done)) = (mpsc::unbounded_channel(), blocking::channel());
        let is_done = Mutex::new(is_done);
        let check = move || {
            let waited = || is_done.lock().unwrap().recv_timeout(Duration::from_mins(1));
            begun.send(()).unwrap();
            waited().unwrap();
        };
        let stop = CancellationToken::new();
        let following = tokio::spawn(follow(move || folders.clone(), stop.clone(), check));
        begins.recv().await.unwrap();
        done.send(()).unwrap();
        stop.cancel();
        following.await.unwrap();
    }

    #[tokio::test]
    async fn change_after_a_check_that_panicked_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, folders) = (folder.path().join("config.toml"), vec![folder.path().to_owned()]);
        let (begun, mut begins) = mpsc::unbounded_channel();
        let check = move || {
            begun.send(()).unwrap();
            assert!(path.exists(), "the first check panics");
        };
        let stop = CancellationToken::new();
        let following = tokio::spawn(follow(move || folders.clone(), stop.clone(), check));
        begins.recv().await.unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        tokio::time::timeout(Duration::from_mins(1), begins.recv()).await.unwrap().unwrap();
        stop.cancel();
        following.await.unwrap();
    }

    /// A dotfile manager moves a folder away and another one to its path.
    #[tokio::test]
    async fn missing_folder_is_noticed_when_it_comes() {
        let root = tempfile::tempdir().unwrap();
        let (config, old) = (root.path().join("config"), root.path().join("old"));
        let folder = config.join("rolecall");
        fs::create_dir_all(&folder).unwrap();
        let folders = vec![folder.clone()];
        let follower = Watched { folders: move || folders.clone(), check: || {} };
        // Returns whether the folders to watch are others after a change, which has to be reported.
        let is_new_after = async |change: &dyn Fn()| {
            let (sender, mut changes) = mpsc::channel(1);
            let (known, watcher) = follower.watch(sender);
            assert_eq!(follower.check(), known);
            change();
            let reported = tokio::time::timeout(Duration::from_mins(1), changes.recv()).await;
            assert!(watcher.is_some() && reported.is_ok());
            follower.check() != known
        };
        assert!(is_new_after(&|| fs::rename(&folder, &old).unwrap()).await);
        assert!(is_new_after(&|| fs::rename(&old, &folder).unwrap()).await);
        assert!(!is_new_after(&|| fs::write(folder.join("config.toml"), "").unwrap()).await);
        assert!(is_new_after(&|| fs::remove_dir_all(&folder).unwrap()).await);
        assert!(is_new_after(&|| fs::remove_dir(&config).unwrap()).await);
        assert!(is_new_after(&|| fs::create_dir(&config).unwrap()).await, "an ancestor");
        assert!(is_new_after(&|| fs::create_dir(&folder).unwrap()).await);
    }

    #[test]
    fn folder_that_cannot_be_watched_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let folders = [root.path().to_owned(), root.path().join("file/folder")];
        assert!(watch(&folders, mpsc::channel(1).0).is_err());
    }
}
