//! Faults of the kubeconfig or the disk: the kubeconfig and the configuration stay unchanged.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolecall_harness::Output;

use crate::fixture::{ADD, Fixture};

const THEIRS: &str = "# mine\napiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n";

fn with_kubeconfig(text: &str) -> Fixture {
    let fixture = Fixture::bare();
    let path = fixture.sandbox.kubeconfig();
    fixture.sandbox.write(path.strip_prefix(fixture.sandbox.root()).unwrap(), text);
    // Start the daemon first, so that limits below apply to the client only.
    fixture.rolecall(&["agent", "start"]).assert_ok();
    fixture
}

#[track_caller]
fn nothing_was_written(fixture: &Fixture, said: &Output, expected: &str) {
    said.assert_code(1);
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    let config = fs::read_to_string(fixture.config_path()).unwrap_or_default();
    assert!(!config.contains("[profiles.prod]"), "{config}");
}

#[test]
fn kubeconfig_with_malformed_yaml_is_not_changed() {
    let fixture = with_kubeconfig("apiVersion: v1\nclusters: [\nusers: }\n");
    let said = fixture.rolecall(&ADD);
    let path = fixture.sandbox.kubeconfig();
    nothing_was_written(&fixture, &said, &format!("{}:", path.display()));
    assert_eq!(fs::read_to_string(path).unwrap(), "apiVersion: v1\nclusters: [\nusers: }\n");
}

#[test]
fn kubeconfig_of_another_user_is_not_changed() {
    if !is_root() {
        return skipped("a kubeconfig of another user: only root can give a file away");
    }
    let fixture = with_kubeconfig(THEIRS);
    let path = fixture.sandbox.kubeconfig();
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    let said = fixture.rolecall(&ADD);
    nothing_was_written(&fixture, &said, "12345");
    assert_eq!(fs::read_to_string(path).unwrap(), THEIRS);
}

#[test]
fn kubeconfig_with_foreign_context_is_not_changed() {
    let theirs = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts:\n- name: prod\n  context: {cluster: x, user: z}\n";
    let fixture = with_kubeconfig(theirs);
    let said = fixture.rolecall(&ADD);
    nothing_was_written(&fixture, &said, "kubectl config rename-context prod");
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), theirs);
}

/// Fault matrix row 93.
#[test]
fn kubeconfig_over_file_size_limit_is_not_changed() {
    let fixture = with_kubeconfig(&format!("{THEIRS}# {}\n", "x".repeat(20_000)));
    let path = fixture.sandbox.kubeconfig();
    let before = fs::read(&path).unwrap();
    // A file size limit acts like a full disk for this one process.
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", "rolecall"]).args(ADD);
    let said = fixture.sandbox.run(&mut command);
    nothing_was_written(&fixture, &said, &path.display().to_string());
    assert_eq!(fs::read(&path).unwrap(), before);
    no_leftovers(&path);
    fixture.rolecall(&ADD).assert_ok();
}

/// Fault matrix row 93.
#[test]
fn kubeconfig_on_full_file_system_is_not_changed() {
    let fixture = with_kubeconfig(THEIRS);
    let folder = fixture.sandbox.home().join("full");
    fs::create_dir(&folder).unwrap();
    let mounted = is_root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
            .arg(&folder)
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        // The test above covers this with a limit of the process.
        return skipped("a full file system under the kubeconfig: no tmpfs can be mounted here");
    }
    let path = folder.join("config");
    fs::write(&path, THEIRS).unwrap();
    fs::write(folder.join("ballast"), vec![0; 64 * 1024]).ok();
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(ADD).env("KUBECONFIG", &path));
    let after = fs::read_to_string(&path).unwrap();
    assert!(Command::new("umount").arg(&folder).status().unwrap().success());
    nothing_was_written(&fixture, &said, "No space left");
    assert_eq!(after, THEIRS);
}

/// A small file system over a folder, with the files of the folder, until it is dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` if no file system can be mounted here.
    pub(crate) fn over(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let read = |entry: fs::DirEntry| (entry.path(), fs::read(entry.path()).unwrap());
        let files: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(read).collect();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(folder);
        if !is_root() || !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Self(folder.to_owned());
        for (path, content) in files {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Some(disk)
    }

    pub(crate) fn fill(&self) {
        fs::write(self.0.join("ballast"), vec![0; 128 * 1024]).unwrap_err();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A daemon has files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The context is removed before the configuration is written.
///
/// Fault matrix row 93.
#[test]
fn remove_on_full_disk_says_what_it_has_changed() {
    let fixture = Fixture::added();
    let Some(disk) = SmallDisk::over(fixture.config_path().parent().unwrap()) else {
        return skipped("a full file system under the configuration: no tmpfs can be mounted here");
    };
    disk.fill();
    let said = fixture.rolecall(&["remove", "prod"]);
    said.assert_code(1);
    assert!(said.stderr.contains("The contexts were removed from ~/.kube/config already. Make room"), "{said}");
    assert!(fs::read_to_string(fixture.config_path()).unwrap().contains("[profiles.prod]"));
    disk.free();
    fixture.rolecall(&["remove", "prod"]).assert_ok();
}

/// Fault matrix row 126.
#[test]
fn files_written_with_umask_0777_are_readable_for_the_user() {
    let fixture = Fixture::bare();
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", "umask 0777; exec \"$@\"", "sh", "rolecall"]).args(ADD);
    fixture.sandbox.run(&mut command).assert_ok();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (config, kubeconfig) = (fixture.config_path(), fixture.sandbox.kubeconfig());
    assert_eq!([&config, &kubeconfig].map(|path| mode(path)), [0o600; 2]);
    assert_eq!([&config, &kubeconfig].map(|path| mode(path.parent().unwrap())), [0o700; 2]);
}

