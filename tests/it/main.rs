//! The daemon in process, on a clock that the test turns, with the real client binary and the embedded AWS.
//!
//! A test that needs a process (signals, sockets, start-up) belongs into `tests/process`, one that needs a program that
//! nobody here wrote into `tests/peers`. Where a test covers a row of the fault matrix, its name says so.

// A test says what it expects and stops when that is not so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;

mod architecture;
mod bad_input;
mod chains;
mod clocks;
mod clusters;
mod engine;
mod engine_property;
mod failures;
mod inputs;
mod keyring;
mod lock;
mod mfa;
mod pins;
mod renewal;
mod scale;
mod simulation;
mod sources;
mod sso;
mod tokens;
mod warnings;
