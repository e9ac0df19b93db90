//! `rolecall`: configures profiles, and is the exec credential plugin that kubectl runs.

mod cli;
mod clock;
mod closed_stdout;
mod commands;
mod completion;
mod config_file;
mod context;
mod daemon;
mod environment;
mod error;
mod files;
mod format_time;
mod kubeconfig;
mod login;
mod output;
mod problem_text;
mod run;
mod terminal;
mod token;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

fn main() -> ExitCode {
    rolecall::main()
}
