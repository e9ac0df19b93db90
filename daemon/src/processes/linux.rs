//! Processes in `/proc`.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::PathBuf;

use super::Process;

/// Longer than any `/proc/PID/stat`: a name of up to 64 bytes and 51 numbers of up to 20 digits (proc_pid_stat(5)).
const MAX_STAT_BYTES: usize = 2048;

pub(super) fn find(pid: u32) -> Option<Process> {
    let mut text = [0; MAX_STAT_BYTES];
    // One read returns the whole text.
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
    parse(pid, &String::from_utf8_lossy(text.get(..length)?))
}

/// Parses `/proc/PID/stat`: fields 4, 6 and 22, counted from 1 (proc_pid_stat(5)). Field 2 is the command's name in
/// parentheses, which may itself have parentheses.
fn parse(pid: u32, text: &str) -> Option<Process> {
    let (before, rest) = text.rsplit_once(')')?;
    let (_, command) = before.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let (session, started) = (fields.nth(1)?.parse().ok()?, fields.nth(15)?.parse().ok()?);
    Some(Process { pid, started, parent, session, command: command.to_owned() })
}

pub(super) fn program_path(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Returns the metadata of the program that runs, even if its path has another file now.
pub(super) fn program_metadata(pid: u32) -> Option<Metadata> {
    fs::metadata(format!("/proc/{pid}/exe")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_with_parentheses_is_parsed() {
        let text = format!("7 (a) b (c)) S 5 4 3 {}42 0", "0 ".repeat(15));
        let process = parse(7, &text).unwrap();
        assert_eq!((process.parent, process.session, process.started), (5, 3, 42));
        assert_eq!(process.command, "a) b (c)");
        for broken in ["", "7 (a", "7 (a) S", "7 (a) S x", ")"] {
            assert_eq!(parse(7, broken), None, "{broken}");
        }
    }
}
