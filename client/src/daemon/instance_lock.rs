//! Checks whether a process holds the daemon's lock. Does not take the lock, since a daemon that starts then would
//! fail.

use std::path::Path;

/// Whether the kernel lists a lock (flock) on the file at `path`.
#[cfg(target_os = "linux")]
pub(super) fn is_held(path: &Path) -> bool {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    /// The size limit of the list, in bytes. It has some thousand locks.
    const MAX_LIST_BYTES: u64 = 1024 * 1024;
    let Ok(file) = path.symlink_metadata() else { return false };
    let mut list = String::new();
    let read =
        std::fs::File::open("/proc/locks").and_then(|locks| locks.take(MAX_LIST_BYTES).read_to_string(&mut list));
    read.is_ok() && has_flock(&list, rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()), file.ino())
}

/// Other systems do not list locks.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_held(_: &Path) -> bool {
    false
}

/// Whether the list has a line such as `1: FLOCK  ADVISORY  WRITE 4178 fe:00:10018845 0 EOF` for this device (in
/// hexadecimal) and inode. A process that waits for a lock has an arrow after the number.
#[cfg(target_os = "linux")]
fn has_flock(list: &str, major: u32, minor: u32, inode: u64) -> bool {
    let wanted = format!("{major:02x}:{minor:02x}:{inode}");
    list.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.nth(1) == Some("FLOCK") && words.nth(3) == Some(wanted.as_str())
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn has_flock_reads_proc_locks() {
        let list = "\
1: POSIX  ADVISORY  WRITE 2000 fe:00:77 0 EOF
2: FLOCK  ADVISORY  WRITE 4178 fe:00:10018845 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4179 fe:00:55 0 EOF
3: FLOCK  ADVISORY  READ  4180 00:1a:9 0 EOF
";
        assert!(has_flock(list, 0xfe, 0, 10_018_845));
        assert!(has_flock(list, 0, 0x1a, 9));
        for (major, minor, inode) in [(0xfe, 0, 77), (0xfe, 0, 55), (0xfe, 1, 10_018_845), (0, 0x1a, 90)] {
            assert!(!has_flock(list, major, minor, inode), "{inode}");
        }
        assert!(!has_flock("", 0, 0, 0));
    }

    #[test]
    fn is_held_free_or_missing_file_is_false() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        assert!(!is_held(&path));
        let file = std::fs::File::create(&path).unwrap();
        assert!(!is_held(&path));
        file.lock().unwrap();
        // Whether it is seen depends on the system; that it is gone afterwards does not.
        is_held(&path);
        drop(file);
        assert!(!is_held(&path));
    }
}
