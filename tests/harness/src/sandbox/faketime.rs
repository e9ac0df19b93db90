//! A daemon with a wall clock that a test sets, through libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use super::daemon::Daemon;
use super::environment::Sandbox;

/// Folders that contain the library: /usr/lib/x86_64-linux-gnu/faketime, /usr/lib64/faketime.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// The variant for threaded programs comes first: it locks while it reads the file.
const NAMES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];

/// A wall clock that a test sets while the daemon runs. Monotonic clocks are unchanged, as when a user sets the time
/// of the machine.
#[derive(Debug)]
pub struct FakeTime {
    library: PathBuf,
    file: PathBuf,
    started: Mutex<Vec<u32>>,
}

impl FakeTime {
    /// A clock that shows the machine's time until it is set. Returns `None` if libfaketime is not installed.
    pub fn new(sandbox: &Sandbox) -> Option<Self> {
        let (library, file) = (library()?, sandbox.root().join("clock"));
        let clock = Self { library, file, started: Mutex::default() };
        clock.set(SignedDuration::ZERO);
        Some(clock)
    }

    /// Sets the clock to the machine's time plus `ahead`, which may be negative.
    pub fn set(&self, ahead: SignedDuration) {
        // libfaketime reads the file at every call, so the file is replaced atomically.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{:+}\n", ahead.as_secs())).expect("a file can be written in the sandbox");
        fs::rename(&new, &self.file).expect("the file exists");
    }

    /// Starts the daemon of this build with this clock and waits until it is ready.
    #[track_caller]
    pub fn start_daemon(&self, sandbox: &Sandbox) -> Daemon {
        let daemon = sandbox.spawn_daemon(self.configure(&mut sandbox.rolecalld()));
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(daemon.pid());
        daemon.wait_ready(Duration::from_secs(20));
        daemon
    }

    fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        // Keeps the timestamps of files.
        command.env("NO_FAKE_STAT", "1")
    }
}

impl Drop for FakeTime {
    fn drop(&mut self) {
        // Removes the shared memory of libfaketime, which a killed daemon leaves behind.
        for pid in self.started.get_mut().unwrap_or_else(PoisonError::into_inner) {
            for name in ["faketime_shm_", "sem.faketime_sem_"] {
                let _ = fs::remove_file(Path::new("/dev/shm").join(format!("{name}{pid}")));
            }
        }
    }
}

fn library() -> Option<PathBuf> {
    let subfolders = |folder: &&str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> =
        LIBRARIES.iter().map(PathBuf::from).chain(LIBRARIES.iter().flat_map(subfolders)).collect();
    let named =
        |name: &str| folders.iter().map(|folder| folder.join("faketime").join(name)).find(|path| path.is_file());
    NAMES.into_iter().find_map(named)
}
