//! `install.sh --from TARBALL` and `uninstall.sh`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolecall_harness::Sandbox;

use crate::packages::{Format, package, repository};

const TARBALL: &str = "-linux.tar.gz";

/// Returns `install/NAME` with the environment of the sandbox, which has no cargo on its PATH.
fn script(sandbox: &Sandbox, name: &str) -> Command {
    let mut command = sandbox.command("/bin/sh");
    command.arg(repository().join("install").join(name)).env("PATH", "/usr/bin:/bin");
    command
}

/// Returns every file and folder of the home.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

#[test]
fn tarball_installs_without_cargo_and_uninstall_leaves_nothing() {
    let sandbox = Sandbox::new();
    let before = files(&sandbox.home());
    let install = || {
        let mut command = script(&sandbox, "install.sh");
        command.arg("--from").arg(package(Format::Tar, TARBALL));
        command
    };

    let dry = sandbox.run(install().arg("--dry-run"));
    dry.assert_ok();
    assert!(dry.stdout.contains("bin/rolecalld") && dry.stdout.contains("dry run"), "{dry}");
    assert_eq!(files(&sandbox.home()), before, "a dry run changes nothing");

    let first = sandbox.run(&mut install());
    first.assert_ok();
    assert!(first.stdout.contains("verified") && first.stdout.contains("installed"), "{first}");
    let last = first.stdout.lines().last().unwrap();
    assert!(last.starts_with("Next: ") && last.contains("/.local/bin/rolecall add"), "{last}");
    let version = sandbox.run(sandbox.command(sandbox.home().join(".local/bin/rolecall")).arg("--version"));
    assert!(version.assert_ok().stdout.starts_with("rolecall "), "{version}");

    let second = sandbox.run(&mut install());
    assert!(!second.assert_ok().stdout.contains("installed  "), "a second run changes nothing: {second}");

    sandbox.run(&mut script(&sandbox, "uninstall.sh")).assert_ok();
    assert_eq!(files(&sandbox.home()), before);
}

#[test]
fn contexts_of_other_tools_are_offered_for_import() {
    let sandbox = Sandbox::new();
    sandbox.write("home/.kube/config", "users: [{name: a, user: {exec: {command: aws, args: [eks, get-token]}}}]\n");
    let output = sandbox.run(script(&sandbox, "install.sh").arg("--from").arg(package(Format::Tar, TARBALL)));
    let last = output.assert_ok().stdout.lines().last().unwrap();
    assert!(last.contains("rolecall import"), "{last}");

    // An upgrade, and contexts that would no longer work.
    sandbox.write("home/.kube/config", "users:\n- name: a\n  user:\n    exec:\n      command: /x/bin/rolecall\n");
    let output = sandbox.run(script(&sandbox, "install.sh").arg("--from").arg(package(Format::Tar, TARBALL)));
    let last = output.assert_ok().stdout.lines().last().unwrap();
    assert!(last.contains("rolecall doctor"), "{last}");
    let output = sandbox.run(&mut script(&sandbox, "uninstall.sh"));
    assert!(output.assert_ok().stdout.contains("still has contexts that run rolecall"), "{output}");
}

#[test]
fn damaged_tarball_is_refused() {
    let sandbox = Sandbox::new();
    let original = package(Format::Tar, TARBALL);
    let name = original.file_name().unwrap();
    let copy = sandbox.root().join(name);
    let mut bytes = fs::read(&original).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&copy, bytes).unwrap();
    fs::copy(original.with_file_name("SHA256SUMS"), sandbox.root().join("SHA256SUMS")).unwrap();
    let before = files(&sandbox.home());
    let output = sandbox.run(script(&sandbox, "install.sh").arg("--from").arg(&copy));
    assert!(output.assert_code(1).stderr.contains("is damaged"), "{output}");

    // Without SHA256SUMS, the archive itself shows it.
    fs::remove_file(sandbox.root().join("SHA256SUMS")).unwrap();
    sandbox.run(script(&sandbox, "install.sh").arg("--from").arg(&copy)).assert_code(1);
    assert_eq!(files(&sandbox.home()), before);
}

#[test]
fn checkout_without_a_compiler_is_refused_before_the_build() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&mut script(&sandbox, "install.sh"));
    assert!(output.assert_code(1).stderr.contains("cargo is not on PATH"), "{output}");
    let tools = |rust: &str| {
        let folder = sandbox.root().join("tools");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("cargo", "exit 1"), ("rustc", &format!("echo 'rustc {rust} (0 2026-01-01)'"))] {
            let path = sandbox.write(format!("tools/{name}"), &format!("#!/bin/sh\n{text}\n"));
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        format!("{}:/usr/bin:/bin", folder.display())
    };
    let output = sandbox.run(script(&sandbox, "install.sh").env("PATH", tools("1.70.0")));
    assert!(output.assert_code(1).stderr.contains("Rust 1.70.0 is too old"), "{output}");
    let output =
        sandbox.run(script(&sandbox, "install.sh").env("PATH", tools("1.999.0")).env("CC", "no-such-compiler"));
    assert!(output.assert_code(1).stderr.contains("there is no C compiler (no-such-compiler)"), "{output}");
}