/// A container has its kubeconfig as a mount of one file, which cannot be replaced.
///
/// Fault matrix row 97.
#[test]
fn kubeconfig_as_mount_point_is_written_in_place() {
    let fixture = with_kubeconfig(THEIRS);
    let path = fixture.sandbox.kubeconfig();
    let host = fixture.sandbox.write("host-kubeconfig", THEIRS);
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    };
    if !is_root() || !run("mount", &["--bind".as_ref(), host.as_ref(), path.as_ref()]) {
        return skipped("a kubeconfig that is a mount point: no file can be mounted here");
    }
    let added = fixture.rolecall(&ADD);
    let text = fs::read_to_string(&host).unwrap();
    let backups = fs::read_dir(path.parent().unwrap()).unwrap().count() - 1;
    let removed = fixture.rolecall(&["remove", "prod"]);
    let after = fs::read_to_string(&host).unwrap();
    assert!(run("umount", &[path.as_ref()]));
    added.assert_ok();
    assert!(text.starts_with("# mine\n") && text.contains("rolecall-prod"), "{text}");
    assert_eq!(backups, 1);
    removed.assert_ok();
    assert_eq!(after, THEIRS);
}

/// Fault matrix row 91.
#[test]
fn config_that_others_can_write_is_refused() {
    let fixture = Fixture::bare();
    fixture.write_config("# mine\n");
    fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(0o646)).unwrap();
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    let fix = format!("chmod go-w {}", fixture.config_path().display());
    assert!(said.stderr.contains("(mode 0646)") && said.stderr.trim_end().ends_with(&fix), "{}", said.stderr);
    assert!(!fixture.sandbox.kubeconfig().exists());
    // A folder counts too.
    fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(0o600)).unwrap();
    let folder = fixture.config_path().parent().unwrap().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let said = fixture.rolecall(&ADD);
    said.assert_code(1);
    assert!(said.stderr.contains(&format!("chmod go-w {}", folder.display())), "{}", said.stderr);
}

/// Fault matrix row 95.
#[test]
fn created_files_are_private_for_any_umask() {
    let fixture = Fixture::bare();
    let found = || {
        let mut found = Vec::new();
        let mut folders = vec![fixture.sandbox.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
                if metadata.is_dir() || metadata.is_file() {
                    found.push((entry.path(), metadata.permissions().mode() & 0o777, metadata.is_dir()));
                }
            }
        }
        found
    };
    let before: Vec<_> = found().into_iter().map(|(path, ..)| path).collect();
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", "umask 000; exec \"$@\"", "sh", "rolecall"]).args(ADD);
    fixture.sandbox.run(&mut command).assert_ok();
    let made: Vec<_> = found().into_iter().filter(|(path, ..)| !before.contains(path)).collect();
    assert!(made.iter().any(|(path, ..)| *path == fixture.config_path()), "{made:?}");
    for (path, mode, is_folder) in made {
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn kubeconfig_that_others_can_write_is_noted() {
    let fixture = with_kubeconfig(THEIRS);
    fs::set_permissions(fixture.sandbox.kubeconfig(), fs::Permissions::from_mode(0o646)).unwrap();
    let said = fixture.rolecall(&ADD);
    said.assert_ok();
    assert!(said.stderr.contains("other users can write"), "{}", said.stderr);
}

#[test]
fn kubeconfig_in_unwritable_folder_writes_nothing() {
    let fixture = with_kubeconfig(THEIRS);
    // Even root cannot create files in /proc.
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(ADD).env("KUBECONFIG", "/proc/kubeconfig"));
    nothing_was_written(&fixture, &said, "/proc/kubeconfig");
}

/// Fault matrix row 97.
#[test]
fn kubeconfig_keeps_comments_mode_and_symlink() {
    let fixture = with_kubeconfig(THEIRS);
    let path = fixture.sandbox.kubeconfig();
    let real = fixture.sandbox.home().join("dotfiles-kubeconfig");
    fs::rename(&path, &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    fixture.rolecall(&ADD).assert_ok();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    let text = fs::read_to_string(&real).unwrap();
    assert!(text.starts_with("# mine\n") && text.contains("rolecall-prod"), "{text}");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

/// Fault matrix row 98.
#[test]
fn kubeconfig_locked_by_kubectl_is_named_after_waiting() {
    let fixture = with_kubeconfig(THEIRS);
    let lock = fixture.sandbox.kubeconfig().with_file_name("config.lock");
    fs::write(&lock, "").unwrap();
    let said = fixture.rolecall(&ADD);
    nothing_was_written(&fixture, &said, &lock.display().to_string());
    fs::remove_file(&lock).unwrap();
    fixture.rolecall(&ADD).assert_ok();
    assert!(!lock.exists());
}

#[track_caller]
fn no_leftovers(path: &Path) {
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["config"], "nothing but the file itself");
}

/// Reports a skipped test. Writes past the test runner's capture, so that `tests/run` sees the line.
pub(crate) fn skipped(what: &str) {
    let mut tty = std::io::stderr();
    writeln!(tty, "SKIPPED: {what}").unwrap();
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}
