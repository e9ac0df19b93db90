//! Finds the programs that this suite tests against.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Returns a Python with the AWS CLI, boto3, moto and the Kubernetes client. `None`, reported as skipped, without it.
#[allow(clippy::disallowed_methods)] // the suite's own look at the environment
pub(crate) fn python() -> Option<PathBuf> {
    let found = std::env::var_os("ROLECALL_TEST_PYTHON").map(PathBuf::from);
    if found.is_none() {
        skipped("AWS CLI and moto: ROLECALL_TEST_PYTHON does not name a Python that has them");
    }
    found
}

/// Returns the AWS CLI version 2, which can log in. `None`, reported as skipped, without it.
#[allow(clippy::disallowed_methods)] // the suite's own look at the environment
pub(crate) fn aws_cli() -> Option<PathBuf> {
    let found = std::env::var_os("ROLECALL_TEST_AWS_CLI").map(PathBuf::from);
    if found.is_none() {
        skipped("AWS CLI 2: ROLECALL_TEST_AWS_CLI does not name one");
    }
    found
}

/// Returns a Python with the code of the AWS CLI version 2. `None`, reported as skipped, without it.
#[allow(clippy::disallowed_methods)] // the suite's own look at the environment
pub(crate) fn aws_cli_python() -> Option<PathBuf> {
    let found = std::env::var_os("ROLECALL_TEST_AWS_CLI_PYTHON").map(PathBuf::from);
    if found.is_none() {
        skipped("AWS CLI 2 as a Python package: ROLECALL_TEST_AWS_CLI_PYTHON does not name a Python that has it");
    }
    found
}

/// Reports a skipped test. Writes past the test runner's capture, so that `tests/run` sees the line.
pub(crate) fn skipped(what: &str) {
    let mut tty = std::io::stderr();
    writeln!(tty, "SKIPPED: {what}").unwrap();
}

/// Runs a Python program of this folder.
pub(crate) fn program(python: &PathBuf, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/peers").join(name));
    command
}
