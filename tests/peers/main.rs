//! Against what nobody here wrote: kubectl, the AWS CLI, moto.
//!
//! `tests/run` installs the peers and says where they are (`ROLECALL_TEST_PYTHON`, `ROLECALL_TEST_KUBECTL`). A peer that is not
//! there is reported in a line that begins with SKIPPED, which `tests/run` counts, and which is a failure with `CI=true`.

// A test says what it expects and stops when that is not so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aws_cli;
mod kubectl;
mod moto;
mod peer;
mod sso;
mod unauthorized;
