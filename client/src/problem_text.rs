//! What is wrong with a profile as text, and when the daemon tries again.

use jiff::Timestamp;
use rolecall_protocol::{ErrorClass, Problem, ProfileStatus};

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

/// That the cluster rejects the tokens of a profile, and who can change it; `None` if it does not.
pub(crate) fn rejection_text(profile: &ProfileStatus, now: Timestamp) -> Option<String> {
    let last = format_time::ago(now, profile.tokens_rejected?);
    let principal = match &profile.role_arn {
        Some(role) => format!("role {role}"),
        None => format!("the identity of source {}", profile.source),
    };
    // Tokens of a source without a role are signed without a call to AWS, which might have refused the keys.
    let keys_may_have_ended =
        profile.session.as_ref().is_some_and(|session| session.temporary && session.expires.is_none());
    let advice = if keys_may_have_ended {
        format!("Renew the temporary keys of source {}, or ask", profile.source)
    } else {
        "Ask".to_owned()
    };
    Some(format!(
        "cluster {} rejects its tokens (401, {last}). {advice} an administrator for an access entry of {principal}",
        profile.cluster
    ))
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
    fn rejection_names_the_principal() {
        let now = at("2026-01-02T12:00:00Z");
        let mut rejected = profile(json!({"tokens_rejected": "2026-01-02T11:59:48Z"}));
        assert_eq!(
            rejection_text(&rejected, now).as_deref(),
            Some(
                "cluster europe rejects its tokens (401, 12 s ago). Ask an administrator for an access entry of role \
                 arn:aws:iam::111122223333:role/developers"
            )
        );
        rejected.role_arn = None;
        assert!(rejection_text(&rejected, now).unwrap().ends_with("of the identity of source work"));
        rejected.session = serde_json::from_value(json!({"arn": null, "issued": "2026-01-02T11:00:00Z",
            "expires": null, "key_id_suffix": "WXYZ", "temporary": true}))
        .unwrap();
        let text = rejection_text(&rejected, now).unwrap();
        assert!(text.contains("). Renew the temporary keys of source work, or ask an administrator"), "{text}");
        rejected.tokens_rejected = None;
        assert_eq!(rejection_text(&rejected, now), None);
    }
}
