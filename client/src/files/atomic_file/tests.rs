//! If a step fails, the old file is unchanged and no other file remains.

use std::io::Write as _;
use std::time::SystemTime;

use super::*;

fn folder_with_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    (folder, file)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn replace_keeps_the_mode() {
    let (folder, path) = folder_with_file();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let original = read(&path, 3).unwrap();
    assert_eq!(original.text, "old");
    assert_eq!(replace(&original, "new and longer", Backup::None).unwrap(), None);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new and longer");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(names(folder.path()), ["file"]);
}

/// Fault matrix row 93.
#[test]
fn replace_on_a_full_disk_leaves_only_the_old_file() {
    let (folder, path) = folder_with_file();
    for backup in [Backup::Keep, Backup::None] {
        let original = read(&path, 100).unwrap();
        let failed = replace_with(&original, backup, &|file| {
            file.write_all(b"half of")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let error = failed.unwrap_err();
        assert!(error.advice().contains("Make room"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["file"]);
    }
}

#[test]
fn replace_of_a_changed_file_is_rejected() {
    let (folder, path) = folder_with_file();
    let original = read(&path, 100).unwrap();
    let outcome = replace_with(&original, Backup::Keep, &|file| {
        fs::write(&path, "theirs")?;
        file.write_all(b"ours")
    });
    assert!(matches!(outcome, Err(FileError::Changed { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(names(folder.path()), ["file"]);

    let missing = read(&folder.path().join("new"), 100).unwrap();
    assert!(!missing.exists() && missing.is_current());
    fs::write(&missing.path, "theirs").unwrap();
    assert!(matches!(replace(&missing, "ours", Backup::Keep), Err(FileError::Changed { .. })));
    assert_eq!(fs::read_to_string(&missing.path).unwrap(), "theirs");
}

#[test]
fn replace_creates_a_new_file_with_mode_0600() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/file");
    replace(&read(&path, 100).unwrap(), "text", Backup::Keep).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder.path().join("a")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(names(&folder.path().join("a/b")), ["file"]);
}

#[test]
fn replace_keeps_the_first_and_four_newest_backups() {
    let (folder, path) = folder_with_file();
    for number in 0..8 {
        let original = read(&path, 100).unwrap();
        let backup = replace(&original, &number.to_string(), Backup::Keep).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&backup).unwrap(), original.text);
        assert_eq!(fs::metadata(&backup).unwrap().mode() & 0o777, 0o600);
    }
    let names = names(folder.path());
    assert_eq!(names.len(), 6);
    let kept: Vec<String> =
        names[1..].iter().map(|name| fs::read_to_string(folder.path().join(name)).unwrap()).collect();
    assert_eq!(kept, ["old", "3", "4", "5", "6"]);
}

/// An access control list as Linux stores it: version 2, then tag, permission and id of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permission, id) in entries {
        bytes.extend(tag.to_le_bytes().iter().chain(&permission.to_le_bytes()).chain(&id.to_le_bytes()));
    }
    bytes
}

/// Sets an attribute. False if the file system has none.
fn set_attribute(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).is_ok()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::getxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

const ACL: &str = "system.posix_acl_access";
const NO_ID: u32 = u32::MAX;

/// User 12345 may read; the group may not, although its bits of the mode, which are the mask, say so.
fn acl_for_one_user() -> Vec<u8> {
    acl(&[(1, 6, NO_ID), (2, 4, 12345), (4, 0, NO_ID), (0x10, 4, NO_ID), (0x20, 0, NO_ID)])
}

/// Fault matrix row 97.
#[test]
fn replace_keeps_acl_and_attributes() {
    let (folder, path) = folder_with_file();
    if !set_attribute(&path, ACL, &acl_for_one_user()) {
        return skipped("access control lists: the file system has none");
    }
    let has_attributes = set_attribute(&path, "user.mine", b"1");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    let backup = replace(&read(&path, 100).unwrap(), "new", Backup::Keep).unwrap().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    assert_eq!(attribute(&path, ACL), Some(acl_for_one_user()));
    assert_eq!(attribute(&path, "user.mine").is_some(), has_attributes);
    assert_eq!((attribute(&backup, ACL), fs::metadata(&backup).unwrap().mode() & 0o777), (None, 0o600));
    drop(folder);
}

/// Fault matrix row 97.
#[test]
fn replace_inherits_no_acl_from_the_folder() {
    let (folder, path) = folder_with_file();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let default = acl(&[(1, 7, NO_ID), (2, 7, 12345), (4, 7, NO_ID), (0x10, 7, NO_ID), (0x20, 5, NO_ID)]);
    if !set_attribute(folder.path(), "system.posix_acl_default", &default) {
        return skipped("access control lists: the file system has none");
    }
    let backup = replace(&read(&path, 100).unwrap(), "new", Backup::Keep).unwrap().unwrap();
    let new = folder.path().join("new/file");
    replace(&read(&new, 100).unwrap(), "text", Backup::Keep).unwrap();
    let acls = [&path, &backup, &new].map(|file| (attribute(file, ACL), fs::metadata(file).unwrap().mode() & 0o777));
    assert_eq!(acls, [(None, 0o640), (None, 0o600), (None, 0o600)]);
}

#[test]
fn write_in_place_keeps_the_inode_and_makes_a_backup() {
    let (folder, path) = folder_with_file();
    let inode = || fs::metadata(&path).unwrap().ino();
    let before = inode();
    let mut backup = None;
    write_in_place(&read(&path, 100).unwrap(), &mut backup, &|file| file.write_all(b"n")).unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), inode()), ("n", before));
    assert_eq!(fs::read_to_string(backup.unwrap()).unwrap(), "old");

    // A failed write restores the text.
    let calls = std::cell::Cell::new(0);
    let error = write_in_place(&read(&path, 100).unwrap(), &mut None, &|file| {
        calls.set(calls.get() + 1);
        file.write_all(b"half of")?;
        Err(io::ErrorKind::StorageFull.into())
    })
    .unwrap_err();
    assert!(matches!(error, FileError::Io { .. }), "{error}");
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), calls.get()), ("n", 1));

    // A file that changed in the meantime is not overwritten.
    let stale = read(&path, 100).unwrap();
    fs::write(&path, "theirs").unwrap();
    let error = write_in_place(&stale, &mut None, &|file| file.write_all(b"ours")).unwrap_err();
    assert!(matches!(error, FileError::Changed { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    drop(folder);
}

#[test]
fn replace_keeps_utf_16() {
    let (_folder, path) = folder_with_file();
    let utf16 = |text: &str| {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect::<Vec<u8>>()
    };
    fs::write(&path, utf16("old é")).unwrap();
    assert!(matches!(read(&path, 100), Err(FileError::NotUtf8 { .. })));
    let original = read_unicode(&path, 100).unwrap();
    assert_eq!(original.text, "old é");
    let backup = replace(&original, "new é", Backup::Keep).unwrap().unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&backup).unwrap()), (utf16("new é"), utf16("old é")));
}

