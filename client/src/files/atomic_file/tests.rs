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
fn replace_keeps_the_five_newest_backups() {
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
    assert_eq!(kept, ["2", "3", "4", "5", "6"]);
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
    assert!(matches!(error, FileError::ForeignOwner { uid: 12345, .. }), "{error}");
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
