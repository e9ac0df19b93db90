//! `rolecalld`: assumes EKS roles, keeps their sessions, and serves tokens over a Unix socket.
//!
//! The modules stand in the order of the data flow, and each uses only those above it; `ARCHITECTURE.md` beside
//! this folder describes them. `main` starts the program; everything else is in this library, so that a test can run it in
//! process with its own clock.

#[cfg(target_os = "macos")]
mod darwin;
pub mod harden;
pub mod log;
pub mod panic_hook;
pub mod processes;

pub mod audit_log;
pub mod system_events;
pub mod watch;

pub mod blocking_worker;

pub mod config_store;

pub mod keyring;
pub mod sessions;

pub mod renew;

pub mod pin;

pub mod confirm_prompt;
pub mod desktop_lock;
pub mod desktop_notifications;

pub mod services;

pub mod agent;
pub mod memory;
pub mod prompt_state;

pub mod handover;
pub mod server;
