//! What is wrong with a profile as text, and when the daemon tries again.

use jiff::Timestamp;
use rolecall_protocol::{ErrorClass, Problem, ProfileStatus, RejectedIdentity};

use crate::format_time;

/// Whether a profile needs attention.
pub(crate) fn has_problem(profile: &ProfileStatus) -> bool {
    profile.problem.is_some() || profile.tokens_rejected.is_some()
}

/// The message and the hint of a problem.
pub(crate) fn problem_text(problem: &Problem) -> String {
    problem.error.clone().sanitized().to_string()
}

/// How long a problem has lasted: `(5 min ago)`.
pub(crate) fn timing(problem: &Problem, now: Timestamp) -> String {
    format!("({})", format_time::ago(now, problem.since))
}

/// As [`timing`], with the next try: `(5 min ago; next try in 12 s)`.
pub(crate) fn profile_timing(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> String {
    match next_try(profile, problem, now) {
        Some(next) => format!("({}; next try {next})", format_time::ago(now, problem.since)),
        None => timing(problem, now),
    }
}

/// When the daemon tries again: `in 12 s`, or on a use. `None` for a problem that waits for the user, or whose hint says
/// it.
pub(crate) fn next_try(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> Option<String> {
    let is_planned = profile.next_renewal.is_some() || problem.error.automatic_retry;
    match (problem.class, problem.retry) {
        (ErrorClass::Login, _) => None,
        (_, Some(retry)) => Some(format_time::from_now(now, retry)),
        (ErrorClass::Retry | ErrorClass::Change, None) if !is_planned => {
            Some(match problem.remembered_until.filter(|until| *until > now) {
                Some(until) => format!("on a use {} or later", format_time::from_now(now, until)),
                None => "on the next use".to_owned(),
            })
        }
        _ => None,
    }
}

/// That the cluster rejects a profile, and the command that says why; `None` if it does not.
pub(crate) fn rejection_text(profile: &ProfileStatus) -> Option<String> {
    profile.tokens_rejected?;
    let problem = RejectedIdentity::of(profile.role_arn.as_ref()).problem();
    Some(format!("{problem}: rolecall doctor {}", profile.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn profile(mut more: serde_json::Value) -> ProfileStatus {
        let base = json!({"name": "prod", "cluster": "europe", "region": "eu-west-1", "source": "work",
            "state": "failed", "role_arn": "arn:aws:iam::111122223333:role/developers"});
        more.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
        serde_json::from_value(more).unwrap()
    }

    #[test]
    fn next_try_is_planned_or_on_use() {
        let now = at("2026-01-02T12:00:00Z");
        let tried = |class: &str, more: serde_json::Value, planned: Option<&str>| {
            let mut problem = json!({"since": "2026-01-02T11:00:00Z", "class": class, "code": "access_denied",
                "message": "denied"});
            problem.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let profile = profile(json!({"problem": problem, "next_renewal": planned}));
            next_try(&profile, profile.problem.as_ref().unwrap(), now)
        };
        let soon = json!({"retry": "2026-01-02T12:00:12Z"});
        assert_eq!(tried("retry", soon.clone(), None).as_deref(), Some("in 12 s"));
        assert_eq!(tried("change", json!({"retry": "2026-01-02T11:59:00Z"}), None).as_deref(), Some("now"));
        assert_eq!(tried("moon", json!({"retry": "2026-01-02T12:01:00Z"}), None).as_deref(), Some("in 1 min"));
        assert_eq!(tried("login", soon, None), None);
        for class in ["retry", "change"] {
            let remembered = json!({"remembered_until": "2026-01-02T12:00:40Z"});
            assert_eq!(tried(class, remembered.clone(), None).as_deref(), Some("on a use in 40 s or later"));
            let elapsed = json!({"remembered_until": "2026-01-02T12:00:00Z"});
            assert_eq!(tried(class, elapsed, None).as_deref(), Some("on the next use"));
            assert_eq!(tried(class, json!({}), None).as_deref(), Some("on the next use"));
            assert_eq!(tried(class, json!({"automatic_retry": true}), None), None, "its hint says so");
            assert_eq!(tried(class, remembered, Some("2026-01-02T12:05:00Z")), None, "the next renewal is that try");
        }
        for class in ["login", "clock", "moon"] {
            assert_eq!(tried(class, json!({}), None), None);
        }
    }

    #[test]
    fn rejection_names_the_command() {
        let mut rejected = profile(json!({"tokens_rejected": "2026-01-02T11:59:48Z"}));
        let text = rejection_text(&rejected);
        assert_eq!(text.as_deref(), Some("the cluster rejects this role (401): rolecall doctor prod"));
        rejected.role_arn = None;
        let text = rejection_text(&rejected);
        assert_eq!(text.as_deref(), Some("the cluster rejects this identity (401): rolecall doctor prod"));
        rejected.tokens_rejected = None;
        assert_eq!(rejection_text(&rejected), None);
    }
}
