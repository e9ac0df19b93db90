//! Opens the program of a restart, with the checks of `rolecall-trusted-file`.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rolecall_trusted_file::{Checked, TrustError, Writers};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, openat};
use rustix::io::Errno;

/// An open program that no other user can replace.
#[derive(Debug)]
pub(super) struct ProgramFile {
    /// To execute it.
    pub(super) file: OwnedFd,
    /// To read it, unless the user may only execute it.
    pub(super) content: Option<File>,
    /// Who can replace it.
    pub(super) writers: Writers,
}

/// Why a program is not executed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramFileError {
    /// Another user can change the file, or what leads to it.
    #[error(transparent)]
    Untrusted(TrustError),
    /// A script, whose interpreter would get the sessions.
    #[error("{} is a script", .0.display())]
    Script(PathBuf),
    /// A folder, or another kind of file.
    #[error("{} is not a program", .0.display())]
    NotProgram(PathBuf),
    /// It cannot be opened.
    #[error("{} cannot be started ({cause})", path.display())]
    Open {
        /// The program, or a folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// Opens the program at a path. What is opened is the file that was checked.
pub(super) fn open(path: &Path) -> Result<ProgramFile, ProgramFileError> {
    let Checked { path, writers, metadata } = rolecall_trusted_file::check(path).map_err(|error| match error {
        TrustError::Io { path, errno } => failed(&path, errno),
        error => ProgramFileError::Untrusted(error),
    })?;
    if !metadata.is_file() {
        return Err(ProgramFileError::NotProgram(path));
    }
    let file = open_checked(&path, OFlags::PATH, &metadata)?;
    let is_mounted_noexec = fstatvfs(&file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC));
    if metadata.mode() & 0o111 == 0 || is_mounted_noexec {
        return Err(failed(&path, Errno::ACCESS));
    }
    // The user may be allowed to execute the program but not to read it.
    let content = match open_checked(&path, OFlags::RDONLY | OFlags::NONBLOCK, &metadata) {
        Ok(content) => Some(File::from(content)),
        Err(ProgramFileError::Open { cause, .. }) if cause.kind() == io::ErrorKind::PermissionDenied => None,
        Err(error) => return Err(error),
    };
    if content.as_ref().is_some_and(is_script) {
        return Err(ProgramFileError::Script(path));
    }
    Ok(ProgramFile { file, content, writers })
}

/// Opens a file, and errors if it is not the one with this metadata.
fn open_checked(path: &Path, flags: OFlags, checked: &Metadata) -> Result<OwnedFd, ProgramFileError> {
    let file = openat(CWD, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let file = file.map_err(|error| failed(path, error))?;
    let opened = fstat(&file).map_err(|error| failed(path, error))?;
    if (opened.st_dev, opened.st_ino) != (checked.dev(), checked.ino()) {
        return Err(failed(path, io::Error::other("it was replaced at the same time")));
    }
    Ok(file)
}

fn failed(path: &Path, cause: impl Into<io::Error>) -> ProgramFileError {
    ProgramFileError::Open { path: path.to_owned(), cause: cause.into() }
}

fn is_script(file: &File) -> bool {
    let mut start = [0; 2];
    file.read_exact_at(&mut start, 0).is_ok() && start == *b"#!"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with `bin/rolecalld` in it.
    fn installed() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bin/rolecalld");
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(&path, "\x7fELF").unwrap();
        set_mode(&path, 0o755);
        set_mode(path.parent().unwrap(), 0o755);
        (folder, path)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn error(path: &Path) -> String {
        open(path).unwrap_err().to_string()
    }

    #[test]
    fn program_of_the_user_is_opened() {
        let (folder, path) = installed();
        let writers = if rustix::process::geteuid().is_root() { Writers::Root } else { Writers::User };
        let opened = open(&path).unwrap();
        assert_eq!(opened.writers, writers);
        let mut content = String::new();
        opened.content.unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "\x7fELF");
        // Through links: an absolute one to the folder, and a relative one to the file.
        symlink(path.parent().unwrap(), folder.path().join("link")).unwrap();
        symlink("../bin/./rolecalld", folder.path().join("bin/other")).unwrap();
        assert!(open(&folder.path().join("link/other")).is_ok());
    }

    #[test]
    fn program_that_others_can_replace_is_rejected() {
        let (folder, path) = installed();
        let bin = path.parent().unwrap();
        symlink(&path, folder.path().join("rolecalld")).unwrap();
        for (path_of_mode, mode) in [(path.as_path(), 0o757), (bin, 0o757), (bin, 0o777)] {
            set_mode(path_of_mode, mode);
            assert!(error(&path).contains(&format!("{} (mode {mode:04o})", path_of_mode.display())));
            assert_eq!(error(&folder.path().join("rolecalld")), error(&path), "through a link");
            set_mode(path_of_mode, 0o755);
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(bin, Some(1), None).unwrap();
            assert_eq!(error(&path), format!("the folder {} belongs to another user (uid 1)", bin.display()));
            std::os::unix::fs::chown(bin, Some(0), None).unwrap();
        }
        // In a folder like /tmp, other users cannot replace the file.
        set_mode(bin, 0o1777);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn file_that_cannot_be_executed_is_rejected() {
        let (folder, path) = installed();
        set_mode(&path, 0o644);
        assert!(error(&path).ends_with("cannot be started (Permission denied (os error 13))"));
        set_mode(&path, 0o755);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(matches!(open(&path), Err(ProgramFileError::Script(_))));
        assert!(matches!(open(folder.path()), Err(ProgramFileError::NotProgram(_))));
        assert!(error(&path.join("x")).contains("Not a directory"));
        assert!(error(&folder.path().join("none")).contains("No such file"));
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(error(&folder.path().join("loop")).contains("cannot be started ("));
        rustix::fs::mkfifoat(CWD, folder.path().join("fifo"), Mode::from_raw_mode(0o700)).unwrap();
        assert!(matches!(open(&folder.path().join("fifo")), Err(ProgramFileError::NotProgram(_))));
    }
}
