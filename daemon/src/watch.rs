//! Watches folders. A watch of a file would miss an editor that replaces the file, or a socket's path that is removed.

pub mod aws_files;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use rolecall_core::clock::next_minute;

/// How long further changes are collected after one (B16).
const DEBOUNCE_TIME: Duration = Duration::from_millis(200);

/// How often to check without a report of a change: network file systems report none.
const CHECK_INTERVAL: Duration = Duration::from_mins(5);

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

/// Calls `check` now, after each change in one of the folders, and every five minutes, until `stop`. Asks for the folders
/// after each check, since a change may have created or replaced one.
pub async fn follow(folders: impl Fn() -> Vec<PathBuf>, stop: CancellationToken, check: impl Fn()) {
    loop {
        let (sender, mut changes) = mpsc::channel(1);
        let found = folders();
        let known = identities(&found);
        let watcher = watch(&found, sender);
        if let Err(error) = &watcher {
            tracing::warn!(folders = ?found, %error, "folders cannot be watched, checking once a minute");
        }
        check(); // after the watch has started, so that no change is missed
        while identities(&folders()) == known {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.recv(), if watcher.is_ok() => {
                    tokio::time::sleep(DEBOUNCE_TIME).await; // editors write in several steps
                    while changes.try_recv().is_ok() {}
                }
                () = tokio::time::sleep_until(next_minute()), if watcher.is_err() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            check();
        }
    }
}

/// Returns the paths, devices and inodes of the folders.
fn identities(folders: &[PathBuf]) -> Vec<(PathBuf, Option<(u64, u64)>)> {
    let identity = |folder: &PathBuf| folder.metadata().ok().map(|found| (found.dev(), found.ino()));
    folders.iter().map(|folder| (folder.clone(), identity(folder))).collect()
}
