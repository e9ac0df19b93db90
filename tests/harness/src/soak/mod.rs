//! A soak test: many callers, random faults, and a check of every answer.
//!
//! Callers ask a real daemon for tokens of several profiles, over its socket and as `rolecall token` processes. One
//! fault at a time disturbs them, and STS fails for a tenth of its calls all the time. The soak reports a violation if
//!
//! - an answer has the wrong role, cluster or region, has expired, or outlives its session;
//! - a call fails although the daemon holds a session of that role with enough time left (`ledger.rs`);
//! - a failure is a bug of the program, or writes to standard output;
//! - memory or descriptors of the daemon grow (`growth.rs`);
//! - a secret is in a file, a log, an argument or an environment;
//! - a profile has no token after the faults have ended.
//!
//! The seed fixes the order of the faults and what each caller asks for. The scheduler decides the rest.

mod answer;
mod caller;
mod check;
mod faults;
mod growth;
mod ledger;
mod profiles;
mod report;
mod run;
mod setup;
mod sts_faults;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use faults::FaultKind;
pub use growth::Trend;
pub use report::{Progress, SoakReport};
pub use run::run;

/// What a soak runs, and for how long.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// The client's program.
    pub client: PathBuf,
    /// The daemon's program.
    pub daemon: PathBuf,
    /// Where all random choices start.
    pub seed: u64,
    /// When it ends.
    pub length: SoakLength,
    /// How many callers ask at the same time.
    pub callers: usize,
}

/// When a soak ends.
#[derive(Clone, Copy, Debug)]
pub enum SoakLength {
    /// Each fault once, each for a fixed number of answers.
    EachFaultOnce,
    /// Random faults for this time. Each lasts for a few seconds.
    For(Duration),
}

#[allow(clippy::disallowed_methods, reason = "a soak runs in real time")]
fn now() -> Instant {
    Instant::now()
}
