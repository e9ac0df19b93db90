//! Stops the daemon when the socket's path is removed or replaced (S5): no client can reach it then, and the next one starts a new
//! daemon.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::socket::SocketName;
use crate::watch;
use rolecall_core::clock::next_tick;

/// Cancels `stop` when the path no longer leads to this daemon's socket. Returns when `stop` is cancelled.
pub async fn socket_watch(name: SocketName, stop: CancellationToken) {
    let (sender, mut changes) = mpsc::channel(1);
    let watcher = watch::watch(&[name.folder().to_owned()], sender);
    // The first check follows the start of the watch, so that no change is missed.
    while name.is_ours() {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.recv(), if watcher.is_ok() => {}
            () = tokio::time::sleep_until(next_tick()) => {}
        }
    }
    if !stop.is_cancelled() {
        tracing::warn!("socket removed, stopping");
        stop.cancel();
    }
}
