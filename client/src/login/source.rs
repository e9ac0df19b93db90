//! Which source a command is about.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rolecall_protocol::{
    ErrorBody, ErrorClass, ErrorCode, Problem, ProfileState, SourceName, SourceStatus, Status, similar_names,
};

use crate::error::{CliError, Exit};
use crate::output;

/// Returns the source of that name, or the source of the profile of that name, with a note.
pub(crate) fn find(name: &SourceName, status: &Status) -> Result<SourceName, CliError> {
    let sources = all_names(status);
    if sources.contains(name) {
        return Ok(name.clone());
    }
    if let Some(profile) = status.profiles.iter().find(|profile| profile.name.as_str() == name.as_str()) {
        output::print_note(&format!("{name} is a profile; its source is {}", profile.source));
        return Ok(profile.source.clone());
    }
    let known: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
    let hint = match similar_names(name.as_str(), known.iter().copied()).as_slice() {
        [] if known.is_empty() => "None is configured; add a profile with one: rolecall add --help".to_owned(),
        [] => format!("There is: {}", known.join(", ")),
        alike => format!("Did you mean {}?", alike.join(" or ")),
    };
    Err(ErrorBody::new(ErrorCode::UnknownSource, format!("there is no source \"{name}\"")).hint(hint).into())
}

/// Returns the source that needs a login, if there is one. Errors if there are several.
pub(crate) fn needing_login(status: &Status, now: Timestamp) -> Result<Option<SourceName>, CliError> {
    let wants = |source: &&SourceStatus| {
        let is_over = source.login.as_ref().is_some_and(|login| login.needs_login(now));
        is_over || source.problem.as_ref().is_some_and(waits_for_login)
    };
    let own = status.sources.iter().filter(wants).map(|source| &source.name);
    let of_profiles = status
        .profiles
        .iter()
        .filter(|profile| {
            profile.state == ProfileState::LoginNeeded && profile.problem.as_ref().is_some_and(waits_for_login)
        })
        .map(|profile| &profile.source);
    let needed: BTreeSet<&SourceName> = own.chain(of_profiles).collect();
    let mut needed = needed.into_iter();
    match (needed.next(), needed.next()) {
        (None, _) => Ok(None),
        (Some(source), None) => Ok(Some(source.clone())),
        (Some(first), Some(second)) => {
            let all: Vec<&str> = [first, second].into_iter().chain(needed).map(SourceName::as_str).collect();
            Err(CliError::new(
                Exit::Usage,
                format!("{} sources need a login: {}", all.len(), all.join(", ")),
                format!("Name one: rolecall login {first}"),
            ))
        }
    }
}

/// All sources. An older agent lists only profiles, so their sources are included.
pub(crate) fn all_names(status: &Status) -> BTreeSet<SourceName> {
    let sources = status.sources.iter().map(|source| &source.name);
    sources.chain(status.profiles.iter().map(|profile| &profile.source)).cloned().collect()
}

/// Whether a problem ends with a login. A locked daemon needs a passphrase instead.
pub(crate) fn waits_for_login(problem: &Problem) -> bool {
    match problem.error.code {
        ErrorCode::LoginNeeded => true,
        ErrorCode::Locked => false,
        _ => problem.class == ErrorClass::Login,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(sources: &Value, profiles: &Value) -> Status {
        serde_json::from_value(json!({
            "daemon": {"version": "0.1.0", "protocol": 1, "pid": 1, "started": "2026-01-02T03:04:05Z", "socket": "/s"},
            "config": {"path": "/c"}, "sources": sources, "profiles": profiles,
        }))
        .unwrap()
    }

    fn profile(name: &str, source: &str, code: Option<&str>) -> Value {
        let problem = code.map(|code| json!({"since": "2026-01-02T03:04:05Z", "code": code, "message": "no"}));
        let state = if code.is_some() { "login_needed" } else { "ready" };
        json!({"name": name, "cluster": "c", "region": "eu-west-1", "source": source, "state": state, "problem": problem})
    }

    fn source(name: &str, login: &Value, code: Option<&str>) -> Value {
        let problem =
            code.map(|code| json!({"since": "2026-01-02T03:04:05Z", "class": "login", "code": code, "message": "no"}));
        json!({"name": name, "kind": "AWS profile x", "login": login, "problem": problem})
    }

    #[test]
    fn find_source_before_profile() {
        let both = status(
            &json!([source("work", &Value::Null, None), source("prod", &Value::Null, None)]),
            &json!([profile("prod", "work", None), profile("dev", "work", None)]),
        );
        let result_text = |name: &str| find(&name.parse().unwrap(), &both).map(|source| source.to_string());
        assert_eq!(result_text("prod").unwrap(), "prod");
        assert_eq!(result_text("dev").unwrap(), "work");
        let error = result_text("wrok").unwrap_err();
        assert_eq!(error.code(), 1);
        assert!(error.to_string().starts_with("there is no source \"wrok\". Did you mean work"), "{error}");
        let error = result_text("else").unwrap_err();
        assert_eq!(error.to_string(), "there is no source \"else\". There is: prod, work");
        let none = find(&"x".parse().unwrap(), &status(&json!([]), &json!([]))).unwrap_err();
        assert!(none.to_string().ends_with("rolecall add --help"), "{none}");
    }

    /// Fault matrix row 38.
    #[test]
    fn needing_login_several_are_an_error() {
        let now = "2026-01-02T12:00:00Z".parse().unwrap();
        let needed = |sources: Value, profiles: Value| needing_login(&status(&sources, &profiles), now);
        let over = json!({"kind": "sso", "ends": "2026-01-02T11:00:00Z"});
        let good = json!({"kind": "sso", "ends": "2026-01-02T13:00:00Z"});
        let one = |name: &str| Some(name.parse().unwrap());
        assert_eq!(needed(json!([]), json!([])).unwrap(), None);
        assert_eq!(needed(json!([source("a", &good, None)]), json!([])).unwrap(), None);
        assert_eq!(needed(json!([source("a", &over, None), source("b", &good, None)]), json!([])).unwrap(), one("a"));
        let mfa = |renews| json!([source("a", &json!({"kind": "mfa", "renews": renews}), None)]);
        assert_eq!(needed(mfa(false), json!([])).unwrap(), one("a"));
        assert_eq!(needed(mfa(true), json!([])).unwrap(), None, "a program gives its codes");
        let expired = json!([source("a", &Value::Null, Some("login_needed"))]);
        assert_eq!(needed(expired, json!([profile("p", "a", Some("login_needed"))])).unwrap(), one("a"));
        // An older agent reports no sources.
        assert_eq!(needed(json!([]), json!([profile("p", "b", Some("login_needed"))])).unwrap(), one("b"));
        assert_eq!(needed(json!([]), json!([profile("p", "b", Some("locked"))])).unwrap(), None);
        let error =
            needed(json!([source("b", &over, None)]), json!([profile("p", "a", Some("login_needed"))])).unwrap_err();
        assert_eq!(error.code(), 2);
        assert_eq!(error.to_string(), "2 sources need a login: a, b. Name one: rolecall login a");
    }
}
