//! `rolecall doctor`: checks this computer, and says for each finding what it means and what to do.
//!
//! A check is a file in `doctor/` with a function from [`Facts`] to findings.

mod agent_process;
mod audit;
mod facts;
mod files;
mod finding;
mod keyring;
mod lock;
mod profiles;
mod reported;
mod socket;

use rolecall_protocol::sanitize_for_terminal;

use crate::cli;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::terminal::style::Screen;
use facts::Facts;
use finding::{Finding, State};

/// The checks of security, in the order in which they are printed.
const SECURITY_CHECKS: [fn(&Facts) -> Vec<Finding>; 7] =
    [socket::check, agent_process::check, files::check, profiles::check, keyring::check, lock::check, audit::check];

/// Runs the checks. Exit code 1 if one found a problem.
pub(crate) fn run(wanted: &cli::Doctor, context: &Context) -> Result<(), CliError> {
    let facts = Facts::gather(context);
    let mut findings = if wanted.security { Vec::new() } else { reported::check(&facts) };
    findings.extend(SECURITY_CHECKS.iter().flat_map(|check| check(&facts)));
    match wanted.output.data() {
        Some(format) => output::print_data(format, &findings)?,
        None => output::print(&render(&findings, context.screen))?,
    }
    let has_problem = findings.iter().any(|finding| finding.state == State::Problem);
    if has_problem { Err(CliError::silent(Exit::Failed as u8)) } else { Ok(()) }
}

/// Returns the findings with their names in a column. Below a warning or a problem are its consequence and the fix. Long
/// lines are wrapped between words; a finding with a word that is too long for its column begins below its name.
fn render(findings: &[Finding], screen: Screen) -> String {
    const BELOW_NAME: usize = 4;
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or_default();
    let column = width + 4;
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.state {
            State::Ok => screen.tick(),
            State::Warning => screen.warning(),
            State::Problem => screen.cross(),
        };
        let name = sanitize_for_terminal(&finding.name);
        let fix = finding.fix.as_ref().map(|fix| format!("Fix: {fix}"));
        let texts = std::iter::once(&finding.cause).chain(&finding.consequence).chain(&fix);
        let texts: Vec<String> = texts.map(|text| sanitize_for_terminal(text)).collect();
        let words = texts.iter().flat_map(|text| text.split(' '));
        let longest = words.map(|word| word.chars().count()).max().unwrap_or_default();
        let is_too_long = screen.width.is_some_and(|limit| column + longest > limit);
        let (mut lead, indent) = if is_too_long {
            lines.push(format!("{mark} {name}"));
            (" ".repeat(BELOW_NAME), BELOW_NAME)
        } else {
            (format!("{mark} {name:width$}  "), column)
        };
        for text in &texts {
            lines.extend(screen.wrap((&lead, indent), indent, text, ""));
            lead = " ".repeat(indent);
        }
    }
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_names_consequence_and_fix() {
        let findings = [
            Finding::ok("socket", "/run/x"),
            Finding::problem(
                "config.toml",
                "other users can write it\u{1b}[2J",
                "They choose your roles.",
                "chmod go-w x",
            ),
        ];
        let screen = Screen { unicode: true, width: None, is_wide: false };
        let text = anstream::adapter::strip_str(&render(&findings, screen)).to_string();
        assert_eq!(
            text,
            "✓ socket       /run/x\n✗ config.toml  other users can write it\\u{1b}[2J\n               They choose your roles.\n               \
             Fix: chmod go-w x\n"
        );
    }

    #[test]
    fn render_wraps_between_words() {
        let findings = [
            Finding::ok("socket", "/run/user/1000/rolecall/agent.sock is private"),
            Finding::warning("lock", "there is no passphrase", "The agent stays open.", "rolecall lock --passphrase"),
        ];
        let shown = |width| {
            let screen = Screen { unicode: true, width: Some(width), is_wide: false };
            anstream::adapter::strip_str(&render(&findings, screen)).to_string()
        };
        assert_eq!(
            shown(36),
            "✓ socket\n    /run/user/1000/rolecall/agent.sock\n    is private\n! lock    there is no passphrase\n          \
             The agent stays open.\n          Fix: rolecall lock\n          --passphrase\n"
        );
        for width in [38, 60, 80] {
            assert!(shown(width).lines().all(|line| line.chars().count() <= width), "{}", shown(width));
        }
    }

    #[test]
    fn finding_as_data_has_all_fields() {
        let finding = Finding::warning("lock", "no passphrase", "It stays open.", "rolecall lock --passphrase");
        assert_eq!(
            serde_json::to_value(&finding).unwrap(),
            serde_json::json!({"name": "lock", "state": "warning", "cause": "no passphrase",
                "consequence": "It stays open.", "fix": "rolecall lock --passphrase"})
        );
    }
}
