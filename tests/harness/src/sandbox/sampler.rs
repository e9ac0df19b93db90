//! Samples the arguments and environment of new processes in all sandboxes every few milliseconds.
//!
//! While no new process exists, a sample reads one small file, so tests do not become slower. A process that ends
//! between two samples is missed; over a whole suite, every kind of process is seen many times.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use super::secret_scan::SecretScanner;

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(3);
/// How often a process is sampled: a program that replaces itself by another does so early.
const SAMPLES_PER_PROCESS: u32 = 30;
/// With more new processes than this, or after the pid counter wraps, list all processes.
const MAX_NEW_PROCESSES: u32 = 4096;
/// Prefix and length of the root of every sandbox.
const ROOT: (&[u8], usize) = (b"/tmp/rc-", 14);

static SCANNERS: Mutex<Vec<Weak<SecretScanner>>> = Mutex::new(Vec::new());
static SAMPLER: OnceLock<Thread> = OnceLock::new();

/// Samples the processes of this sandbox until it is dropped.
pub(super) fn register(scanner: &Arc<SecretScanner>) {
    SCANNERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(scanner));
    let thread = || thread::Builder::new().name("sampler".to_owned()).spawn(sample).expect("a thread can be started");
    SAMPLER.get_or_init(|| thread().thread().clone()).unpark();
}

fn sample() {
    let mut sampler = Sampler { newest: newest().unwrap_or_default(), recent: HashMap::new() };
    loop {
        let scanners: Vec<Arc<SecretScanner>> = {
            let mut scanners = SCANNERS.lock().unwrap_or_else(PoisonError::into_inner);
            scanners.retain(|scanner| scanner.strong_count() > 0);
            scanners.iter().filter_map(Weak::upgrade).collect()
        };
        if scanners.is_empty() {
            thread::park();
        } else if sampler.sample_all(&scanners).is_none() {
            return; // this system has no /proc
        }
        drop(scanners);
        thread::park_timeout(SAMPLE_INTERVAL);
    }
}

struct Sampler {
    /// The newest process in the last sample.
    newest: u32,
    recent: HashMap<u32, NewProcess>,
}

#[derive(Default)]
struct NewProcess {
    samples: u32,
    /// Hash of the last sample.
    seen: u64,
}

impl Sampler {
    fn sample_all(&mut self, scanners: &[Arc<SecretScanner>]) -> Option<()> {
        let newest = newest()?;
        if newest != self.newest {
            for pid in new_pids(self.newest, newest).into_iter().filter(|pid| is_process(*pid)) {
                self.recent.insert(pid, NewProcess::default());
            }
            self.newest = newest;
        }
        self.recent.retain(|pid, recent| {
            recent.samples += 1;
            recent.samples <= SAMPLES_PER_PROCESS && sample_process(*pid, &mut recent.seen, scanners).is_some()
        });
        Some(())
    }
}

/// Samples a process and scans it if it changed. Returns `None` once it has ended.
fn sample_process(pid: u32, seen: &mut u64, scanners: &[Arc<SecretScanner>]) -> Option<()> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|text| !text.is_empty())?;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&arguments, &environment).hash(&mut hasher);
    let now = hasher.finish();
    if std::mem::replace(seen, now) != now {
        let root = [&environment, &arguments].into_iter().find_map(|text| root_in(text));
        if let Some(scanner) = root.and_then(|root| scanners.iter().find(|scanner| scanner.root() == root)) {
            scan_process_texts(scanner, pid, &arguments, &environment);
        }
    }
    Some(())
}

/// Scans the arguments and environment of a process in this sandbox.
pub(super) fn scan_process(scanner: &SecretScanner, pid: u32) {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    scan_process_texts(scanner, pid, &read("cmdline"), &read("environ"));
}

fn scan_process_texts(scanner: &SecretScanner, pid: u32, arguments: &[u8], environment: &[u8]) {
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    scanner.scan(arguments, || format!("the arguments of {}", name()));
    scanner.scan(environment, || format!("the environment of {}", name()));
}

fn root_in(text: &[u8]) -> Option<&Path> {
    let (start, length) = ROOT;
    let at = text.windows(start.len()).position(|window| window == start)?;
    text.get(at..at + length).map(|root| Path::new(OsStr::from_bytes(root)))
}

/// Returns the id of the newest process or thread.
fn newest() -> Option<u32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next_back()?.parse().ok()
}

fn new_pids(known: u32, newest: u32) -> Vec<u32> {
    if newest > known && newest - known <= MAX_NEW_PROCESSES {
        return (known + 1..=newest).collect();
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns whether the id belongs to a process. Threads have ids too, most of them of this process.
fn is_process(pid: u32) -> bool {
    if Path::new(&format!("/proc/self/task/{pid}")).exists() {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Tgid:").is_some_and(|leader| leader.trim() == pid.to_string()))
}
