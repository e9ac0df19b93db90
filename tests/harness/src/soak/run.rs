//! A run: callers in threads, and faults in the thread that started it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::answer::{Answer, Answered, Way};
use super::faults::{FaultKind, Faults};
use super::growth::{self, Sample};
use super::ledger::Ledger;
use super::profiles::PROFILES;
use super::report::{Progress, SoakReport};
use super::setup::Setup;
use super::sts_faults::{StsFaults, StsMode};
use super::{SoakLength, SoakOptions, caller, check, now};
use crate::aws::{Op, Outcome};
use crate::sandbox::within;
use crate::stop_on_drop::StopOnDrop;

/// Answers while a fault lasts, and after it.
const ROUND_ANSWERS: usize = 40;
/// Without so many answers within this time, the daemon or its clients hang.
const ROUND_TIMEOUT: Duration = Duration::from_mins(1);
/// One call of this many is a `rolecall token` process.
const PROCESS_SHARE: u32 = 6;
/// Time between two calls of a caller, in a run with a time, and in a long one.
const CALL_INTERVALS: [Duration; 2] = [Duration::from_millis(15), Duration::from_millis(100)];
/// The longest fault of a run with a time, and of a long one. The time after a fault has the same limit.
const MAX_FAULTS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(30)];
/// A run of this time is long.
const LONG_RUN: Duration = Duration::from_hours(1);
/// The whole answer to a call takes at most 10 s. The rest is the time of a busy machine.
const MAX_CALL: Duration = Duration::from_secs(13);
/// After the last fault, failures are remembered for seconds.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);
/// After how many rounds all files are searched for secrets.
const ROUNDS_PER_SEARCH: usize = 20;
/// The logs have limits of their own: two files of the log and of the audit log, 16 MiB each.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// Runs a soak. Calls `progress` at the begin of each fault.
pub fn run(options: &SoakOptions, mut progress: impl FnMut(&Progress)) -> SoakReport {
    let setup = Setup::new(options);
    let soak = Soak {
        sts: StsFaults::install(&setup.aws, options.seed),
        setup: &setup,
        options,
        begin: now(),
        ledger: Ledger::default(),
        ahead: RwLock::new(SignedDuration::ZERO),
        fault: Mutex::new("none"),
        report: Mutex::new(SoakReport { seed: options.seed, ..SoakReport::default() }),
        answered: Condvar::new(),
        is_stopped: AtomicBool::new(false),
        samples: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&soak.is_stopped);
        for number in 0..options.callers {
            let soak = &soak;
            scope.spawn(move || soak.call_until_stopped(number));
        }
        soak.disturb(&mut progress);
    });
    soak.finish()
}

struct Soak<'a> {
    setup: &'a Setup,
    options: &'a SoakOptions,
    begin: Instant,
    ledger: Ledger,
    /// How far the daemon's wall clock is ahead of the machine's.
    ahead: RwLock<SignedDuration>,
    sts: StsFaults,
    /// The name of the current fault, for the text of a violation.
    fault: Mutex<&'static str>,
    report: Mutex<SoakReport>,
    /// Notified after each answer.
    answered: Condvar,
    is_stopped: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// The callers.
