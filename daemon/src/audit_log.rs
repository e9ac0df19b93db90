//! The audit log (K5): a file with one line of JSON for each decision about a secret.
//!
//! A request only puts its decision into a queue. A thread looks up the parents of the client, and writes. While the disk is
//! full, the queue keeps the newest decisions and counts the others, so no request waits for the disk.

mod queue;
mod syslog;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rolecall_protocol::{AuditDecision, AuditProcess, AuditRecord, AuditStatus};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::log::LogFile;
use crate::processes::Process;
use queue::Queue;
use rolecall_core::clock::Clock;
use syslog::Syslog;

/// The size at which the file is renamed: some 15,000 decisions. It and the old one have 16 MiB at most.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// The decisions that wait for the disk.
const MAX_PENDING: usize = 1024;
/// The decisions that are written at once.
const MAX_BATCH: usize = 64;
/// The pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How often a file that cannot be written is opened again without a decision.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// How many refusals a minute are recorded. A client that is refused again and again must not push out what was allowed.
const MAX_REFUSALS_A_MINUTE: u32 = 120;
/// How many parents of a client are recorded.
const MAX_PARENTS: usize = 3;

/// A decision, and what is needed to complete its record.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The record without the parents.
    pub record: AuditRecord,
    /// The client, whose parents belong to the record.
    pub client: Option<Process>,
}

/// The audit log. Clones write to the same file.
#[derive(Clone, Default)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    queue: Queue,
    refusals: Mutex<Refusals>,
    uses_syslog: AtomicBool,
}

impl Default for Shared {
    fn default() -> Self {
        Self { queue: Queue::new(MAX_PENDING), refusals: Mutex::default(), uses_syslog: AtomicBool::new(false) }
    }
}

/// The refusals of the minute that began last.
#[derive(Default)]
struct Refusals {
    began: Option<Instant>,
    count: u32,
}

impl Refusals {
    fn accept(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.duration_since(began) >= Duration::from_mins(1)) {
            *self = Self { began: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_REFUSALS_A_MINUTE
    }
}

impl AuditLog {
    /// Starts to write to the file. Without this call, decisions are dropped.
    pub fn open(&self, path: PathBuf) {
        let shared = Arc::clone(&self.0);
        shared.queue.open(&path);
        let started = std::thread::Builder::new().name("audit".to_owned()).spawn(move || write_all(&shared, &path));
        if let Err(error) = started {
            self.0.queue.failed(&error.to_string());
            tracing::error!(%error, "audit log has no thread");
        }
    }

    /// Records a decision. Never waits for the disk. Counts a refusal as lost instead if too many came in this minute.
    pub fn record(&self, entry: Entry) {
        let is_refused = entry.record.decision == AuditDecision::Refused;
        let mut refusals = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if is_refused && !refusals.accept(Instant::now()) {
            return self.0.queue.skip();
        }
        drop(refusals);
        self.0.queue.push(entry);
        let shared = Arc::clone(&self.0);
        match Handle::try_current() {
            // After the task that runs now has sent its response, for which the thread would compete.
            Ok(runtime) => drop(runtime.spawn(async move { shared.queue.wake() })),
            Err(_) => shared.queue.wake(),
        }
    }

    /// Whether decisions are recorded.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.queue.is_open()
    }

    /// Sends each decision to syslog too, or no longer.
    pub fn use_syslog(&self, is_on: bool) {
        self.0.uses_syslog.store(is_on, Ordering::Relaxed);
    }

    /// Waits until every decision so far is written, at most `limit`. Returns early while the file cannot be written.
    pub fn flush(&self, limit: Duration) {
        self.0.queue.wait_until_written(limit);
    }

    /// Returns the state; `None` if there is no audit log.
    #[must_use]
    pub fn status(&self) -> Option<AuditStatus> {
        self.0.queue.status()
    }
}

