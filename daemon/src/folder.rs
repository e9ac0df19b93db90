//! Watching folders: editors replace files rather than write them, and a socket's name can be taken away.

use std::path::PathBuf;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

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
