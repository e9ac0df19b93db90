//! Whether the agent records its decisions about secrets.

use rolecall_protocol::AuditStatus;

use super::facts::Facts;
use super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.agent.iter().map(|agent| finding(agent.status.daemon.audit.as_ref())).collect()
}

fn finding(audit: Option<&AuditStatus>) -> Finding {
    let name = "audit";
    let consequence = "Later, nothing shows which program got which token.";
    let Some(AuditStatus { file, lost, problem }) = audit else {
        return Finding::warning(name, "the agent writes no audit log", consequence, "rolecall agent logs");
    };
    match (problem, lost) {
        (Some(problem), _) => Finding::problem(name, format!("{file}: {problem}"), consequence, "rolecall agent logs"),
        (None, 0) => Finding::ok(name, format!("decisions are recorded in {file}")),
        (None, lost) => {
            let cause = format!("{lost} decisions since the start of the agent are not in {file}");
            Finding::warning(name, cause, consequence, "rolecall agent logs")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn finding_follows_the_audit_status() {
        let state = |lost, problem: Option<&str>| {
            let problem = problem.map(str::to_owned);
            finding(Some(&AuditStatus { file: "/x".to_owned(), lost, problem })).state
        };
        assert_eq!(state(0, None), State::Ok);
        assert_eq!(state(2, None), State::Warning);
        assert_eq!(state(2, Some("disk full")), State::Problem);
        assert_eq!(finding(None).state, State::Warning);
    }
}
