//! Runs Rolecall with independent programs: kubectl, the AWS CLI, moto.
//!
//! `tests/run` installs them and sets `ROLECALL_TEST_PYTHON` and `ROLECALL_TEST_KUBECTL`. A missing program is reported
//! in a line that starts with SKIPPED, which `tests/run` counts; with `CI=true` that is a failure.

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;
mod peer;

mod access_plan;
mod aws_cli;
mod aws_files;
mod credentials;
mod import;
mod kubectl;
mod moto;
mod python_client;
mod sso;
mod unauthorized;
