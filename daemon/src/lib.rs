//! `rolecalld`: assumes EKS roles, keeps their sessions, and serves tokens over a Unix socket.
//!
//! The modules stand in the order in which data flows, and each uses only those above it; `ARCHITECTURE.md` beside
//! this folder tells the story. `main` puts them together; everything else of the program is here, so that a test can
//! run it in process with a clock of its own.

pub mod clock;
pub mod folder;
pub mod harden;
pub mod log;
pub mod machine;
pub mod task;

pub mod config;
pub mod profile;

pub mod breaker;
pub mod limits;
pub mod transport;

pub mod aws;
pub mod session;

pub mod keyring;
pub mod sso;

pub mod source;

pub mod cluster;
pub mod hop;

pub mod cache;
#[cfg(test)]
mod cache_tests;
pub mod sessions;

pub mod renew;

pub mod pin;
pub mod token;

pub mod lock;

pub mod notify;

pub mod agent;
pub mod handover;
pub mod server;
