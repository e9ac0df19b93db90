//! Builds the programs as they are shipped.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths of the programs.
pub(crate) struct Programs {
    pub(crate) client: PathBuf,
    pub(crate) daemon: PathBuf,
}

pub(crate) fn programs() -> Programs {
    Programs { client: client(), daemon: build(&["--release", "--package", "rolecalld"]).join("release/rolecalld") }
}

/// Builds the client as `install/install.sh` does: static where the C library allows it.
fn client() -> PathBuf {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return build(&["--profile", "client", "--package", "rolecall"]).join("client/rolecall");
    }
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut cargo = cargo(&["--profile", "client", "--package", "rolecall", "--target", &host]);
    cargo.env("RUSTFLAGS", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../install/client.rustflags")).trim());
    run(&mut cargo).join(host).join("client/rolecall")
}

fn build(arguments: &[&str]) -> PathBuf {
    run(&mut cargo(arguments))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked"]).args(arguments).current_dir(workspace());
    cargo
}

/// Runs the build and returns the target folder.
fn run(cargo: &mut Command) -> PathBuf {
    assert!(cargo.status().expect("cargo can be started").success(), "the build failed");
    workspace().join("target")
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
