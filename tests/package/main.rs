//! Makes the packages of `install/package.sh` from the programs of this build, installs them, and uses them.
//!
//! `tests/run package` installs what the tests need and sets `ROLECALL_TEST_DEBIAN_ROOT` to the folder of a new Debian system.
//! Without it the tests of the Debian package are reported in a line that starts with SKIPPED; with `CI=true` that is a
//! failure.

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod debian;
mod installer;
mod packages;
mod recipes;
mod reproducible;
mod sbom;

/// Reports that something was not tested. `tests/run` counts these lines.
fn skip(what: &str) {
    use std::io::Write as _;
    let mut stderr = std::io::stderr(); // past the test runner's capture
    writeln!(stderr, "SKIPPED: package: {what}").unwrap();
}
