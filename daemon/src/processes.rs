//! What the kernel reports about other processes, in `/proc`. Elsewhere than on Linux nothing is known.

use std::os::unix::ffi::OsStrExt;

/// The longest path of a program that is kept, in bytes (PATH_MAX of Linux).
const MAX_PATH_BYTES: usize = 4096;

/// A process, identified by its id and its start, since ids are reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
    /// The id of its parent.
    pub parent: u32,
    /// The id of its session: the processes of one terminal.
    pub session: u32,
    /// The name of its command, which it can choose.
    pub command: String,
}

impl Process {
    /// Returns the process that has this id now, or `None` if there is none, or the system does not say.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&text))
    }

    /// Parses `/proc/PID/stat`: fields 4, 6 and 22, counted from 1 (proc_pid_stat(5)). Field 2 is the command's name in
    /// parentheses, which may itself have parentheses.
    fn parse(pid: u32, text: &str) -> Option<Self> {
        let (before, rest) = text.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let (parent, session) = (field(4)?.parse().ok()?, field(6)?.parse().ok()?);
        let started = field(22)?.parse().ok()?;
        Some(Self { pid, started, parent, session, command: command.to_owned() })
    }

    /// Returns the parent, or `None` if it has ended. A process that started later has got the parent's id.
    #[must_use]
    pub fn find_parent(&self) -> Option<Self> {
        Self::find(self.parent).filter(|parent| parent.started <= self.started)
    }

    /// Whether the process still runs. What was read of it before then belongs to it, and not to a later process with its id.
    #[must_use]
    pub fn is_running(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Returns the path of the program. `None` if the process has ended, or forbids debugging.
    #[must_use]
    pub fn executable(&self) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        let bytes = path.as_os_str().as_bytes();
        Some(String::from_utf8_lossy(bytes.get(..MAX_PATH_BYTES).unwrap_or(bytes)).into_owned())
    }

    /// Returns the device and inode of the program. `None` as for [`Self::executable`].
    #[must_use]
    pub fn program_file(&self) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/proc/{}/exe", self.pid)).ok().map(|file| (file.dev(), file.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 109.
    #[cfg(target_os = "linux")]
    #[test]
    fn process_is_identified_by_id_and_start() {
        let own = Process::find(std::process::id()).unwrap();
        let parent = own.find_parent().unwrap();
        assert_eq!((own.parent, parent.pid), (parent.pid, std::os::unix::process::parent_id()));
        let path = std::env::current_exe().unwrap();
        assert_eq!(own.executable().unwrap(), path.to_str().unwrap());
        assert!(own.program_file().is_some());
        assert_eq!(Process::find(u32::MAX), None);
        // The id belongs to a process that started at another time.
        assert!(own.is_running() && !Process { started: own.started + 1, ..own.clone() }.is_running());
        let child = Process { started: 0, ..own };
        assert_eq!(child.find_parent().map(|parent| parent.started), (parent.started == 0).then_some(0));
    }

    #[test]
    fn command_with_parentheses_is_parsed() {
        let text = format!("7 (a) b (c)) S 5 6 3 {}42 0", "0 ".repeat(15));
        let process = Process::parse(7, &text).unwrap();
        assert_eq!((process.parent, process.session, process.started), (5, 3, 42));
        assert_eq!(process.command, "a) b (c)");
        for broken in ["", "7 (a", "7 (a) S", "7 (a) S x", ")"] {
            assert_eq!(Process::parse(7, broken), None, "{broken}");
        }
    }
}
