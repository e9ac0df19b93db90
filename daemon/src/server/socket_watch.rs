//! Notices that the socket's name was taken away (S5): nobody can reach this daemon any more, so it makes way for one
//! that can be reached.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::socket::Name;
use crate::watch;
use rolecall_core::clock::next_minute;

/// Stops the daemon once the name no longer leads to it; returns when the daemon stops, for whatever reason.
pub async fn guard(name: Name, stop: CancellationToken) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = watch::watch(&[name.folder().to_owned()], tell);
    // The first look is after the watch is in place, for what happened before.
    while name.is_ours() {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = told.recv(), if watcher.is_ok() => {}
            () = tokio::time::sleep_until(next_minute()) => {}
        }
    }
    if !stop.is_cancelled() {
        tracing::warn!("The socket was taken away; making way for another daemon");
        stop.cancel();
    }
}