/// Writes the decisions of the queue, as long as the process runs. Those that came while the last ones were written are written at
/// once, so many requests a second need few writes and few lookups of processes.
fn write_all(shared: &Shared, path: &Path) {
    let (mut file, mut syslog) = (None, Syslog::default());
    // The status shows a log that cannot be opened before the first decision.
    check(&mut file, path, &shared.queue);
    loop {
        let entries = shared.queue.next(MAX_BATCH, CHECK_INTERVAL);
        if entries.is_empty() {
            check(&mut file, path, &shared.queue);
            continue;
        }
        let mut records = complete(entries);
        let lines = loop {
            // More decisions may be lost while these wait for the disk.
            if let Some(first) = records.first_mut() {
                first.lost += shared.queue.take_lost();
            }
            let lines: Vec<String> = records.iter().map(AuditRecord::to_line).collect();
            match append(&mut file, path, &lines.concat()) {
                Ok(()) => break lines,
                Err(error) => shared.queue.failed(&error.to_string()),
            }
            std::thread::sleep(RETRY_PAUSE);
        };
        if shared.uses_syslog.load(Ordering::Relaxed) {
            for (record, line) in records.iter().zip(&lines) {
                syslog.send(record, line.trim_end());
            }
        }
        shared.queue.written();
    }
}

/// Opens the file if it is not open.
fn check(file: &mut Option<LogFile>, path: &Path, queue: &Queue) {
    if file.is_some() {
        return;
    }
    match LogFile::new(path, MAX_BYTES) {
        Ok(log) => {
            *file = Some(log);
            queue.written();
        }
        Err(error) => queue.failed(&error.to_string()),
    }
}

/// Returns the records of decisions, with the parents of the clients that still run.
fn complete(entries: Vec<Entry>) -> Vec<AuditRecord> {
    let mut programs = Programs::default();
    let mut parents_of = |client| programs.parents_of(client);
    let complete =
        |Entry { record, client }| AuditRecord { parents: client.map(&mut parents_of).unwrap_or_default(), ..record };
    entries.into_iter().map(complete).collect()
}

/// Appends lines, after it opened the file if no earlier call did.
fn append(file: &mut Option<LogFile>, path: &Path, lines: &str) -> std::io::Result<()> {
    let log = match file {
        Some(log) => log,
        None => file.insert(LogFile::new(path, MAX_BYTES)?),
    };
    let appended = log.append_lines(lines.as_bytes());
    if appended.is_err() {
        *file = None;
    }
    appended
}

/// Processes with the paths of their programs, each looked up once: the clients of a moment share their parents.
#[derive(Default)]
struct Programs(HashMap<u32, Option<(Process, Option<String>)>>);

impl Programs {
    /// Returns the parents of a process that still run.
    fn parents_of(&mut self, client: Process) -> Vec<AuditProcess> {
        let (mut parents, mut child) = (Vec::with_capacity(MAX_PARENTS), client);
        while parents.len() < MAX_PARENTS
            && let Some((parent, executable)) = self.find(child.parent).filter(|(parent, _)| child.is_child_of(parent))
        {
            parents.push(to_audit(&parent, executable));
            child = parent;
        }
        parents
    }

    fn find(&mut self, pid: u32) -> Option<(Process, Option<String>)> {
        self.0.entry(pid).or_insert_with(|| Process::find_program(pid)).clone()
    }
}

/// Returns a process as the log has it.
#[must_use]
pub fn to_audit(process: &Process, executable: Option<String>) -> AuditProcess {
    let Process { pid, started, command, .. } = process;
    AuditProcess { pid: *pid, started: Some(*started), command: Some(command.clone()), executable }
}

