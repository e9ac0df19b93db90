use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

use super::*;

/// A folder with `home/file` in it.
fn home_with_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("home/file");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "text").unwrap();
    set_mode(&path, 0o600);
    set_mode(path.parent().unwrap(), 0o755);
    (folder, path)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn error(path: &Path) -> TrustError {
    open(path).unwrap_err()
}

#[test]
fn open_file_of_the_user_succeeds() {
    let (folder, path) = home_with_file();
    assert_eq!(io::read_to_string(open(&path).unwrap()).unwrap(), "text");
    let checked = check(&path).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(checked.writers, if is_root { Writers::Root } else { Writers::User });
    assert_eq!(checked.path, path);
    assert!(check(folder.path()).unwrap().metadata.is_dir());
    assert_eq!(check(&path.join("..")).unwrap().path, path.parent().unwrap());
    assert_eq!(check(Path::new("/")).unwrap().writers, Writers::Root);
}

/// As with nix and stow: links to links, relative and absolute, through a folder that is a link.
#[test]
fn open_chain_of_links_succeeds() {
    let (folder, path) = home_with_file();
    let root = folder.path();
    fs::create_dir_all(root.join("store/1-generation/etc")).unwrap();
    symlink("1-generation", root.join("store/current")).unwrap();
    symlink(&path, root.join("store/1-generation/etc/file")).unwrap();
    symlink("../store/current/etc/./file", root.join("home/link")).unwrap();
    let checked = check(&root.join("home/link")).unwrap();
    assert_eq!(checked.path, path);
    assert!(open(&root.join("home/link")).is_ok());
    // A link that is followed through another folder counts with that folder.
    set_mode(&root.join("store/1-generation"), 0o777);
    let expected = root.canonicalize().unwrap().join("store/1-generation");
    assert!(matches!(error(&root.join("home/link")), TrustError::WritableByOthers { path, .. } if path == expected));
}

#[test]
fn open_in_a_folder_that_others_can_write_is_rejected() {
    let (_folder, path) = home_with_file();
    let home = path.parent().unwrap();
    set_mode(home, 0o777);
    let found = error(&path);
    assert_eq!(
        found.to_string(),
        format!("other users can write the folder {} (mode 0777), and so choose what Rolecall does", home.display())
    );
    assert_eq!(found.advice(), format!("Fix it with: chmod go-w {}", home.display()));
    assert_eq!(error(&home.join("missing")), found, "a file that another user could create");
    // Only the owner of a file can replace it in a folder such as /tmp.
    set_mode(home, 0o1777);
    assert!(open(&path).is_ok());
    assert!(error(&home.join("missing")).is_missing());
}

#[test]
fn open_file_that_others_can_write_is_rejected() {
    let (_folder, path) = home_with_file();
    for mode in [0o606, 0o666, 0o622] {
        set_mode(&path, mode);
        assert!(matches!(error(&path), TrustError::WritableByOthers { mode: found, .. } if found == mode));
    }
}

#[test]
fn open_file_writable_by_a_shared_group_is_rejected() {
    let (_folder, path) = home_with_file();
    set_mode(path.parent().unwrap(), 0o775);
    if rustix::process::geteuid().is_root() {
        chown(path.parent().unwrap(), None, Some(54321)).unwrap();
        assert!(matches!(error(&path), TrustError::WritableByOthers { kind: PartKind::Folder, mode: 0o775, .. }));
        return;
    }
    // The group of this user may be private.
    match check(&path) {
        Ok(checked) => assert_eq!(checked.writers, Writers::User),
        Err(error) => assert!(matches!(error, TrustError::WritableByOthers { mode: 0o775, .. }), "{error}"),
    }
}

#[test]
fn open_file_of_another_user_is_rejected() {
    if !rustix::process::geteuid().is_root() {
        writeln!(io::stderr(), "SKIPPED: giving files away: only root can").unwrap(); // past the test runner's capture
        return;
    }
    let (folder, path) = home_with_file();
    chown(&path, Some(12345), None).unwrap();
    assert_eq!(error(&path).to_string(), format!("{} belongs to another user (uid 12345)", path.display()));
    chown(&path, Some(0), None).unwrap();
    let home = path.parent().unwrap();
    chown(home, Some(12345), None).unwrap();
    assert!(matches!(error(&path), TrustError::ForeignOwner { kind: PartKind::Folder, uid: 12345, .. }));
    chown(home, Some(0), None).unwrap();
    // A link in a folder such as /tmp, where a stranger can create it.
    set_mode(folder.path(), 0o1777);
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(open(&link).is_ok());
    lchown(&link, Some(12345), None).unwrap();
    let found = error(&link);
    let shown = link.canonicalize().map(|_| folder.path().canonicalize().unwrap().join("link")).unwrap();
    assert_eq!(found.to_string(), format!("the link {} belongs to another user (uid 12345)", shown.display()));
    assert!(found.advice().contains("rm "), "{}", found.advice());
}

#[test]
fn open_what_is_not_a_file_is_rejected() {
    let (folder, path) = home_with_file();
    let missing = error(&folder.path().join("missing/file"));
    assert!(missing.is_missing(), "{missing}");
    assert!(matches!(error(&path.join("below")), TrustError::Io { .. }));
    assert!(matches!(error(folder.path()), TrustError::NotRegular { found: "a folder", .. }));
    symlink("loop", folder.path().join("loop")).unwrap();
    let found = error(&folder.path().join("loop"));
    assert!(matches!(found, TrustError::Io { errno: rustix::io::Errno::LOOP, .. }), "{found}");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(error(&pipe), TrustError::NotRegular { found: "a device, socket or pipe", .. }));
    assert!(matches!(error(Path::new("/dev/zero")), TrustError::NotRegular { .. }));
}

#[test]
fn shell_quoted_odd_characters_are_quoted() {
    assert_eq!(shell_quoted(Path::new("my kube")), "'my kube'");
    assert_eq!(shell_quoted(Path::new("it's")), r"'it'\''s'");
    assert_eq!(shell_quoted(Path::new("~x")), "'~x'");
    assert_eq!(shell_quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
}