impl Soak<'_> {
    fn call_until_stopped(&self, number: usize) {
        let mut random = fastrand::Rng::with_seed(self.options.seed.wrapping_add(number as u64));
        while !self.is_stopped.load(Ordering::SeqCst) {
            let profile = random.usize(..PROFILES.len());
            let way = if random.u32(..PROCESS_SHARE) == 0 { Way::Process } else { Way::Socket };
            self.call(profile, way);
            if let Some(interval) = Self::by_length(CALL_INTERVALS, self.options.length) {
                std::thread::park_timeout(interval);
            }
        }
    }

    /// Makes one call and checks its answer.
    fn call(&self, profile: usize, way: Way) -> bool {
        let profile = &PROFILES[profile];
        // No clock jumps during a call and its check.
        let ahead = self.ahead.read().unwrap_or_else(PoisonError::into_inner);
        let promise = self.ledger.promise(profile.name);
        let answered = caller::ask(self.setup, profile, way);
        let ended_at = self.setup.aws.clock().now();
        let verdict = match &answered.answer {
            Answer::Credential(credential) => check::check(self.setup, profile, credential, *ahead)
                .map(|expires| self.ledger.record(profile.name, promise, expires))
                .map_err(|problem| format!("wrong answer: {problem}")),
            Answer::Broken(text) => Err(format!("broken answer: {text}")),
            Answer::Error(text) => match self.ledger.broken(promise, ended_at) {
                Some(expires) => {
                    let left = expires.duration_since(ended_at).unwrap_or_default();
                    Err(format!("failed with {} s left of its session: {text}", left.as_secs()))
                }
                None => Ok(()),
            },
        };
        drop(ahead);
        self.record(profile.name, &answered, verdict)
    }

    /// Counts an answer. Returns whether it has a token.
    fn record(&self, profile: &str, answered: &Answered, verdict: Result<(), String>) -> bool {
        let mut report = self.report();
        report.count(answered);
        if let Answer::Error(text) = &answered.answer
            && verdict.is_ok()
        {
            report.errors += 1;
            *report.error_texts.entry(without_numbers(&text.replace(profile, "NAME"))).or_default() += 1;
        }
        let slow = answered.took > MAX_CALL;
        let slow = slow.then(|| format!("a call took {:?}", answered.took));
        let number = report.answers();
        for problem in verdict.err().into_iter().chain(slow) {
            let text = self.describe(&format!("answer {number}, {profile}, {:?}: {problem}", answered.way));
            report.violation(text);
        }
        drop(report);
        self.answered.notify_all();
        matches!(answered.answer, Answer::Credential(_))
    }

    fn report(&self) -> MutexGuard<'_, SoakReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, problem: &str) -> String {
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        format!("after {:.1} s, fault {fault}: {problem}", self.begin.elapsed().as_secs_f64())
    }

    fn violation(&self, problem: &str) {
        let text = self.describe(problem);
        self.report().violation(text);
    }
}

