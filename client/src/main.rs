//! `rolecall`: configures profiles, and is the exec credential plugin that kubectl runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    rolecall::main()
}
