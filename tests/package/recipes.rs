//! The RPM package, and the recipes for Homebrew, Arch Linux and Nix, as far as their tools can check them here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::{Format, package, repository};
use crate::skip;

/// Runs a program and returns its stdout; `None`, with a line that starts with SKIPPED, if it is not installed.
fn output_of(command: &mut Command) -> Option<String> {
    let program = command.get_program().to_owned();
    let Ok(output) = command.output() else {
        skip(&format!("{} is not installed", program.display()));
        return None;
    };
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn rpm_has_the_programs_their_modes_and_the_licenses() {
    let Some(list) = output_of(
        Command::new("rpm")
            .args(["-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]"])
            .arg(package(Format::Rpm, ".rpm")),
    ) else {
        return;
    };
    for line in [
        "-rwxr-xr-x /usr/bin/rolecall",
        "-rwx--x--x /usr/bin/rolecalld",
        "lrwxrwxrwx /usr/bin/kubectl-rolecall",
        "-rw-r--r-- /usr/lib/systemd/user/rolecalld.socket",
        "-rw-r--r-- /usr/share/doc/rolecall/LICENSE",
        "-rw-r--r-- /usr/share/doc/rolecall/THIRD-PARTY-LICENSES.gz",
        "-rw-r--r-- /usr/share/rolecall/rolecall.schema.json",
    ] {
        assert!(list.lines().any(|file| file == line), "{line}\n{list}");
    }
}

#[test]
fn formula_is_ruby_and_names_the_source() {
    let formula = package(Format::Recipes, "rolecall.rb");
    let text = fs::read_to_string(&formula).unwrap();
    assert!(!text.contains('@'), "a place is not filled in: {text}");
    assert!(text.contains(&sha256(&source_tarball())), "{text}");
    output_of(Command::new("ruby").arg("-c").arg(&formula));
}

#[test]
fn pkgbuild_describes_the_package() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(package(Format::Recipes, "PKGBUILD"), folder.path().join("PKGBUILD")).unwrap();
    // makepkg refuses to run as root. Printing the description needs no other user's rights.
    let text = fs::read_to_string(folder.path().join("PKGBUILD")).unwrap();
    assert!(!text.contains("@VERSION@") && !text.contains("@SHA256@") && !text.contains("@URL@"), "{text}");
    let script = "set -eu; . ./PKGBUILD; declare -F prepare build package >/dev/null; echo \"$pkgname $pkgver ${sha256sums[0]}\"";
    let found = output_of(Command::new("bash").args(["-c", script]).current_dir(folder.path())).unwrap();
    let sum = sha256(&source_tarball());
    assert_eq!(found.trim(), format!("rolecall {} {sum}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn flake_is_nix() {
    output_of(Command::new("nix-instantiate").arg("--parse").arg(repository().join("install/nix/flake.nix")));
}

fn source_tarball() -> PathBuf {
    package(Format::Recipes, &format!("rolecall-{}.tar.gz", env!("CARGO_PKG_VERSION")))
}

fn sha256(path: &Path) -> String {
    let output = output_of(Command::new("sha256sum").arg(path)).unwrap();
    output.split(' ').next().unwrap().to_owned()
}