/// Returns a record with the time and the result alone.
pub(crate) fn new_record(clock: &Clock, operation: &str, decision: AuditDecision) -> AuditRecord {
    AuditRecord {
        time: clock.machine_time(),
        operation: operation.to_owned(),
        decision,
        reason: None,
        uid: None,
        process: None,
        parents: Vec::new(),
        profile: None,
        source: None,
        key: None,
        cluster: None,
        role: None,
        cached: None,
        key_id: None,
        latency_us: None,
        lost: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn refusals_of_a_minute_are_limited() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let accepted = (0..1000).filter(|_| refusals.accept(start)).count();
        assert_eq!(accepted, 120);
        assert!(!refusals.accept(start + Duration::from_secs(59)) && refusals.accept(start + Duration::from_mins(1)));
    }

    const HANG_GUARD: Duration = Duration::from_mins(1);

    pub(super) fn entry(operation: &str) -> Entry {
        let record = format!(r#"{{"time":"2026-01-02T03:04:05Z","operation":"{operation}","decision":"allowed"}}"#);
        Entry { record: serde_json::from_str(&record).unwrap(), client: Process::find(std::process::id()) }
    }

    /// The status has no event to wait for.
    fn wait_until(is_true: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_true() {
            assert!(begin.elapsed() < HANG_GUARD);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn read(path: &Path) -> Vec<AuditRecord> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn decisions_are_written_in_order_to_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/audit.jsonl");
        let audit = AuditLog::default();
        audit.record(entry("before"));
        assert!(audit.status().is_none() && !audit.is_open());
        audit.open(path.clone());
        for operation in ["one", "two", "three"] {
            audit.record(entry(operation));
        }
        audit.flush(HANG_GUARD);
        let written = read(&path);
        assert_eq!(written.iter().map(|record| record.operation.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
        assert!(written.iter().all(|record| record.decision == AuditDecision::Allowed && record.lost == 0));
        assert_eq!(written[0].parents[0].pid, std::os::unix::process::parent_id());
        assert!(written[0].parents.len() <= MAX_PARENTS);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let status = audit.status().unwrap();
        let expected = AuditStatus { file: path.to_str().unwrap().to_owned(), lost: 0, waiting: 0, problem: None };
        assert_eq!(status, expected);
    }

    #[test]
    fn clients_of_a_moment_share_the_lookups_of_their_parents() {
        let client = Process::find(std::process::id()).unwrap();
        let mut programs = Programs::default();
        let parents = programs.parents_of(client.clone());
        assert_eq!(parents[0].pid, std::os::unix::process::parent_id());
        assert!(parents[0].executable.is_some());
        assert_eq!(programs.parents_of(client.clone()), parents);
        // A process that is older than the one with the id of its parent has lost its parent.
        let orphan = Process { started: 0, ..client.clone() };
        assert!(
            programs.find(orphan.parent).is_none_or(|(parent, _)| parent.started == 0 || !orphan.is_child_of(&parent))
        );
        // What is known is not looked up again.
        programs.0.values_mut().for_each(|known| *known = None);
        assert_eq!(programs.parents_of(client), Vec::new());
    }

    /// Fault matrix row 107.
    #[test]
    fn decisions_wait_for_the_disk_and_the_oldest_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        // A folder in the file's place cannot be opened for writing.
        std::fs::create_dir(&path).unwrap();
        let audit = AuditLog::default();
        audit.open(path.clone());
        // Before the first decision.
        wait_until(|| audit.status().unwrap().problem.is_some());
        audit.record(entry("first"));
        // The thread has taken it.
        wait_until(|| audit.0.queue.is_writing());
        for number in 0..MAX_PENDING + 7 {
            audit.record(entry(&number.to_string()));
        }
        audit.flush(HANG_GUARD);
        let status = audit.status().unwrap();
        assert_eq!((status.lost, status.waiting), (7, MAX_PENDING as u64 + 1));
        std::fs::remove_dir(&path).unwrap();
        wait_until(|| audit.status().unwrap().problem.is_none());
        audit.flush(HANG_GUARD);
        let written = read(&path);
        assert_eq!(written.len(), MAX_PENDING + 1);
        assert_eq!((written[0].operation.as_str(), written[0].lost, written[1].operation.as_str()), ("first", 7, "7"));
    }
}
