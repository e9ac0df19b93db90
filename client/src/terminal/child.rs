//! Runs the program of `rolecall shell` and `rolecall exec` in place of this process.
//!
//! The program replaces this one (`execve`), as with `env` and `nice`. It keeps the process id, the process group, the
//! terminal and the open files, so signals, Ctrl-C, Ctrl-Z, `fg`, and the exit status are between it and the calling
//! shell, without a process in the middle. A process that waits for the program would have to forward signals, to stop and
//! continue together with it, and to imitate its exit status, and `kill -9` of it would leave the program running.
//!
//! The price: no code of Rolecall runs after the program. What belongs to the program is tied to its process id, which is
//! the id of this process, and is removed after that process has ended ([`crate::private_kubeconfig`]).
//!
//! `execve` makes the program debuggable again, and std resets the signal mask and SIGPIPE, which Rust ignores.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::{CliError, Exit};

/// Replaces this process by the program. Returns only if the program cannot be executed: exit code 127 if it was not found,
/// and 126 otherwise, as in `env` and the shells.
pub(crate) fn replace_process(command: &mut Command) -> CliError {
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    let (exit, hint) = match error.kind() {
        io::ErrorKind::NotFound => (Exit::NotFound, "Check its name, and that its folder is in PATH"),
        _ => (Exit::CannotExecute, "Check that it is a program, and that you may execute it"),
    };
    CliError::new(exit, format!("cannot run {program}: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_process_without_a_program_fails_like_env() {
        let missing = replace_process(&mut Command::new("/nonexistent/program"));
        assert_eq!(missing.code(), 127);
        assert!(missing.to_string().starts_with("cannot run /nonexistent/program: "), "{missing}");
        assert_eq!(replace_process(&mut Command::new("/")).code(), 126);
    }
}
