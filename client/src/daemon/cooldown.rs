//! After a call that the daemon let pass without a word: the next calls need not wait as long to find out the same.
//!
//! kubectl runs the plugin up to six times before it gives up; with a daemon that hangs each would wait for its whole
//! deadline. So the first leaves a stamp beside the socket, and who gets no answer looks for it after a moment. Whoever
//! is answered by then never looks, so a daemon that is well again is believed at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::files::marker_file;

/// How long an answer is waited for before the stamp is looked for.
pub(super) const CHECK_AFTER: Duration = Duration::from_millis(300);
/// How long a stamp counts.
const COOLDOWN_TTL: SignedDuration = SignedDuration::from_secs(5);

/// Whether a call was given up a short while ago.
pub(super) fn is_active(socket: &Path) -> bool {
    is_active_at(socket, clock::now())
}

fn is_active_at(socket: &Path, now: Timestamp) -> bool {
    marker_file::is_fresh(&marker_path(socket), COOLDOWN_TTL, now)
}

/// A call was given up. One that is given up because of the stamp does not make it any younger: every few seconds
/// somebody has to wait and see.
pub(super) fn start(socket: &Path) {
    if !is_active(socket) {
        // It spares a wait, no more: nothing is said where it cannot be left.
        let _ = marker_file::touch(&marker_path(socket));
    }
}

/// The daemon has answered, or is another: whoever comes next may wait for it again.
pub(super) fn clear(socket: &Path) {
    // Most often there is none.
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
    fn a_stamp_counts_for_a_few_seconds() {
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
    fn a_stale_stamp_is_renewed_and_a_fresh_one_is_not() {
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
    fn what_is_no_stamp_is_left_alone() {
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
