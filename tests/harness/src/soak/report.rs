//! The result of a soak.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::answer::{Answer, Answered, Way};
use super::faults::FaultKind;
use super::growth::Trend;

/// Violations that are kept with their text.
const MAX_TEXTS: usize = 20;

/// The state of a soak that runs.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Time since its begin.
    pub elapsed: Duration,
    /// The fault that begins now.
    pub fault: FaultKind,
    /// Answers so far.
    pub answers: usize,
    /// Violations so far.
    pub violations: usize,
    /// The first of them.
    pub texts: Vec<String>,
    /// The daemon's private memory in KiB, at the last sample.
    pub memory: Option<u64>,
}

/// The result of a soak.
#[derive(Clone, Debug, Default)]
pub struct SoakReport {
    /// The seed that repeats it.
    pub seed: u64,
    /// Answers over the socket.
    pub by_socket: usize,
    /// Answers of `rolecall token`.
    pub by_process: usize,
    /// Answers with a token, all checked.
    pub tokens: usize,
    /// Errors while the daemon held no session with enough time left.
    pub errors: usize,
    /// Failed calls by their message, with their number.
    pub error_texts: BTreeMap<String, usize>,
    /// Connections that closed before the first byte of a response; each call was repeated.
    pub lost: usize,
    /// The longest call.
    pub longest: Duration,
    /// Sessions that STS issued.
    pub sessions: usize,
    /// Calls of AssumeRole.
    pub sts_calls: usize,
    /// How often each fault happened.
    pub faults: BTreeMap<FaultKind, usize>,
    /// Faults that are off on this machine, with the reason.
    pub off: Vec<String>,
    /// Memory and descriptors. Empty if the soak was too short.
    pub trends: Vec<Trend>,
    /// The size of the logs in bytes.
    pub log_bytes: u64,
    /// The number of violations.
    pub violations: usize,
    /// The first violations.
    pub texts: Vec<String>,
}

impl SoakReport {
    /// Whether every answer and the daemon were as they have to be.
    pub const fn is_ok(&self) -> bool {
        self.violations == 0
    }

    pub(super) const fn answers(&self) -> usize {
        self.by_socket + self.by_process
    }

    pub(super) fn count(&mut self, answered: &Answered) {
        match answered.way {
            Way::Socket => self.by_socket += 1,
            Way::Process => self.by_process += 1,
        }
        self.lost += answered.lost;
        self.longest = self.longest.max(answered.took);
        if let Answer::Credential(_) = answered.answer {
            self.tokens += 1;
        }
    }

    pub(super) fn violation(&mut self, text: String) {
        self.violations += 1;
        if self.texts.len() < MAX_TEXTS {
            self.texts.push(text);
        }
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: String| writeln!(f, "{what:<46} {value:>12}");
        row("seed", self.seed.to_string())?;
        row("answers over the socket", self.by_socket.to_string())?;
        row("answers of rolecall token", self.by_process.to_string())?;
        row("tokens, each checked", self.tokens.to_string())?;
        row("errors while no session was held", self.errors.to_string())?;
        row("connections lost and repeated", self.lost.to_string())?;
        row("longest call, ms", self.longest.as_millis().to_string())?;
        row("AssumeRole calls / sessions issued", format!("{} / {}", self.sts_calls, self.sessions))?;
        for (fault, count) in &self.faults {
            row(&format!("fault: {}", fault.name()), count.to_string())?;
        }
        for trend in &self.trends {
            let verdict = if trend.is_flat() { "flat" } else { "GROWS" };
            let what = format!("{} ({verdict})", trend.what);
            row(&what, format!("{} to {} (limit {})", trend.first, trend.last, trend.limit))?;
        }
        row("logs, KiB", (self.log_bytes / 1024).to_string())?;
        row("violations", self.violations.to_string())?;
        for (text, count) in &self.error_texts {
            writeln!(f, "error, {count} times: {text}")?;
        }
        for text in &self.off {
            writeln!(f, "off: {text}")?;
        }
        for text in &self.texts {
            writeln!(f, "VIOLATION {text}")?;
        }
        Ok(())
    }
}
