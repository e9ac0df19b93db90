//! The program `rolecall`. It is a library so that `tests/fuzz` can call parts of it; [`main()`] is its only use.
//!
//! `rolecall token NAME`, which kubectl runs, is recognised before any argument parser runs: that path only
//! calls the daemon. Every other command goes through `cli` and `run`.

mod aws_config_file;
mod aws_profiles;
mod aws_session;
mod cli;
mod clock;
mod commands;
mod completion;
mod config_file;
mod context;
mod credential_server;
mod daemon;
mod debugging;
mod environment;
mod error;
mod files;
mod format_time;
mod kubeconfig;
mod login;
mod output;
mod private_kubeconfig;
mod problem_text;
mod protected;
mod run;
mod standard_streams;
mod terminal;
mod token;

use std::ffi::{OsStr, OsString};

use context::Context;
use environment::Environment;

#[cfg(any(test, fuzzing))]
pub use kubeconfig::fuzz;

/// Runs the program with the arguments and the environment of this process. Returns the exit code.
///
/// Does not rely on the runtime of the standard library, which `main.rs` leaves out.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> u8 {
    debugging::forbid();
    standard_streams::open_closed();
    match fast_path(&arguments) {
        Some(name) => token::run(name, environment),
        None => command(arguments),
    }
}

/// Whether these are the arguments of the plugin that kubectl runs.
#[must_use]
pub fn is_plugin_call(arguments: &[OsString]) -> bool {
    fast_path(arguments).is_some()
}

/// Runs every command except the fast path.
fn command(arguments: Vec<OsString>) -> u8 {
    keep_files_accessible();
    let context = Context::new(environment);
    let result = match context.environment.get(completion::VARIABLE).map(OsStr::to_string_lossy) {
        Some(shell) => completion::complete(&shell, arguments).and_then(|candidates| output::stdout_bytes(&candidates)),
        None => match cli::parse(arguments) {
            Ok(cli) => run::run(cli, &context),
            Err(error) => return output::print_usage_error(&error),
        },
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            output::print_error(&error);
            error.code()
        }
    }
}

/// Removes the user's own permissions from the umask: with umask 0777, the user could not read the files that a command writes. The
/// programs of `shell` and `exec` inherit the result.
fn keep_files_accessible() {
    let own = rustix::fs::Mode::RWXU;
    let mask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    rustix::process::umask(mask - own);
}

/// Returns the profile's name if the command line is exactly `rolecall token NAME`. clap parses anything that may be an
/// option.
fn fast_path(arguments: &[OsString]) -> Option<&OsStr> {
    match arguments {
        [_, command, name] if command == "token" && !name.as_encoded_bytes().starts_with(b"-") => Some(name),
        _ => None,
    }
}

/// Reads the environment of this process.
#[allow(clippy::disallowed_methods)] // the client's one look at all of it
fn environment() -> Environment {
    std::env::vars_os().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_path_accepts_only_the_plain_form() {
        let decide = |words: &[&str]| {
            let arguments: Vec<OsString> = words.iter().map(Into::into).collect();
            fast_path(&arguments).map(|name| name.to_string_lossy().into_owned())
        };
        assert_eq!(decide(&["rolecall", "token", "prod"]).as_deref(), Some("prod"));
        assert_eq!(decide(&["/x/rolecall", "token", "pr od"]).as_deref(), Some("pr od"));
        assert_eq!(decide(&["rolecall", "token", ""]).as_deref(), Some(""));
        for other in [
            &["rolecall"][..],
            &["rolecall", "token"],
            &["rolecall", "token", "--help"],
            &["rolecall", "token", "-h"],
            &["rolecall", "token", "prod", "--help"],
            &["rolecall", "token", "--", "prod"],
            &["rolecall", "--no-color", "token", "prod"],
            &["rolecall", "Token", "prod"],
            &["rolecall", "status", "prod"],
            &[],
        ] {
            assert_eq!(decide(other), None, "{other:?}");
        }
    }
}
