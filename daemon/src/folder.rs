//! Watching folders: editors replace files rather than write them, and a socket's name can be taken away.

use std::path::PathBuf;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a burst of changes may last before somebody looks (B16).
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often to look where watching fails (some network file systems tell nothing).
const LOOK: Duration = Duration::from_secs(30);

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

/// Calls `look` now and after each change in one of the folders, until `stop`; now and then where changes are not told.
/// Which folders there are is asked again each time, since a change may have made one.
pub async fn follow(folders: impl Fn() -> Vec<PathBuf>, stop: CancellationToken, look: impl Fn()) {
    loop {
        let (tell, mut told) = mpsc::channel(1);
        let known = folders();
        let watcher = watch(&known, tell);
        if let Err(error) = &watcher {
            tracing::warn!(folders = ?known, %error, "Changes are not told; looking every {} s", LOOK.as_secs());
        }
        look(); // the first time after the watch is in place, for what happened before
        while folders() == known {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = told.recv(), if watcher.is_ok() => {
                    tokio::time::sleep(DEBOUNCE).await; // editors write in several steps
                    while told.try_recv().is_ok() {}
                }
                () = tokio::time::sleep(LOOK), if watcher.is_err() || known.is_empty() => {}
            }
            look();
        }
    }
}
