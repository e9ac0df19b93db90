//! Empty files beside the socket, whose modification time is their content. Their folder was checked to be private.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW};

/// Whether the file was touched less than `limit` ago. A file with a time in the future (the clock was set) does not
/// count.
pub(crate) fn is_fresh(path: &Path, limit: SignedDuration, now: Timestamp) -> bool {
    let Ok(found) = path.symlink_metadata() else { return false };
    let made = found.modified().ok().and_then(|made| Timestamp::try_from(made).ok());
    let age = made.filter(|_| found.is_file()).map(|made| now.duration_since(made));
    age.is_some_and(|age| !age.is_negative() && age < limit)
}

/// Creates the file, or sets its time to now.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now })?;
    Ok(())
}
