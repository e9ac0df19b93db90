//! The real client and the real daemon, as a person and as kubectl start them: start-up, signals, sockets, files.
//!
//! What can be shown on a clock that a test turns belongs into `tests/it`.

// A test says what it expects and stops when that is not so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod desk;
mod world;

mod add;
mod add_login;
mod again;
mod agent;
mod at_once;
mod commands;
mod cooldown;
mod crowd;
mod demo;
mod fake;
mod files;
mod handover;
mod interrupted;
mod keyring;
mod keys;
mod lock;
mod login;
mod logins;
mod machine;
mod network;
mod notifications;
mod offer;
mod refused;
mod secrets;
mod sources;
mod start;
mod watch;
mod words;
