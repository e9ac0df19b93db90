//! Opens a program and checks which users can replace it: the owner and the mode of the file, of each folder above it and of each
//! symbolic link in its path. sshd checks the files of its users in the same way (`StrictModes` in sshd_config(5)).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, StatVfsMountFlags, fstat, fstatvfs, openat, readlinkat};
use rustix::io::Errno;

/// The symbolic links in a path, as in the kernel.
const MAX_LINKS: usize = 40;
/// Write permission for the group and for others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;
/// The user id that a user namespace shows for ids that it does not map, see user_namespaces(7).
const UNMAPPED_UID: u32 = 65534;

/// Who can replace a program, besides root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writers {
    /// Only root.
    Root,
    /// Also the user of this process, or a user that this user namespace does not know.
    User,
}

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
    /// Another user can write the file, or one of its folders.
    #[error("{} is writable by other users (mode {mode:04o})", path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another user owns the file, or one of its folders.
    #[error("{} belongs to another user (uid {uid})", path.display())]
    Owner {
        /// The file, folder or link.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
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

/// Opens the program at an absolute path. Each part of the path is opened in its folder, so that what is checked is what is opened.
pub(super) fn open(path: &Path) -> Result<ProgramFile, ProgramFileError> {
    let root = || open_in(None, OsStr::new("/"), OFlags::PATH, Path::new("/"));
    let mut folder = root()?;
    let mut shown = PathBuf::from("/");
    let mut writers = check(&folder, &shown)?;
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        shown.push(&name);
        let found = open_in(Some(&folder), &name, OFlags::PATH, &shown)?;
        let checked = check(&found, &shown)?;
        writers = writers.max(checked);
        match file_type(&found, &shown)? {
            FileType::Directory => folder = found,
            FileType::Symlink => {
                links += 1;
                let target = link_target(&found, &shown)?;
                shown.pop();
                if links > MAX_LINKS {
                    return Err(ProgramFileError::Open { path: shown, cause: Errno::LOOP.into() });
                }
                if target.is_absolute() {
                    folder = root()?;
                    shown = "/".into();
                }
                let mut target = parts(&target);
                target.append(&mut rest);
                rest = target;
            }
            FileType::RegularFile if rest.is_empty() => return finish(&folder, &name, found, writers, shown),
            _ => break,
        }
    }
    Err(ProgramFileError::NotProgram(shown))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let is_part = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_part).map(|part| part.as_os_str().to_owned()).collect()
}

fn open_in(folder: Option<&OwnedFd>, name: &OsStr, flags: OFlags, shown: &Path) -> Result<OwnedFd, ProgramFileError> {
    use std::os::fd::AsFd;
    let folder = folder.map_or(rustix::fs::CWD, AsFd::as_fd);
    openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed(shown, error))
}

fn failed(path: &Path, cause: impl Into<io::Error>) -> ProgramFileError {
    ProgramFileError::Open { path: path.to_owned(), cause: cause.into() }
}

fn status(file: &OwnedFd, shown: &Path) -> Result<Stat, ProgramFileError> {
    fstat(file).map_err(|error| failed(shown, error))
}

fn file_type(file: &OwnedFd, shown: &Path) -> Result<FileType, ProgramFileError> {
    Ok(FileType::from_raw_mode(status(file, shown)?.st_mode))
}

