//! The log file, which is renamed when it is full.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The size at which the file becomes `daemon.log.old`, in place of the one before. So both have 8 MiB at most.
const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// The log file.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    open: fn(&Path) -> io::Result<File>,
}

impl LogFile {
    /// Opens the file for appending.
    pub(super) fn new(path: &Path, open: fn(&Path) -> io::Result<File>) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, open })
    }

    /// Renames the file and begins another. If that fails, the present file is emptied, since it must not grow for ever.
    fn rotate(&mut self) -> io::Result<()> {
        let renamed = std::fs::rename(&self.path, self.path.with_extension("log.old"));
        match renamed.and_then(|()| (self.open)(&self.path)) {
            Ok(file) => self.file = file,
            Err(_) => self.file.set_len(0)?,
        }
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= MAX_LOG_BYTES {
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

    fn open(path: &Path) -> io::Result<File> {
        File::options().create(true).append(true).open(path)
    }

    #[test]
    fn full_log_file_is_renamed_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        let mut log = LogFile::new(&path, open).unwrap();
        let line = vec![b'x'; 64 * 1024];
        for _ in 0..200 {
            log.write_all(&line).unwrap();
        }
        let length = |path: &Path| path.metadata().unwrap().len();
        assert_eq!(length(&path.with_extension("log.old")), MAX_LOG_BYTES);
        assert_eq!(length(&path), 200 * 64 * 1024 % MAX_LOG_BYTES);
    }

    #[test]
    fn log_file_that_cannot_be_renamed_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        // A folder cannot be replaced by a file.
        std::fs::create_dir_all(path.with_extension("log.old").join("x")).unwrap();
        let mut log = LogFile::new(&path, open).unwrap();
        log.bytes = MAX_LOG_BYTES;
        log.write_all(b"before\n").unwrap();
        log.bytes = MAX_LOG_BYTES;
        log.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after\n");
    }
}
