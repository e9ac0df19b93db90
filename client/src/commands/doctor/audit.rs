//! Whether the agent records its decisions about secrets.

use rolecall_protocol::{AuditStatus, Hint};

use super::checked::Checked;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    facts.agent.iter().map(|agent| finding(agent.status.daemon.audit.as_ref())).collect()
}

fn finding(audit: Option<&AuditStatus>) -> Checked {
    let name = "audit";
    let consequence = "Later, nothing shows which program got which token.";
    let problem = |checked: Checked| checked.consequence(consequence).fix(Hint::command("rolecall agent logs"));
    let Some(AuditStatus { file, lost, problem: error, .. }) = audit else {
        return problem(Checked::warning(name, "no_audit_log", "the agent writes no audit log"));
    };
    match (error, lost) {
        (Some(error), _) => problem(Checked::problem(name, "audit_log_failed", format!("{file}: {error}"))),
        (None, 0) => Checked::ok(name, format!("decisions are recorded in {file}")),
        (None, lost) => {
            let cause = format!("{lost} decisions since the start of the agent are not in {file}");
            problem(Checked::warning(name, "audit_log_incomplete", cause))
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::FindingState;

    use super::*;

    #[test]
    fn finding_follows_the_audit_status() {
        let state = |lost, problem: Option<&str>| {
            let problem = problem.map(str::to_owned);
            finding(Some(&AuditStatus { file: "/x".to_owned(), lost, waiting: 0, problem })).state()
        };
        assert_eq!(state(0, None), FindingState::Ok);
        assert_eq!(state(2, None), FindingState::Warning);
        assert_eq!(state(2, Some("disk full")), FindingState::Problem);
        assert_eq!(finding(None).state(), FindingState::Warning);
    }
}