fn link_target(link: &OwnedFd, shown: &Path) -> Result<PathBuf, ProgramFileError> {
    let target = readlinkat(link, c"", Vec::new()).map_err(|error| failed(shown, error))?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// Errors if users other than root and the user of this process can write the file, or change the entries of the folder.
fn check(file: &OwnedFd, shown: &Path) -> Result<Writers, ProgramFileError> {
    let status = status(file, shown)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    let writers = match status.st_uid {
        0 => Writers::Root,
        uid if uid == rustix::process::geteuid().as_raw() => Writers::User,
        UNMAPPED_UID if is_in_user_namespace() => Writers::User,
        uid => return Err(ProgramFileError::Owner { path: shown.to_owned(), uid }),
    };
    let mode = status.st_mode & 0o7777;
    let is_sticky_folder = kind == FileType::Directory && mode & STICKY != 0;
    if kind == FileType::Symlink || mode & WRITABLE_BY_OTHERS == 0 || is_sticky_folder {
        return Ok(writers);
    }
    if mode & 0o002 == 0 && is_private_group(status.st_gid) {
        return Ok(Writers::User);
    }
    Err(ProgramFileError::Writable { path: shown.to_owned(), mode })
}

/// Whether the group is the one that distributions create for each user (with umask 002, the user's files are writable by it).
fn is_private_group(gid: u32) -> bool {
    let gid = nix::unistd::Gid::from_raw(gid);
    if gid != nix::unistd::getegid() {
        return false;
    }
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    match (user, nix::unistd::Group::from_gid(gid)) {
        (Ok(Some(user)), Ok(Some(group))) => {
            group.name == user.name && group.mem.iter().all(|member| *member == user.name)
        }
        _ => false,
    }
}

/// Whether user ids are mapped, so that the owner of a file may be unknown (`PrivateUsers=` of systemd, for example).
fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map");
    map.is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

fn finish(
    folder: &OwnedFd,
    name: &OsStr,
    file: OwnedFd,
    writers: Writers,
    shown: PathBuf,
) -> Result<ProgramFile, ProgramFileError> {
    let found = status(&file, &shown)?;
    let is_mounted_noexec = fstatvfs(&file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC));
    if found.st_mode & 0o111 == 0 || is_mounted_noexec {
        return Err(failed(&shown, Errno::ACCESS));
    }
    let content = match open_in(Some(folder), name, OFlags::RDONLY | OFlags::NONBLOCK, &shown) {
        Ok(content) => {
            let opened = status(&content, &shown)?;
            if (opened.st_dev, opened.st_ino) != (found.st_dev, found.st_ino) {
                return Err(failed(&shown, io::Error::other("it was replaced at the same time")));
            }
            Some(File::from(content))
        }
        Err(_) => None,
    };
    if content.as_ref().is_some_and(is_script) {
        return Err(ProgramFileError::Script(shown));
    }
    Ok(ProgramFile { file, content, writers })
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
    fn program_writable_by_others_is_rejected() {
        let (folder, path) = installed();
        let bin = path.parent().unwrap();
        symlink(&path, folder.path().join("rolecalld")).unwrap();
        for (path_of_mode, mode) in [(path.as_path(), 0o757), (bin, 0o757), (bin, 0o777)] {
            set_mode(path_of_mode, mode);
            let text = format!("{} is writable by other users (mode {mode:04o})", path_of_mode.display());
            assert_eq!(error(&path), text);
            assert_eq!(error(&folder.path().join("rolecalld")), text, "through a link");
            set_mode(path_of_mode, 0o755);
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(bin, Some(1), None).unwrap();
            assert_eq!(error(&path), format!("{} belongs to another user (uid 1)", bin.display()));
            std::os::unix::fs::chown(bin, Some(0), None).unwrap();
        }
        // In a folder like /tmp, other users cannot replace the file.
        set_mode(bin, 0o1777);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn group_write_permission_is_accepted_for_the_private_group() {
        let (_folder, path) = installed();
        set_mode(&path, 0o775);
        let is_private = is_private_group(nix::unistd::getegid().as_raw());
        match open(&path) {
            Ok(opened) => assert_eq!((opened.writers, is_private), (Writers::User, true)),
            Err(error) => assert!(matches!(error, ProgramFileError::Writable { mode: 0o775, .. }), "{error}"),
        }
        assert!(!is_private_group(nix::unistd::getegid().as_raw() + 1));
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
        assert!(matches!(open(&path.join("x")), Err(ProgramFileError::NotProgram(_))));
        assert!(error(&folder.path().join("none")).contains("No such file"));
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(error(&folder.path().join("loop")).contains("cannot be started ("));
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o700), 0)
            .unwrap();
        assert!(matches!(open(&folder.path().join("fifo")), Err(ProgramFileError::NotProgram(_))));
    }
}