/// The faults.
impl Soak<'_> {
    fn disturb(&self, progress: &mut impl FnMut(&Progress)) {
        let mut faults = Faults::new(self.setup, &self.ledger, &self.ahead, &self.sts, self.options.seed);
        if !faults.has_clock() {
            self.report().off.push("sleep and clock faults: libfaketime is not installed".to_owned());
        }
        self.wait_for_answers(None);
        let (mut rounds, mut programs) = (0, 0);
        // Every fault once in a random order, and again.
        let mut queue = Self::shuffled(&mut faults);
        while !self.is_over(&queue) {
            if queue.is_empty() {
                queue = Self::shuffled(&mut faults);
            }
            let Some(kind) = queue.pop().and_then(|kind| self.possible(kind, &faults)) else { continue };
            progress(&self.progress(kind));
            self.disturb_once(kind, &mut faults);
            programs += usize::from(kind.replaces_program());
            self.sample(programs);
            rounds += 1;
            if rounds % ROUNDS_PER_SEARCH == 0 {
                self.search_for_secrets();
            }
        }
    }

    /// Begins and ends one fault.
    fn disturb_once(&self, kind: FaultKind, faults: &mut Faults<'_>) {
        self.set_fault(kind.name());
        if let Err(problem) = faults.begin(kind) {
            self.violation(&problem);
        }
        *self.report().faults.entry(kind).or_default() += 1;
        self.wait_for_answers(Some(&mut faults.random));
        faults.end(kind);
        self.set_fault("none");
        self.wait_for_answers(Some(&mut faults.random));
    }

    fn progress(&self, fault: FaultKind) -> Progress {
        let memory = self.samples().last().map(|sample| sample.memory);
        let report = self.report();
        let (answers, violations, texts) = (report.answers(), report.violations, report.texts.clone());
        Progress { elapsed: self.begin.elapsed(), fault, answers, violations, texts, memory }
    }

    /// Returns every fault in a random order, to be taken from the end. A restart is the last one: no fault of the clock
    /// is possible between it and a kill.
    fn shuffled(faults: &mut Faults<'_>) -> Vec<FaultKind> {
        let mut kinds = FaultKind::ALL.to_vec();
        faults.random.shuffle(&mut kinds);
        kinds.sort_by_key(|kind| *kind != FaultKind::Restart);
        kinds
    }

    fn is_over(&self, queue: &[FaultKind]) -> bool {
        match self.options.length {
            SoakLength::EachFaultOnce => queue.is_empty(),
            SoakLength::For(time) => self.begin.elapsed() >= time,
        }
    }

    /// Returns the fault if it is possible now. In the second half of a run with a time, the daemon's program stays, so that
    /// its growth shows; a daemon without the clock for the faults of that half is killed before.
    fn possible(&self, kind: FaultKind, faults: &Faults<'_>) -> Option<FaultKind> {
        let is_second_half = matches!(self.options.length, SoakLength::For(time) if self.begin.elapsed() >= time / 2);
        if is_second_half && !faults.has_clock() && self.setup.machine_clock.is_some() {
            return Some(FaultKind::Kill);
        }
        let is_impossible = is_second_half && kind.replaces_program() || kind.needs_clock() && !faults.has_clock();
        (!is_impossible).then_some(kind)
    }

    /// Waits for the answers of a round and, in a run with a time, a random time.
    fn wait_for_answers(&self, random: Option<&mut fastrand::Rng>) {
        let until = self.report().answers() + ROUND_ANSWERS;
        let waited = self.answered.wait_timeout_while(self.report(), ROUND_TIMEOUT, |report| report.answers() < until);
        let (report, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_missing = report.answers() < until;
        drop(report);
        if is_missing {
            self.violation(&format!("fewer than {ROUND_ANSWERS} answers within {ROUND_TIMEOUT:?}"));
        }
        if let (Some(longest), Some(random)) = (Self::by_length(MAX_FAULTS, self.options.length), random) {
            std::thread::park_timeout(longest.mul_f64(random.f64()));
        }
    }

    /// Returns the value of a run with a time: the first, or the second of a long one.
    fn by_length([short, long]: [Duration; 2], length: SoakLength) -> Option<Duration> {
        match length {
            SoakLength::EachFaultOnce => None,
            SoakLength::For(time) => Some(if time < LONG_RUN { short } else { long }),
        }
    }

    /// Samples the daemon while no call is in progress.
    fn sample(&self, program: usize) {
        let quiet = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        let sample = self.setup.daemon_pid().and_then(|pid| growth::sample(pid, program));
        drop(quiet);
        self.samples().extend(sample);
        for cluster in &self.setup.clusters {
            cluster.clear_token_cache();
        }
    }

    fn samples(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_fault(&self, name: &'static str) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    fn search_for_secrets(&self) {
        for leak in self.setup.sandbox.leaks() {
            self.violation(&format!("leaked secret: {leak}"));
        }
    }
}

/// The end.
impl Soak<'_> {
    fn finish(self) -> SoakReport {
        self.sts.set(StsMode::Healthy);
        self.set_fault("none, at the end");
        for (number, profile) in PROFILES.iter().enumerate() {
            let served = within(RECOVERY_TIMEOUT, || self.call(number, Way::Process).then_some(()));
            if served.is_none() {
                self.violation(&format!("{}: no token within {RECOVERY_TIMEOUT:?} after the last fault", profile.name));
            }
        }
        self.search_for_secrets();
        let trends = growth::trends(&self.samples());
        for trend in trends.iter().filter(|trend| !trend.is_flat()) {
            self.violation(&format!("growth: {trend:?}"));
        }
        let log_bytes = size_of(&self.setup.sandbox.state_home());
        if log_bytes > MAX_LOG_BYTES {
            self.violation(&format!("the logs have {log_bytes} bytes"));
        }
        let calls = self.setup.aws.log_of(Op::AssumeRole);
        let sessions = calls.iter().filter(|call| call.outcome == Outcome::Ok).count();
        let report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        SoakReport { trends, log_bytes, sessions, sts_calls: calls.len(), ..report }
    }
}

/// Returns the size of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Returns an error with its numbers replaced, so that equal errors count as one.
fn without_numbers(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' if short.ends_with('#') => {}
            '0'..='9' => short.push('#'),
            other => short.push(other),
        }
    }
    short
}
