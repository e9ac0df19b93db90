//! Watches folders. A watch of a file would miss an editor that replaces the file, or a socket's path that is removed.

pub mod aws_files;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use rolecall_core::clock::next_minute;

/// How long further changes are collected after one (B16).
const DEBOUNCE_TIME: Duration = Duration::from_millis(200);

/// How many further minutes pass before a check without a report of a change: network file systems report none. It comes at the end
/// of a minute, with the other checks of the daemon, so that an idle one wakes up once.
const CHECK_PAUSE: Duration = Duration::from_mins(4);

/// Sends a message for each change in one of the folders, until the watcher is dropped.
pub fn watch(folders: &[PathBuf], changes: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let reads = event.is_ok_and(|event| event.kind.is_access());
        if !reads {
            // A full channel means that a check is due anyway.
            let _ = changes.try_send(());
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// What is looked at, in a thread for blocking work: a file system may be slow, and a file large.
struct Watched<F, C> {
    folders: F,
    check: C,
}

/// Calls `check` now, after each change in one of the folders, and every five minutes, until `stop`. Asks for the folders
/// after each check, since a change may have created or replaced one.
pub async fn follow(
    folders: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static,
    stop: CancellationToken,
    check: impl Fn() + Send + Sync + 'static,
) {
    let following = async {
        // It ends with a panic of `check`.
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
                if spawn_blocking(move || this.check()).await? != known {
                    break;
                }
                tokio::select! {
                    _ = changes.recv(), if watcher.is_some() => {
                        tokio::time::sleep(DEBOUNCE_TIME).await; // editors write in several steps
                        while changes.try_recv().is_ok() {}
                    }
                    () = tokio::time::sleep_until(next_minute()), if watcher.is_none() => {}
                    () = tokio::time::sleep_until(next_minute() + CHECK_PAUSE) => {}
                }
            }
        }
    }

    /// Starts to watch. Returns the folders, and the watcher if there is one.
    fn watch(&self, changes: mpsc::Sender<()>) -> (Vec<Folder>, Option<RecommendedWatcher>) {
        let found = (self.folders)();
        let known = identities(&found);
        let watcher = watch(&found, changes).inspect_err(|error| {
            tracing::warn!(folders = ?found, %error, "folders cannot be watched, checking once a minute");
        });
        (known, watcher.ok())
    }

    /// Calls `check`, after the watch has started, so that no change is missed. Returns the folders after it.
    fn check(&self) -> Vec<Folder> {
        (self.check)();
        identities(&(self.folders)())
    }
}

/// A folder with its device and inode, if it exists.
type Folder = (PathBuf, Option<(u64, u64)>);

/// Returns the paths, devices and inodes of the folders.
fn identities(folders: &[PathBuf]) -> Vec<Folder> {
    let identity = |folder: &PathBuf| folder.metadata().ok().map(|found| (found.dev(), found.ino()));
    folders.iter().map(|folder| (folder.clone(), identity(folder))).collect()
}

#[cfg(test)]
mod tests {
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
}
