//! A log file, which is renamed when it is full.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::location::old_log;

use super::open;

/// A log file.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl LogFile {
    /// Opens the file for appending, and creates it with mode 0600. With `max_bytes` it becomes [`old_log`], in place of the one
    /// before, so both have about twice that size at most.
    pub(crate) fn new(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, max_bytes })
    }

    /// Writes whole lines or nothing, into a new file if the file was removed.
    pub(crate) fn append_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let state = self.file.metadata()?;
        if state.nlink() == 0 {
            *self = Self::new(&self.path, self.max_bytes)?;
        }
        let written = self.write_all(lines);
        if written.is_err() {
            // Of lines that did not fit on the disk, a part may be in the file.
            self.file.set_len(self.file.metadata()?.len().min(state.len()))?;
        }
        written
    }

    /// Renames the file and begins another. If that fails, the present file is emptied, since it must not grow for ever.
    fn rotate(&mut self) -> io::Result<()> {
        let renamed = std::fs::rename(&self.path, old_log(&self.path));
        match renamed.and_then(|()| open(&self.path)) {
            Ok(file) => self.file = file,
            Err(_) => self.file.set_len(0)?,
        }
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.max_bytes {
            self.rotate()?;
        }
        let length = self.file.write(line)?;
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: u64 = 4 * 1024 * 1024;

    #[test]
    fn full_log_file_is_renamed_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        let mut log = LogFile::new(&path, MAX_BYTES).unwrap();
        let line = vec![b'x'; 64 * 1024];
        for _ in 0..200 {
            log.write_all(&line).unwrap();
        }
        let length = |path: &Path| path.metadata().unwrap().len();
        assert_eq!(length(&old_log(&path)), MAX_BYTES);
        assert_eq!(length(&path), 200 * 64 * 1024 % MAX_BYTES);
    }

    #[test]
    fn log_file_that_cannot_be_renamed_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        // A folder cannot be replaced by a file.
        std::fs::create_dir_all(old_log(&path).join("x")).unwrap();
        let mut log = LogFile::new(&path, MAX_BYTES).unwrap();
        log.bytes = MAX_BYTES;
        log.write_all(b"before\n").unwrap();
        log.bytes = MAX_BYTES;
        log.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after\n");
    }

    #[test]
    fn line_is_appended_to_a_new_file_if_the_file_was_removed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = LogFile::new(&path, MAX_BYTES).unwrap();
        log.append_lines(b"one\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        log.append_lines(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// Fault matrix row 107.
    #[test]
    fn line_that_does_not_fit_leaves_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = LogFile::new(&path, MAX_BYTES).unwrap();
        log.append_lines(b"one\n").unwrap();
        log.file = File::open("/dev/null").unwrap();
        assert!(log.append_lines(b"two\n").is_err(), "the descriptor is read-only");
        log.file = open(&path).unwrap();
        log.append_lines(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nthree\n");
    }
}
