//! The cooldown after a call without a response: the next calls fail after 300 ms instead of 10 s.
//!
//! kubectl runs the plugin up to six times before it fails. If the daemon hangs, each call would wait for its whole
//! deadline. So the first call creates a marker file beside the socket, and a call without a response checks for the
//! marker after [`CHECK_AFTER`]. A call with a response does not check, so a daemon that responds again is used
//! immediately.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::files::marker_file;

/// How long a call waits before it checks for the marker.
pub(super) const CHECK_AFTER: Duration = Duration::from_millis(300);
/// How long a marker counts.
const COOLDOWN_TTL: SignedDuration = SignedDuration::from_secs(5);

/// Whether a call timed out within the last seconds.
pub(super) fn is_active(socket: &Path) -> bool {
    is_active_at(socket, clock::now())
}

fn is_active_at(socket: &Path, now: Timestamp) -> bool {
    marker_file::is_fresh(&marker_path(socket), COOLDOWN_TTL, now)
}

/// Starts the cooldown. A call that fails because of the marker does not renew it, so every few seconds one call waits
/// for its whole deadline.
pub(super) fn start(socket: &Path) {
    if !is_active(socket) {
        // Ignores an error: without the marker, the next call waits for its whole deadline.
        let _ = marker_file::touch(&marker_path(socket));
    }
}

/// Ends the cooldown: the daemon has responded, or was started again.
pub(super) fn clear(socket: &Path) {
    // Usually there is no marker.
    let _ = std::fs::remove_file(marker_path(socket));
}

fn marker_path(socket: &Path) -> PathBuf {
    socket.with_extension("cooldown")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder, and the socket's path in it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        (folder, socket)
    }

    #[test]
    fn cooldown_marker_expires() {
        let (_folder, socket) = place();
        assert!(!is_active(&socket));
        start(&socket);
        assert!(is_active(&socket));
        let found = marker_path(&socket).symlink_metadata().unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        let made = Timestamp::try_from(found.modified().unwrap()).unwrap();
        for (millis, expected) in [(-1, false), (0, true), (4999, true), (5000, false), (86_400_000, false)] {
            assert_eq!(is_active_at(&socket, made + SignedDuration::from_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn start_renews_only_a_stale_marker() {
        let (_folder, socket) = place();
        let made = |age: u64| {
            let file = std::fs::File::create(marker_path(&socket)).unwrap();
            let now = std::time::SystemTime::from(clock::now());
            file.set_modified(now - Duration::from_secs(age)).unwrap();
            file.metadata().unwrap().modified().unwrap()
        };
        let old = made(2);
        start(&socket);
        assert_eq!(marker_path(&socket).metadata().unwrap().modified().unwrap(), old);
        made(60);
        start(&socket);
        assert!(is_active(&socket));
        clear(&socket);
        assert!(!is_active(&socket));
    }

    #[test]
    fn start_leaves_links_and_folders_alone() {
        let (folder, socket) = place();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, marker_path(&socket)).unwrap();
        let before = elsewhere.metadata().unwrap().modified().unwrap();
        start(&socket);
        assert_eq!(elsewhere.metadata().unwrap().modified().unwrap(), before);
        assert!(!is_active(&socket), "a link is no stamp");
        std::fs::remove_file(marker_path(&socket)).unwrap();
        std::fs::create_dir(marker_path(&socket)).unwrap();
        start(&socket);
        assert!(!is_active(&socket), "nor is a folder");
    }
}
