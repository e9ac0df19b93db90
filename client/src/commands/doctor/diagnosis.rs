//! The daemon's checks of the profiles: one stream for each, several at once.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rolecall_protocol::{AccessQuery, DoctorRequest, DoctorStep, Finding, FindingArea, ProfileName};

use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::error::CliError;
use crate::terminal::status_line::{Sink, StatusLine};
use crate::terminal::style;

/// How many profiles are checked at once.
const MAX_AT_ONCE: usize = 8;
/// How long the checks of one profile may take. The daemon's own limit is shorter.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(40);
/// How often the deadline is compared with the clock.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A profile to check, and what the daemon does not know about it.
pub(super) struct Subject {
    pub(super) name: ProfileName,
    pub(super) request: DoctorRequest,
}

impl Subject {
    pub(super) fn new(name: ProfileName, api_server: Option<AccessQuery>, namespace: &str) -> Self {
        Self { name, request: DoctorRequest { api_server, namespace: namespace.to_owned() } }
    }
}

/// The daemon does not know the endpoint.
#[derive(Debug)]
pub(super) struct TooOld;

/// Checks the profiles, and shows on a terminal what is being checked. Returns the findings of each, in the given order.
pub(super) fn run(
    daemon: &Daemon,
    subjects: &[Subject],
    context: &Context,
) -> Result<Result<Vec<Vec<Finding>>, TooOld>, CliError> {
    let is_live = std::io::stderr().is_terminal() && style::supports_cursor_moves(&context.environment);
    let line = StatusLine::new(Sink::StandardError, is_live, None)?;
    let run = Run {
        daemon,
        subjects,
        line,
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        is_too_old: AtomicBool::new(false),
        findings: Mutex::new(vec![Vec::new(); subjects.len()]),
    };
    std::thread::scope(|scope| {
        for _ in 1..subjects.len().min(MAX_AT_ONCE) {
            // Without more threads, this one checks them all.
            let _ = std::thread::Builder::new().name("doctor".to_owned()).spawn_scoped(scope, || run.work());
        }
        run.work();
    });
    run.line.clear();
    if run.is_too_old.load(Ordering::Relaxed) {
        return Ok(Err(TooOld));
    }
    Ok(Ok(run.findings.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// The checks of all profiles, shared by the threads.
struct Run<'a> {
    daemon: &'a Daemon,
    subjects: &'a [Subject],
    line: StatusLine,
    /// The index of the next profile.
    next: AtomicUsize,
    /// How many are checked.
    done: AtomicUsize,
    is_too_old: AtomicBool,
    findings: Mutex<Vec<Vec<Finding>>>,
}

impl Run<'_> {
    /// Checks one profile after the other until none is left.
    fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(subject) = self.subjects.get(index) else { return };
            if self.is_too_old.load(Ordering::Relaxed) {
                return;
            }
            let mut found = Vec::new();
            match self.check(subject, &mut found) {
                Ok(()) => {}
                Err(CallError::Unsupported(_)) => self.is_too_old.store(true, Ordering::Relaxed),
                Err(error) => found.push(failed(error)),
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = findings.get_mut(index) {
                *slot = found;
            }
        }
    }

    /// Reads the steps of one profile.
    fn check(&self, subject: &Subject, found: &mut Vec<Finding>) -> Result<(), CallError> {
        let deadline = Deadline::after(TOTAL_TIMEOUT);
        self.draw(subject, "");
        let mut steps = self.daemon.doctor(&subject.name, &subject.request)?;
        while let Some(left) = deadline.remaining() {
            match steps.next(left.min(POLL_INTERVAL))? {
                Some(DoctorStep::Checking { what }) => self.draw(subject, &what),
                Some(DoctorStep::Found { finding }) => found.push(finding),
                Some(DoctorStep::Done) => return Ok(()),
                Some(DoctorStep::Failed { error }) => return Err(CallError::Rejected(error)),
                Some(_) | None => {}
            }
        }
        Err(CallError::NoResponse(TOTAL_TIMEOUT))
    }

    fn draw(&self, subject: &Subject, what: &str) {
        let count = self.subjects.len();
        let place = match count {
            1 => String::new(),
            _ => format!("{} of {count}: ", (self.done.load(Ordering::Relaxed) + 1).min(count)),
        };
        let separator = if what.is_empty() { "" } else { ": " };
        let what = rolecall_protocol::sanitize_for_terminal(what);
        self.line.draw(&format!("Checking {place}{}{separator}{what}", subject.name));
    }
}

/// The finding of checks that the daemon did not complete.
fn failed(error: CallError) -> Finding {
    let code = match &error {
        CallError::Rejected(body) => body.code.to_string(),
        _ => "agent_did_not_answer".to_owned(),
    };
    let error = CliError::from(error);
    let finding = Finding::problem(FindingArea::Source, "checks", &code, error.message());
    match error.hint() {
        Some(hint) => finding.fix(hint),
        None => finding,
    }
}
