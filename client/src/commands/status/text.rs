//! A problem in words, and when it is tried again.

use jiff::Timestamp;
use rolecall_protocol::{ErrorClass, Problem, ProfileStatus};

use crate::format_time;

pub(super) fn problem_text(problem: &Problem) -> String {
    problem.error.clone().sanitized().to_string()
}

/// Since when it is wrong, and when it is tried again.
pub(super) fn timing(problem: &Problem, now: Timestamp) -> String {
    timing_or(problem, now, "")
}

/// The same, with what is said where nobody tries it again unasked.
fn timing_or(problem: &Problem, now: Timestamp, otherwise: &str) -> String {
    let next =
        format_time::next_try(problem, now).map_or_else(|| otherwise.to_owned(), |next| format!("; next try {next}"));
    format!("({}{next})", format_time::ago(now, problem.since))
}

/// The same of a profile, for which somebody's use may be the next try.
pub(super) fn profile_timing(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> String {
    let says_when = problem.retry.is_some() || profile.next_renewal.is_some() || problem.error.automatic_retry;
    match problem.class {
        ErrorClass::Retry | ErrorClass::Change if !says_when => timing_or(problem, now, "; tried again on use"),
        _ => timing(problem, now),
    }
}
