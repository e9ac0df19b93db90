//! A daemon whose wall clock is not the machine's: libfaketime stands between it and the C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use super::daemon::Daemon;
use super::environment::Sandbox;

/// Where distributions put it: /usr/lib/x86_64-linux-gnu/faketime, /usr/lib64/faketime.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// The one for programs with threads first: it takes a lock while it reads the file.
const NAMES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];

/// A wall clock that a test sets while the daemon runs. Clocks that count from the machine's start are not touched, as
/// on a machine whose owner sets the time.
#[derive(Debug)]
pub struct FakeTime {
    library: PathBuf,
    file: PathBuf,
    started: Mutex<Vec<u32>>,
}

impl FakeTime {
    /// A clock that shows the machine's time until it is set. `None` if libfaketime is not installed.
    pub fn new(sandbox: &Sandbox) -> Option<Self> {
        let (library, file) = (library()?, sandbox.root().join("clock"));
        let clock = Self { library, file, started: Mutex::default() };
        clock.set(SignedDuration::ZERO);
        Some(clock)
    }

    /// Sets the clock this much ahead of the machine's; less than nothing is behind.
    pub fn set(&self, ahead: SignedDuration) {
        // It is read at every look at the clock, so that it must never be there by halves.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{:+}\n", ahead.as_secs())).expect("a file can be written in our own folder");
        fs::rename(&new, &self.file).expect("it was written");
    }

    /// Starts the daemon of this build by this clock and waits until it is ready.
    #[track_caller]
    pub fn start_daemon(&self, sandbox: &Sandbox) -> Daemon {
        let daemon = sandbox.spawn_daemon(self.put_on(&mut sandbox.rolecalld()));
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(daemon.pid());
        daemon.wait_ready(Duration::from_secs(20));
        daemon
    }

    fn put_on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        // Files keep the times that they have.
        command.env("NO_FAKE_STAT", "1")
    }
}

impl Drop for FakeTime {
    fn drop(&mut self) {
        // What libfaketime shares with children; a daemon that was killed could not take it away.
        for pid in self.started.get_mut().unwrap_or_else(PoisonError::into_inner) {
            for name in ["faketime_shm_", "sem.faketime_sem_"] {
                let _ = fs::remove_file(Path::new("/dev/shm").join(format!("{name}{pid}")));
            }
        }
    }
}

fn library() -> Option<PathBuf> {
    let below = |folder: &&str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = LIBRARIES.iter().map(PathBuf::from).chain(LIBRARIES.iter().flat_map(below)).collect();
    let named =
        |name: &str| folders.iter().map(|folder| folder.join("faketime").join(name)).find(|path| path.is_file());
    NAMES.into_iter().find_map(named)
}