/// Fault matrix row 91.
#[test]
fn read_trusted_rejects_what_others_can_write() {
    let (folder, path) = folder_with_file();
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let result =
        |path: &Path| read_trusted(path, 100).map(|_| ()).map_err(|error| format!("{error}. {}", error.advice()));
    mode(&path, 0o644);
    assert_eq!(result(&path), Ok(()));
    for unsafe_mode in [0o666, 0o646] {
        mode(&path, unsafe_mode);
        let error = result(&path).unwrap_err();
        assert!(
            error.contains(&format!("(mode 0{unsafe_mode:o})"))
                && error.ends_with(&format!("chmod go-w {}", path.display()))
        );
    }
    mode(&path, 0o600);

    // A folder on the way, also one behind a link.
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    mode(&inner, 0o700);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("inner/file", &link).unwrap();
    fs::rename(&path, inner.join("file")).unwrap();
    assert_eq!(result(&link), Ok(()));
    mode(&inner, 0o777);
    let error = result(&link).unwrap_err();
    assert!(error.contains(&format!("other users can write the folder {} ", inner.display())), "{error}");
    // Only the owner of a file can replace it in a folder such as /tmp.
    mode(&inner, 0o1777);
    assert_eq!(result(&link), Ok(()));
    assert_eq!(result(&folder.path().join("missing/file")), Ok(()));
    mode(folder.path(), 0o777);
    assert!(result(&folder.path().join("missing/file")).is_err());
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    mode(folder.path(), 0o700);
    assert!(result(&folder.path().join("loop/file")).is_err());
}

#[test]
fn replace_follows_and_keeps_symlinks() {
    let (folder, path) = folder_with_file();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("file", &link).unwrap();
    let second = folder.path().join("second");
    std::os::unix::fs::symlink(&link, &second).unwrap();
    let original = read(&second, 100).unwrap();
    assert_eq!(original.path, path);
    replace(&original, "new", Backup::None).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert!(link.is_symlink() && second.is_symlink());
}

