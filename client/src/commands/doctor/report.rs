//! The result of all checks, and its order: what is worst comes first.

use rolecall_protocol::{AdministratorRequest, ErrorCode, Finding, FindingState};
use serde::Serialize;

use crate::error::Exit;

/// The result of all checks, as `-o json` prints it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// What `--fix` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fixed: Option<Vec<String>>,
    pub(super) computer: Vec<Finding>,
    pub(super) profiles: Vec<ProfileReport>,
    /// The findings on this computer that the text shows.
    #[serde(skip)]
    pub(super) computer_shown: Vec<Finding>,
    /// The line about a healthy computer.
    #[serde(skip)]
    pub(super) computer_briefs: Vec<String>,
    /// How many warnings of the checks of security are left out of the text.
    #[serde(skip)]
    pub(super) security_warnings: usize,
}

/// What the checks of a profile found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ProfileReport {
    pub(super) profile: String,
    pub(super) state: FindingState,
    pub(super) findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) briefs: Vec<String>,
}

impl ProfileReport {
    pub(super) fn new(profile: String, findings: Vec<Finding>, briefs: Vec<String>) -> Self {
        let state = findings.iter().map(|finding| finding.state).max().unwrap_or(FindingState::NotChecked);
        Self { profile, state, findings, briefs }
    }

    /// The requests to administrators, each once.
    pub(super) fn requests(&self) -> Vec<(&Finding, &AdministratorRequest)> {
        let mut requests: Vec<(&Finding, &AdministratorRequest)> = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.state != FindingState::Ok) {
            if let Some(request) = &finding.administrator
                && !requests.iter().any(|(_, other)| *other == request)
            {
                requests.push((finding, request));
            }
        }
        requests
    }
}

impl Report {
    /// The exit code of the worst finding; that of the first problem if the user has to log in or unlock.
    pub(super) fn exit_code(&self) -> u8 {
        let problems =
            |findings: &[Finding]| findings.iter().find(|found| found.state >= FindingState::Problem).cloned();
        let first = problems(&self.computer).or_else(|| self.profiles.iter().find_map(|one| problems(&one.findings)));
        first.map_or(
            0,
            |problem| if needs_user(&problem.code) { ErrorCode::LoginNeeded.exit_code() } else { Exit::Failed as u8 },
        )
    }
}

/// Whether a problem ends when the user logs in, gives an MFA code, unlocks or refreshes.
fn needs_user(code: &str) -> bool {
    const CODES: [&str; 7] = [
        "locked",
        "login_needed",
        "login_expired",
        "mfa_code_needed",
        "keyring_locked",
        "refresh_needed",
        "confirmation_pending",
    ];
    CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::FindingArea;

    use super::*;

    fn problem(code: &str) -> Finding {
        Finding::problem(FindingArea::Source, "source", code, "no")
    }

    #[test]
    fn exit_code_is_that_of_the_first_problem() {
        let code = |computer: Vec<Finding>, findings: Vec<Finding>| {
            let profiles = vec![ProfileReport::new("prod".to_owned(), findings, Vec::new())];
            Report { computer, profiles, ..Report::default() }.exit_code()
        };
        let warning = || Finding::warning(FindingArea::Computer, "x", "x", "x");
        assert_eq!(code(vec![warning()], vec![Finding::not_checked(FindingArea::Access, "x", "x", "x")]), 0);
        assert_eq!(code(vec![warning()], vec![problem("role_denied")]), 1);
        assert_eq!(code(vec![], vec![problem("login_expired"), problem("x")]), 5);
        assert_eq!(code(vec![problem("x")], vec![problem("login_expired")]), 1);
        assert_eq!(code(vec![problem("locked")], vec![]), 5);
    }

    #[test]
    fn state_of_a_profile_is_the_worst() {
        let state = |findings| ProfileReport::new("prod".to_owned(), findings, Vec::new()).state;
        assert_eq!(state(Vec::new()), FindingState::NotChecked);
        let ok = Finding::ok(FindingArea::Source, "x", "x");
        assert_eq!(state(vec![ok.clone()]), FindingState::Ok);
        assert_eq!(state(vec![ok, problem("x")]), FindingState::Problem);
    }
}
