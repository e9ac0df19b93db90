//! Watching folders: editors replace files rather than write them, and a socket's name can be taken away.

pub mod aws_files;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use rolecall_core::clock::next_minute;

/// How long a burst of changes may last before somebody looks (B16).
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How often to look where changes should be told: some file systems only promise to.
const SILENT: Duration = Duration::from_mins(5);

/// Tells, through the channel, that something in one of the folders has changed. Ends when dropped.
pub fn watch(folders: &[PathBuf], tell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let reads = event.is_ok_and(|event| event.kind.is_access());
        if !reads {
            // Full means that a look is due already.
            let _ = tell.try_send(());
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Calls `look` now, after each change in one of the folders, and now and then (network file systems tell nothing), until
/// `stop`. Which folders there are is asked again each time: a change may have made one, or another of the same name.
pub async fn follow(folders: impl Fn() -> Vec<PathBuf>, stop: CancellationToken, look: impl Fn()) {
    loop {
        let (tell, mut told) = mpsc::channel(1);
        let found = folders();
        let known = identities(&found);
        let watcher = watch(&found, tell);
        if let Err(error) = &watcher {
            tracing::warn!(folders = ?found, %error, "Changes are not told; looking once a minute");
        }
        look(); // the first time after the watch is in place, for what happened before
        while identities(&folders()) == known {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = told.recv(), if watcher.is_ok() => {
                    tokio::time::sleep(DEBOUNCE).await; // editors write in several steps
                    while told.try_recv().is_ok() {}
                }
                () = tokio::time::sleep_until(next_minute()), if watcher.is_err() => {}
                () = tokio::time::sleep(SILENT) => {}
            }
            look();
        }
    }
}

/// The folders' paths, devices and inodes.
fn identities(folders: &[PathBuf]) -> Vec<(PathBuf, Option<(u64, u64)>)> {
    let identity = |folder: &PathBuf| folder.metadata().ok().map(|found| (found.dev(), found.ino()));
    folders.iter().map(|folder| (folder.clone(), identity(folder))).collect()
}