#[test]
fn read_file_of_another_user_is_rejected() {
    if !rustix::process::geteuid().is_root() {
        return skipped("giving files away: only root can");
    }
    let (_folder, path) = folder_with_file();
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    let error = read(&path, 100).unwrap_err();
    assert!(
        matches!(error, FileError::Untrusted(rolecall_trusted_file::TrustError::ForeignOwner { uid: 12345, .. })),
        "{error}"
    );
}

#[test]
fn replace_keeps_the_group() {
    if !rustix::process::geteuid().is_root() {
        return skipped("choosing any group: only root can");
    }
    let (_folder, path) = folder_with_file();
    std::os::unix::fs::chown(&path, None, Some(12345)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    replace(&read(&path, 100).unwrap(), "new", Backup::None).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.gid(), metadata.mode() & 0o777), (12345, 0o660));
}

#[test]
fn read_of_a_too_large_file_is_rejected() {
    let (_folder, path) = folder_with_file();
    assert!(matches!(read(&path, 2), Err(FileError::TooLarge { max_bytes: 2, .. })));
}

#[test]
fn folder_lock_excludes_others_until_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let held = lock_folder(folder.path(), Duration::ZERO).unwrap();
    let error = lock_folder(folder.path(), Duration::ZERO).unwrap_err();
    assert!(matches!(error, FileError::Busy { .. }) && error.advice().contains("pgrep -a rolecall"));
    drop(held);
    lock_folder(folder.path(), Duration::ZERO).unwrap();
    lock_folder(&folder.path().join("missing"), Duration::ZERO).unwrap();
}

#[test]
fn signals_are_deferred_while_a_temporary_file_exists() {
    let (folder, path) = folder_with_file();
    let during = std::cell::Cell::new(None);
    let write = |file: &mut File| {
        during.set(signals::are_deferred());
        file.write_all(b"new")
    };
    replace_with(&read(&path, 100).unwrap(), Backup::None, &write).unwrap();
    assert_eq!((during.get(), signals::are_deferred()), (Some(true), Some(false)));
    let fail = |_: &mut File| Err(io::ErrorKind::StorageFull.into());
    replace_with(&read(&path, 100).unwrap(), Backup::None, &fail).unwrap_err();
    assert_eq!(signals::are_deferred(), Some(false));
    assert_eq!(names(folder.path()), ["file"]);
}

/// Fault matrix row 95.
#[test]
fn replace_removes_stale_temporaries_of_crashed_processes() {
    let (folder, path) = folder_with_file();
    let make = |name: &str, minutes| {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::from(clock::now()) - Duration::from_mins(minutes)).unwrap();
    };
    for (name, minutes) in [
        (".file.abc.rolecall-tmp", 11),
        (".other.abc.rolecall-tmp", 60 * 24 * 365),
        (".file.new.rolecall-tmp", 9),
        ("notes.rolecall-tmp", 11),
        (".file.abc.tmp", 11),
    ] {
        make(name, minutes);
    }
    let link = folder.path().join(".link.rolecall-tmp");
    std::os::unix::fs::symlink("notes.rolecall-tmp", link).unwrap();
    if rustix::process::geteuid().is_root() {
        make(".theirs.rolecall-tmp", 11);
        std::os::unix::fs::chown(folder.path().join(".theirs.rolecall-tmp"), Some(12345), None).unwrap();
    } else {
        // Only root can give a file away.
        let mut tty = io::stderr();
        writeln!(tty, "SKIPPED: temporary files of other users stay: needs root").unwrap();
    }
    replace(&read(&path, 100).unwrap(), "new", Backup::None).unwrap();
    let mut left = names(folder.path());
    left.retain(|name| name != ".theirs.rolecall-tmp");
    assert_eq!(left, [".file.abc.tmp", ".file.new.rolecall-tmp", ".link.rolecall-tmp", "file", "notes.rolecall-tmp"]);
    assert_eq!(folder.path().join(".theirs.rolecall-tmp").exists(), rustix::process::geteuid().is_root());
}

/// Reports a skipped test on stderr, past the test runner's capture, so that `tests/run` counts it.
fn skipped(what: &str) {
    writeln!(io::stderr(), "SKIPPED: {what}").unwrap();
}
