//! Runs the real client and the real daemon as a user and kubectl start them: start-up, signals, sockets, files.
//!
//! A test that needs an injected clock belongs to `tests/it`.

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod desktop;
mod desktop_lock;
mod discover;
mod doctor;
mod doctor_client;
mod fake_access;
mod fake_daemon;
mod fixture;

mod access;
mod access_client;
mod access_plan;
mod add;
mod add_access;
mod add_concurrent;
mod add_existing;
mod add_login;
mod agent;
mod audit;
mod clock_and_sleep;
mod commands;
mod completions;
mod concurrency;
mod constraints;
mod cooldown;
mod credentials;
mod demo;
mod doctor_causes;
#[cfg(target_os = "linux")]
mod dumps;
mod entry_key;
mod environment;
mod exec;
mod files;
mod guides;
#[cfg(target_os = "linux")]
mod handover;
#[cfg(target_os = "linux")]
mod handover_attack;
#[cfg(target_os = "linux")]
mod handover_program;
mod import;
mod includes;
mod interrupted;
mod keyring;
mod keys;
mod limits;
mod lock;
mod login;
mod login_e2e;
mod malformed_aws_responses;
mod messages;
mod network;
mod notifications;
mod plugin_cost;
mod plugin_login_prompt;
mod prompt;
mod screens;
mod secrets;
mod shell;
mod soak;
mod sources;
mod sources_and_config;
mod start;
mod start_refused;
mod unauthorized;
mod use_context;
mod watch;
