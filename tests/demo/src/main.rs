//! `cargo demo`: builds the client, the daemon and the demo, and starts the demo.
//!
//! One run of cargo builds all three. Two runs would compile many dependencies twice, because cargo unites the features
//! of a dependency over the packages of one run only.

// The program prints to the terminal, and exits with a reason.
#![allow(clippy::print_stderr)]

use std::convert::Infallible;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// What is built, besides this program: arguments of `cargo build`. `cargo measure build` reads them too.
const BUILD: &str = include_str!("../build.args");

fn main() -> ExitCode {
    let Err(reason) = build().and_then(|()| become_demo());
    eprintln!("demo: {reason}");
    ExitCode::FAILURE
}

/// Builds what [`BUILD`] names. Cargo shows its own progress.
#[allow(clippy::disallowed_methods)] // cargo sets the variable to its own path
fn build() -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--locked"])
        .args(BUILD.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the build failed".to_owned()),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}

/// Replaces this process by the demo, which is built into the same folder. Returns if that fails.
fn become_demo() -> Result<Infallible, String> {
    let own = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let error = Command::new(own.with_file_name("demo")).args(env::args_os().skip(1)).exec();
    Err(format!("cannot start the demo: {error}"))
}
