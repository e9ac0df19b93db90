//! Instructions and system calls of a process: numbers that do not depend on the machine's load.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use crate::load::{launched, wrapped};

/// Counted instructions, and the tool that counted them: the tools begin at different instructions.
pub(crate) struct Instructions {
    pub(crate) count: f64,
    pub(crate) tool: &'static str,
}

/// Counts the instructions of one run in user mode, with `perf` where the processor's counters are available, else with
/// callgrind.
pub(crate) fn instructions(generator: &Path, command: &Command) -> Result<Instructions, String> {
    if let Some(count) = find("perf").and_then(|perf| by_perf(generator, &perf, command)) {
        return Ok(Instructions { count, tool: "perf" });
    }
    let valgrind =
        find("valgrind").ok_or("perf cannot count instructions on this machine, and valgrind is not on PATH")?;
    let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"].map(OsStr::new);
    let output = output(generator, &wrapped(&valgrind, &arguments, command))?;
    let count = output.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    Ok(Instructions { count: count.ok_or("callgrind prints no count")?, tool: "callgrind" })
}

/// Returns `None` if the machine or its settings do not allow it.
fn by_perf(generator: &Path, perf: &Path, command: &Command) -> Option<f64> {
    let file = NamedTempFile::new().ok()?;
    let arguments = ["stat", "-x", ",", "-e", "instructions:u", "-o"].map(OsStr::new);
    let arguments = [&arguments, [file.path().as_os_str(), OsStr::new("--")].as_slice()].concat();
    output(generator, &wrapped(perf, &arguments, command)).ok()?;
    let text = fs::read_to_string(file.path()).ok()?;
    text.lines().find(|line| line.contains("instructions"))?.split(',').next()?.parse().ok()
}

/// Counts the system calls of one run, with `execve` and `exit_group`.
#[allow(clippy::cast_precision_loss)] // a small number
pub(crate) fn system_calls(generator: &Path, command: &Command) -> Result<f64, String> {
    let strace = find("strace").ok_or("strace is not on PATH")?;
    let file = NamedTempFile::new().map_err(|error| error.to_string())?;
    let arguments = [OsStr::new("-f"), OsStr::new("-o"), file.path().as_os_str()];
    output(generator, &wrapped(&strace, &arguments, command))?;
    let text = fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
    Ok(count_calls(&text) as f64)
}

/// Counts the calls in the output of strace, which also has lines for signals and exits, and two lines for a call during which
/// another thread called.
fn count_calls(text: &str) -> usize {
    let lines = text.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start()));
    lines.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')).count()
}

/// Runs a command to its end and returns what it prints on stderr.
fn output(generator: &Path, command: &Command) -> Result<String, String> {
    let output = launched(generator, command).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(stderr) } else { Err(stderr.lines().last().unwrap_or_default().to_owned()) }
}

/// Returns the path of a program on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_are_counted() {
        let text = "7  execve(\"/bin/true\", [\"true\"], 0x7ffd) = 0\n\
                    7  read(3,  <unfinished ...>\n\
                    8  _exit(0) = ?\n\
                    7  <... read resumed>\"\", 8) = 0\n\
                    7  --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                    7  +++ exited with 0 +++\n";
        assert_eq!(count_calls(text), 3);
    }
}
