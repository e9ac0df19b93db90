//! Builds the programs as they are shipped.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::ProgramPaths;

/// Paths of the programs.
pub(crate) struct Programs {
    pub(crate) client: PathBuf,
    pub(crate) daemon: PathBuf,
    /// The load generator, built as the daemon is.
    pub(crate) load: PathBuf,
}

/// Returns the given programs, and builds those that are not given.
pub(crate) fn programs(paths: &ProgramPaths) -> Programs {
    let [client, daemon] = shipped(paths);
    Programs { client, daemon, load: release("rolecall-load") }
}

/// Returns the client and the daemon.
pub(crate) fn shipped(paths: &ProgramPaths) -> [PathBuf; 2] {
    [
        paths.client.as_deref().map_or_else(|| build("client"), absolute),
        paths.daemon.as_deref().map_or_else(|| build("daemon"), absolute),
    ]
}

/// Returns a path for programs that run in another folder, such as that of their sandbox.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().expect("the given program exists")
}

/// Builds a package in a run of cargo of its own, so that no other package changes the features of its dependencies.
fn release(package: &str) -> PathBuf {
    eprintln!("building {package} in release mode");
    run(&mut cargo(&["--release", "--package", package]));
    workspace().join("target/release").join(package)
}

/// Returns the simulation of a fleet.
pub(crate) fn fleet() -> PathBuf {
    release("rolecall-fleet")
}

/// Builds the `client` or the `daemon`. Returns the path of the program.
fn build(program: &str) -> PathBuf {
    let output = install_build(&[program]).stderr(Stdio::inherit()).output().expect("install/build.sh can be started");
    assert!(output.status.success(), "the build failed");
    String::from_utf8(output.stdout).expect("the path is UTF-8").trim_end().into()
}

/// Returns the command that builds the programs as they are shipped.
pub(crate) fn install_build(arguments: &[&str]) -> Command {
    let mut build = Command::new(workspace().join("install/build.sh"));
    build.args(arguments).env("CARGO_TERM_QUIET", "true");
    build
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked"]).args(arguments).current_dir(workspace());
    cargo
}

fn run(cargo: &mut Command) {
    assert!(cargo.status().expect("cargo can be started").success(), "the build failed");
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
