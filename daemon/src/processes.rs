//! What the kernel reports about other processes: `/proc` on Linux, proc_pidinfo(3) on macOS.

#[cfg(target_os = "linux")]
#[path = "processes/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "processes/darwin.rs"]
mod system;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// The longest path of a program that is kept, in bytes (PATH_MAX of Linux).
const MAX_PATH_BYTES: usize = 4096;

/// A process, identified by its id and its start, since ids are reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it started: in the kernel's ticks since boot on Linux, in microseconds since 1970 on macOS.
    pub started: u64,
    /// The id of its parent.
    pub parent: u32,
    /// The session (setsid(2)) that it belongs to.
    pub session: u32,
    /// The name of its command, which it can choose.
    pub command: String,
}

impl Process {
    /// Returns the process that has this id now, or `None` if there is none, or the system does not say.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        system::find(pid)
    }

    /// Returns the process that has this id now, with the path of its program.
    #[must_use]
    pub fn find_program(pid: u32) -> Option<(Self, Option<String>)> {
        // The path is read first: if the process still runs after that, no other process had its id.
        let executable = executable(pid);
        Some((Self::find(pid)?, executable))
    }

    /// Returns the parent, or `None` if it has ended.
    #[must_use]
    pub fn find_parent(&self) -> Option<Self> {
        Self::find(self.parent).filter(|parent| self.is_child_of(parent))
    }

    /// Whether the process that has the id of the parent is the parent. One that started later has got the id after the parent
    /// has ended.
    #[must_use]
    pub const fn is_child_of(&self, process: &Self) -> bool {
        process.pid == self.parent && process.started <= self.started
    }

    /// Returns the path of the program. `None` if the process has ended, or forbids debugging.
    #[must_use]
    pub fn executable(&self) -> Option<String> {
        executable(self.pid)
    }

    /// Returns the device and inode of the program. `None` as for [`Self::executable`].
    #[must_use]
    pub fn program_file(&self) -> Option<(u64, u64)> {
        system::program_metadata(self.pid).map(|file| (file.dev(), file.ino()))
    }
}

fn executable(pid: u32) -> Option<String> {
    let path = system::program_path(pid)?;
    let bytes = path.as_os_str().as_bytes();
    Some(String::from_utf8_lossy(bytes.get(..MAX_PATH_BYTES).unwrap_or(bytes)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 109.
    #[test]
    fn process_is_identified_by_id_and_start() {
        let own = Process::find(std::process::id()).unwrap();
        let parent = own.find_parent().unwrap();
        assert_eq!((own.parent, parent.pid), (parent.pid, std::os::unix::process::parent_id()));
        let path = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(own.executable().unwrap(), path.to_str().unwrap());
        assert!(own.program_file().is_some());
        assert_eq!(Process::find(u32::MAX), None);
        assert_eq!(Process::find_program(parent.pid), Some((parent.clone(), parent.executable())));
        let child = Process { started: 0, ..own };
        assert_eq!(child.find_parent().map(|parent| parent.started), (parent.started == 0).then_some(0));
    }
}
