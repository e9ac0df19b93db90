//! Ctrl-C during a file write: the write completes, and no temporary files remain.

use std::fs;
use std::path::Path;

use rolecall_harness::Output;

use crate::files::skipped;
use crate::fixture::{ADD, Fixture};

/// Runs `rolecall` and interrupts it at its `nth` fsync, in the middle of a write. Returns `None`, and reports the test
/// as skipped, without strace.
fn interrupted(fixture: &Fixture, nth: u32, arguments: &[&str]) -> Option<Output> {
    let strace = |inject: &str| {
        // A shell in the background starts this suite with SIGINT ignored, and children inherit that.
        let mut command = fixture.sandbox.command("env");
        command.args(["--default-signal=INT", "strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", inject]);
        command
    };
    let works = strace("inject=fsync:signal=INT:when=1").arg("true").output().is_ok_and(|said| said.status.success());
    if !works {
        skipped("Ctrl-C in the middle of a write: strace is not installed, or may not trace");
        return None;
    }
    let mut command = strace(&format!("inject=fsync:signal=INT:when={nth}"));
    Some(fixture.sandbox.run(command.arg("rolecall").args(arguments)))
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
    let Some(said) = interrupted(&fixture, 1, &["kubeconfig", "prod", "--kubeconfig", file.to_str().unwrap()]) else {
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
    let Some(said) = interrupted(&fixture, 1, &["remove", "prod", "--keep-context"]) else { return };
    assert_ne!(said.code(), Some(0), "it was interrupted: {said:?}");
    assert_eq!(names(fixture.config_path().parent().unwrap()), ["config.toml"]);
    assert!(!fs::read_to_string(fixture.config_path()).unwrap().contains("[profiles.prod]"));
    // Running the command again completes the change.
    fixture.rolecall(&ADD).assert_ok();
    fixture.token().assert_ok();
}
