//! What the agent reports: its version, the configuration, and the problems of sources and profiles.

use rolecall_protocol::{ErrorBody, ProfileStatus, SourceStatus, Status};

use super::facts::Facts;
use super::finding::Finding;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.agent.iter().flat_map(|agent| findings(&agent.status)).collect()
}

fn findings(status: &Status) -> Vec<Finding> {
    let mut findings = vec![version(&status.daemon.version), configuration(status)];
    findings.extend(status.sources.iter().filter_map(source));
    let profiles: Vec<Finding> = status.profiles.iter().filter_map(profile).collect();
    if profiles.is_empty() {
        let count = status.profiles.len();
        findings.push(Finding::ok("profiles", format!("the agent reports no problem (profiles: {count})")));
    }
    findings.extend(profiles);
    findings
}

fn version(agent: &str) -> Finding {
    if agent == VERSION {
        return Finding::ok("version", format!("{VERSION}, as the agent"));
    }
    let cause = format!("rolecall is {VERSION}, the agent {agent}");
    Finding::warning("version", cause, "The agent lacks what is new, or refuses it.", "rolecall agent restart")
}

fn configuration(status: &Status) -> Finding {
    let name = "configuration in force";
    match &status.config.problem {
        None => Finding::ok(name, status.config.path.clone()),
        Some(problem) => {
            let consequence = "The last valid configuration stays in force.";
            Finding::problem(
                name,
                problem.error.message.clone(),
                consequence,
                fix(&problem.error, "rolecall config edit"),
            )
        }
    }
}

fn source(source: &SourceStatus) -> Option<Finding> {
    let name = format!("source {}", source.name);
    if let Some(problem) = &source.problem {
        let (cause, fix) = (problem.error.message.clone(), fix(&problem.error, "rolecall source show"));
        return Some(Finding::problem(name, cause, "It gives no credentials, so its profiles get no tokens.", fix));
    }
    let warning = source.warning.as_ref()?;
    let fix = fix(warning, "rolecall source show");
    Some(Finding::warning(name, warning.message.clone(), "It may give no credentials.", fix))
}

fn profile(profile: &ProfileStatus) -> Option<Finding> {
    let name = format!("profile {}", profile.name);
    if let Some(problem) = &profile.problem {
        let fix = fix(&problem.error, &format!("rolecall show {}", profile.name));
        return Some(Finding::problem(name, problem.error.message.clone(), "kubectl gets no token.", fix));
    }
    profile.tokens_rejected?;
    Some(Finding::problem(
        name,
        "the cluster rejects its tokens (401)",
        "kubectl says: You must be logged in to the server (Unauthorized).",
        format!("rolecall access explain {}", profile.name),
    ))
}

fn fix(error: &ErrorBody, otherwise: &str) -> String {
    error.hint.clone().unwrap_or_else(|| otherwise.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn states(status: serde_json::Value) -> Vec<(String, State, Option<String>)> {
        let status: Status = serde_json::from_value(status).unwrap();
        findings(&status).into_iter().map(|finding| (finding.name, finding.state, finding.fix)).collect()
    }

    #[test]
    fn problems_of_the_agent_are_findings() {
        let at = "2026-01-02T03:04:05Z";
        let daemon = serde_json::json!({"version": VERSION, "protocol": 1, "pid": 1, "started": at, "socket": "/s"});
        let healthy = serde_json::json!({"daemon": daemon, "config": {"path": "/c"}, "profiles": [], "sources": []});
        let healthy = states(healthy);
        assert!(healthy.iter().all(|(_, state, fix)| *state == State::Ok && fix.is_none()), "{healthy:?}");

        let mut old = daemon;
        old["version"] = "0.0.1".into();
        let problem = |hint: Option<&str>| serde_json::json!({"since": at, "code": "config_invalid", "message": "no", "hint": hint});
        let profile = |name: &str| serde_json::json!({"name": name, "cluster": "c", "region": "eu-west-1", "source": "s", "state": "unused"});
        let (mut failing, mut rejected) = (profile("failing"), profile("rejected"));
        failing["problem"] = problem(None);
        rejected["tokens_rejected"] = at.into();
        let sources = serde_json::json!([{"name": "work", "kind": "k", "problem": problem(Some("Run: x"))}]);
        let found = states(serde_json::json!({"daemon": old, "config": {"path": "/c", "problem": problem(None)},
            "profiles": [failing, rejected, profile("good")], "sources": sources}));
        let expected = [
            ("version", State::Warning, "rolecall agent restart"),
            ("configuration in force", State::Problem, "rolecall config edit"),
            ("source work", State::Problem, "Run: x"),
            ("profile failing", State::Problem, "rolecall show failing"),
            ("profile rejected", State::Problem, "rolecall access explain rejected"),
        ];
        let expected = expected.map(|(name, state, fix)| (name.to_owned(), state, Some(fix.to_owned())));
        assert_eq!(found, expected);
    }
}
