//! A problem as text, and when the daemon tries again.

use jiff::Timestamp;
use rolecall_protocol::{ErrorClass, Problem, ProfileStatus};

use crate::format_time;

pub(super) fn problem_text(problem: &Problem) -> String {
    problem.error.clone().sanitized().to_string()
}

/// How long a problem lasts, and when the daemon tries again.
pub(super) fn timing(problem: &Problem, now: Timestamp) -> String {
    timing_or(problem, now, "")
}

/// Like [`timing`], with a text for a problem without an automatic retry.
fn timing_or(problem: &Problem, now: Timestamp, otherwise: &str) -> String {
    let next =
        format_time::next_try(problem, now).map_or_else(|| otherwise.to_owned(), |next| format!("; next try {next}"));
    format!("({}{next})", format_time::ago(now, problem.since))
}

/// As [`timing`], for a profile: its next use may be the next try.
pub(super) fn profile_timing(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> String {
    let has_next_try = problem.retry.is_some() || profile.next_renewal.is_some() || problem.error.automatic_retry;
    match problem.class {
        ErrorClass::Retry | ErrorClass::Change if !has_next_try => timing_or(problem, now, "; tried again on use"),
        _ => timing(problem, now),
    }
}
