//! Ctrl-C and SIGKILL during a file write: after Ctrl-C the write completes, and no temporary files remain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rolecall_harness::Output;

use crate::files::skipped;
use crate::fixture::{ADD, Fixture};

/// The system calls that change files, or that decide which one is changed.
const CALLS_OF_FILES: &str =
    "%file,write,pwrite64,fsync,fdatasync,fchmod,fchown,fsetxattr,fremovexattr,flock,ftruncate,close";

/// Runs `rolecall` and sends it a signal at the `nth` of these system calls. Returns `None`, and reports the test as skipped,
/// without strace.
fn signalled(fixture: &Fixture, signal: &str, calls: &str, nth: u32, arguments: &[&str]) -> Option<Output> {
    let strace = |nth: u32| {
        // A shell in the background starts this suite with SIGINT ignored, and children inherit that.
        let mut command = fixture.sandbox.command("env");
        command.args(["--default-signal=INT", "strace", "-f", "-o", "/dev/null", "-e"]).arg(format!("trace={calls}"));
        command.args(["-e", &format!("inject={calls}:signal={signal}:when={nth}")]);
        command
    };
    let works = strace(u32::from(u16::MAX)).arg("true").output().is_ok_and(|said| said.status.success());
    if !works {
        skipped("a signal in the middle of a write: strace is not installed, or may not trace");
        return None;
    }
    Some(fixture.sandbox.run(strace(nth).arg("rolecall").args(arguments)))
}

/// Runs `rolecall` and interrupts it at its first fsync, in the middle of a write.
fn interrupted(fixture: &Fixture, arguments: &[&str]) -> Option<Output> {
    signalled(fixture, "INT", "fsync", 1, arguments)
}

/// Kills `rolecall` at its first system call of [`CALLS_OF_FILES`], then at the second, until it comes to its end. Each time
/// the file has its former text or the new one, and its mode.
fn killed_at_each_call(fixture: &Fixture, file: &Path, arguments: &[&str]) {
    let mode = fs::Permissions::from_mode(0o640);
    let former = fs::read(file).unwrap();
    fixture.rolecall(arguments).assert_ok();
    let new = fs::read(file).unwrap();
    assert_ne!(former, new);
    let (mut with_former, mut with_new) = (0, 0);
    for nth in 1.. {
        for name in names(file.parent().unwrap()) {
            fs::remove_file(file.with_file_name(name)).unwrap();
        }
        fs::write(file, &former).unwrap();
        fs::set_permissions(file, mode.clone()).unwrap();
        let Some(said) = signalled(fixture, "KILL", CALLS_OF_FILES, nth, arguments) else { return };
        let found = fs::read(file).unwrap();
        assert!(found == former || found == new, "call {nth}: {}", String::from_utf8_lossy(&found));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640, "call {nth}");
        if said.code() == Some(0) {
            assert_eq!(found, new);
            break;
        }
        assert_eq!(said.status.signal(), Some(9), "{said}");
        let count = if found == former { &mut with_former } else { &mut with_new };
        *count += 1;
    }
    assert!(with_former > 10 && with_new > 1, "killed {with_former} times before the change, {with_new} after it");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fault matrix row 95.
#[test]
fn kubeconfig_interrupted_is_complete_and_unlocked() {
    let fixture = Fixture::added();
    let file = fixture.sandbox.home().join("k/config");
    let Some(said) = interrupted(&fixture, &["kubeconfig", "prod", "--kubeconfig", file.to_str().unwrap()]) else {
        return;
    };
    assert_ne!(said.code(), Some(0), "it was interrupted: {said:?}");
    assert_eq!(names(file.parent().unwrap()), ["config"]);
    assert!(fs::read_to_string(&file).unwrap().contains("rolecall-prod"));
}

/// Fault matrix row 95.
#[test]
fn remove_interrupted_leaves_complete_config() {
    let fixture = Fixture::added();
    let Some(said) = interrupted(&fixture, &["remove", "prod", "--keep-context"]) else { return };
    assert_ne!(said.code(), Some(0), "it was interrupted: {said:?}");
    assert_eq!(names(fixture.config_path().parent().unwrap()), ["config.toml"]);
    assert!(!fs::read_to_string(fixture.config_path()).unwrap().contains("[profiles.prod]"));
    // Running the command again completes the change.
    fixture.rolecall(&ADD).assert_ok();
    fixture.token().assert_ok();
}

/// Fault matrix row 95.
#[test]
fn kubeconfig_killed_at_any_call_is_the_old_or_the_new_one() {
    let fixture = Fixture::added();
    let file = fixture.sandbox.home().join("k/config");
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "# mine\napiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n").unwrap();
    killed_at_each_call(&fixture, &file, &["kubeconfig", "prod", "--kubeconfig", file.to_str().unwrap()]);
}

/// Fault matrix row 95.
#[test]
fn config_killed_at_any_call_is_the_old_or_the_new_one() {
    let fixture = Fixture::added();
    killed_at_each_call(&fixture, &fixture.config_path(), &["remove", "prod", "--keep-context"]);
    fixture.rolecall(&ADD).assert_ok();
    fixture.token().assert_ok();
}
