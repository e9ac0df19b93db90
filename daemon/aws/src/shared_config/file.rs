//! Reads one of AWS's own files from the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rolecall_protocol::Secret;
use rolecall_protocol::aws_config::ini::{self, Section, SyntaxError};
use rolecall_trusted_file::TrustError;
use rustix::io::Errno;

/// The largest file that is read, in bytes. 10,000 AWS profiles have about 3 MB.
const MAX_FILE_SIZE: u64 = 16 * 1024 * 1024;

/// Why one of AWS's own files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The problem.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// Reading it failed.
    #[error("cannot be read: {0}")]
    Io(io::ErrorKind),
    /// Another user can change it, and so choose a program that the daemon runs, or credentials.
    #[error("not used: {0}")]
    Untrusted(TrustError),
    /// It has more than 16 MiB.
    #[error("has more than {} MiB", MAX_FILE_SIZE / 1024 / 1024)]
    TooLarge,
    /// A byte is not part of a character.
    #[error("byte {byte} of line {line} (0x{value:02x}) is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
        /// The position in the line, from 1.
        byte: usize,
        /// The byte.
        value: u8,
    },
    /// The AWS CLI refuses it.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

impl FileError {
    /// Whether reading the same file can succeed soon, for example when no file descriptor was left.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.problem, FileProblem::Io(_))
    }
}

/// Reads the sections of a file; none if it does not exist or is not a regular file, as the AWS CLI does.
pub(super) fn read(path: &Path) -> Result<Vec<Section>, FileError> {
    let failed = |problem: FileProblem| FileError { path: path.to_owned(), problem };
    let file = match rolecall_trusted_file::open(path) {
        Ok(file) => file,
        Err(TrustError::NotRegular { .. } | TrustError::Io { errno: Errno::NOENT | Errno::NOTDIR, .. }) => {
            return Ok(Vec::new());
        }
        Err(TrustError::Io { errno, .. }) => return Err(failed(FileProblem::Io(io::Error::from(errno).kind()))),
        Err(error) => return Err(failed(FileProblem::Untrusted(error))),
    };
    let content = read_all(file).map_err(failed)?;
    parse(content.expose()).map_err(failed)
}

fn read_all(file: File) -> Result<Secret<Vec<u8>>, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Io(error.kind());
    let size = file.metadata().map_err(unreadable)?.len();
    if size > MAX_FILE_SIZE {
        return Err(FileProblem::TooLarge);
    }
    // One more than its size: the end is found without growing.
    let mut content = Secret::new(Vec::with_capacity(usize::try_from(size + 1).unwrap_or_default()));
    file.take(MAX_FILE_SIZE + 1).read_to_end(content.expose_mut()).map_err(unreadable)?;
    // It has grown in the meantime.
    if content.expose().len() as u64 > MAX_FILE_SIZE {
        return Err(FileProblem::TooLarge);
    }
    Ok(content)
}

pub(super) fn parse(content: &[u8]) -> Result<Vec<Section>, FileProblem> {
    let text = std::str::from_utf8(content).map_err(|error| not_utf8(content, error.valid_up_to()))?;
    Ok(ini::parse(text)?)
}

fn not_utf8(content: &[u8], position: usize) -> FileProblem {
    let before = content.get(..position).unwrap_or_default();
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    FileProblem::NotUtf8 {
        line: before.split(|byte| *byte == b'\n').count(),
        byte: position - line_start + 1,
        value: content.get(position).copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_byte_that_is_not_utf8_names_line_and_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for (content, message) in [
            (&b"# propri\xe9taire\n[a]\n"[..], "byte 9 of line 1 (0xe9) is not UTF-8; save the file as UTF-8"),
            (b"[a]\nx = 1\ny = \xc3\n", "byte 5 of line 3 (0xc3) is not UTF-8; save the file as UTF-8"),
            (b"\xff\xfe[\0a\0", "byte 1 of line 1 (0xff) is not UTF-8; save the file as UTF-8"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = read(&path).err().unwrap();
            assert_eq!(error.to_string(), format!("{}: {message}", path.display()));
            assert!(!error.is_transient());
        }
    }

    #[test]
    fn read_missing_file_or_folder_has_no_sections() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        assert!(read(&folder.path().join("config")).unwrap().is_empty());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(read(&folder.path().join("file/config")).unwrap().is_empty());
    }

    /// Fault matrix row 91.
    #[test]
    fn read_file_that_others_can_change_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let aws = folder.path().canonicalize().unwrap().join(".aws");
        std::fs::create_dir(&aws).unwrap();
        let path = aws.join("config");
        std::fs::write(&path, "[default]\ncredential_process = stranger\n").unwrap();
        for (changed, safe, mode) in [(&path, 0o600, 0o666), (&aws, 0o700, 0o777)] {
            let set_mode = |mode| std::fs::set_permissions(changed, std::fs::Permissions::from_mode(mode)).unwrap();
            set_mode(mode);
            let error = read(&path).err().unwrap();
            assert!(!error.is_transient());
            let FileProblem::Untrusted(problem) = error.problem else { panic!("{error}") };
            assert_eq!(problem.advice(), format!("Fix it with: chmod go-w {}", changed.display()));
            set_mode(safe);
        }
        assert_eq!(read(&path).unwrap().len(), 1);
        // A device has no content that another user could have written.
        assert!(read(Path::new("/dev/null")).unwrap().is_empty());
    }

    #[test]
    fn read_large_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        File::create(&path).unwrap().set_len(MAX_FILE_SIZE + 1).unwrap();
        assert_eq!(read(&path).err().unwrap().problem, FileProblem::TooLarge);
    }
}
