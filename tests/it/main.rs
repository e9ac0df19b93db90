//! The daemon in process, with an injected clock, the real client and the embedded AWS.
//!
//! A test that needs a process (signals, sockets, start-up) belongs to `tests/process`; one that needs an independent program
//! belongs to `tests/peers`. A test of a fault-matrix row cites the row in a doc line.

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;

mod access;
mod access_aws_auth;
mod access_calls;
mod architecture;
mod aws_files;
mod bad_input;
mod chains;
mod clocks;
mod clusters;
mod constraints;
mod credentials;
mod denials;
mod discover;
mod doctor;
mod engine;
mod engine_property;
mod failures;
mod fleet;
mod imports;
mod includes;
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
mod token_verification;
mod tokens;
mod warnings;
