//! A daemon with a wall clock that a test sets, through libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
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
        let mut command = sandbox.rolecalld();
        let daemon = sandbox.spawn_daemon(command.envs(self.variables()));
        self.record_process(daemon.pid());
        daemon.wait_ready(Duration::from_secs(20));
        daemon
    }

    /// Returns the variables that give a program this clock.
    pub fn variables(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Keeps the timestamps of files.
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    /// Records a process that another program started with this clock, so that its shared memory is removed.
    pub fn record_process(&self, pid: u32) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
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
