//! Looks, every few milliseconds, at what new processes of the sandboxes were started with.
//!
//! It reads one small file as long as nothing new has come, so that tests are not slower for it. A process that lives
//! for less than a look may be missed: over a whole suite, every kind of process is seen many times.

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

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// So often a process is looked at: what starts another program in its own place does so soon.
const LOOKS: u32 = 30;
/// More new processes than this at once, or numbers that begin anew: look at all.
const MANY: u32 = 4096;
/// How every sandbox's root begins, and how long it is.
const ROOT: (&[u8], usize) = (b"/tmp/rc-", 14);

static WATCHES: Mutex<Vec<Weak<SecretScanner>>> = Mutex::new(Vec::new());
static SAMPLER: OnceLock<Thread> = OnceLock::new();

/// From now on the sandbox's processes are looked at, until it is gone.
pub(super) fn register(watch: &Arc<SecretScanner>) {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(watch));
    let thread = || thread::Builder::new().name("sampler".to_owned()).spawn(sample).expect("a thread can be started");
    SAMPLER.get_or_init(|| thread().thread().clone()).unpark();
}

fn sample() {
    let mut sampler = Sampler { newest: newest().unwrap_or_default(), young: HashMap::new() };
    loop {
        let watches: Vec<Arc<SecretScanner>> = {
            let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
            watches.retain(|watch| watch.strong_count() > 0);
            watches.iter().filter_map(Weak::upgrade).collect()
        };
        if watches.is_empty() {
            thread::park();
        } else if sampler.look(&watches).is_none() {
            return; // no Linux
        }
        drop(watches);
        thread::park_timeout(PAUSE);
    }
}

struct Sampler {
    /// The newest process that is known.
    newest: u32,
    young: HashMap<u32, Young>,
}

#[derive(Default)]
struct Young {
    looks: u32,
    /// Of what was seen last.
    seen: u64,
}

impl Sampler {
    fn look(&mut self, watches: &[Arc<SecretScanner>]) -> Option<()> {
        let newest = newest()?;
        if newest != self.newest {
            for pid in new_ones(self.newest, newest).into_iter().filter(|pid| is_process(*pid)) {
                self.young.insert(pid, Young::default());
            }
            self.newest = newest;
        }
        self.young.retain(|pid, young| {
            young.looks += 1;
            young.looks <= LOOKS && look_at(*pid, &mut young.seen, watches).is_some()
        });
        Some(())
    }
}

/// Looks at a process, unless it is as it was. `None` once it has gone.
fn look_at(pid: u32, seen: &mut u64, watches: &[Arc<SecretScanner>]) -> Option<()> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|text| !text.is_empty())?;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&arguments, &environment).hash(&mut hasher);
    let now = hasher.finish();
    if std::mem::replace(seen, now) != now {
        let root = [&environment, &arguments].into_iter().find_map(|text| root_in(text));
        if let Some(watch) = root.and_then(|root| watches.iter().find(|watch| watch.root() == root)) {
            look_into(watch, pid, &arguments, &environment);
        }
    }
    Some(())
}

/// Looks at a process that lives in this sandbox.
pub(super) fn look_once(watch: &SecretScanner, pid: u32) {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    look_into(watch, pid, &read("cmdline"), &read("environ"));
}

fn look_into(watch: &SecretScanner, pid: u32, arguments: &[u8], environment: &[u8]) {
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    watch.look(arguments, || format!("the arguments of {}", name()));
    watch.look(environment, || format!("the environment of {}", name()));
}

fn root_in(text: &[u8]) -> Option<&Path> {
    let (start, length) = ROOT;
    let at = text.windows(start.len()).position(|window| window == start)?;
    text.get(at..at + length).map(|root| Path::new(OsStr::from_bytes(root)))
}

/// The number of the newest process or thread.
fn newest() -> Option<u32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next_back()?.parse().ok()
}

fn new_ones(known: u32, newest: u32) -> Vec<u32> {
    if newest > known && newest - known <= MANY {
        return (known + 1..=newest).collect();
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Threads have numbers too. Ours are the most.
fn is_process(pid: u32) -> bool {
    if Path::new(&format!("/proc/self/task/{pid}")).exists() {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Tgid:").is_some_and(|leader| leader.trim() == pid.to_string()))
}
