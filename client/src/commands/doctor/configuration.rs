//! Whether the configuration is valid and in force.

use std::path::Path;

use rolecall_protocol::{Hint, IncludeStatus};

use super::checked::Checked;
use super::facts::Facts;
use crate::clock;
use crate::daemon::config_status::{config_in_force, is_same_file};

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    let mut found = vec![validity(facts)];
    found.extend(includes(facts));
    if let (Some(path), Ok(agent)) = (&facts.config_path, &facts.agent)
        && !is_same_file(path, Path::new(&agent.status.config.path))
    {
        let cause = format!("the agent uses {}, and this shell {}", agent.status.config.path, path.display());
        found.push(
            Checked::problem("configuration", "other_configuration", cause)
                .consequence("The agent does not serve the profiles of this shell's configuration.")
                .fix(Hint::command("rolecall agent restart")),
        );
    }
    found
}

/// Returns a problem for each included file with one.
fn includes(facts: &Facts) -> Vec<Checked> {
    let includes = facts.agent.iter().flat_map(|agent| &agent.status.config.includes);
    let problem = |include: &IncludeStatus| {
        let error = &include.problem.as_ref()?.error;
        let checked = Checked::problem("included file", "include_invalid", &error.message);
        let consequence = error.hint.as_ref().map(ToString::to_string).unwrap_or_default();
        Some(checked.consequence(consequence).fix(Hint::command("rolecall config check")))
    };
    includes.filter_map(problem).collect()
}

fn validity(facts: &Facts) -> Checked {
    let name = "configuration in force";
    let problem = facts.agent.as_ref().ok().and_then(|agent| agent.status.config.problem.as_ref());
    if let (Some(problem), Ok(agent)) = (problem, &facts.agent) {
        let in_force = config_in_force(&agent.status.config, clock::now(), &facts.zone);
        return Checked::problem(name, "config_invalid", &problem.error.message)
            .consequence(format!("{in_force}."))
            .fix(problem.error.hint.clone().unwrap_or_else(|| Hint::command("rolecall config edit")));
    }
    match (&facts.config_error, &facts.config_path) {
        (Some(error), _) => Checked::problem(name, "config_invalid", error.message())
            .consequence("The last valid configuration stays in force while the agent runs.")
            .fix(error.hint().cloned().unwrap_or_else(|| Hint::command("rolecall config edit"))),
        (None, Some(path)) if !path.exists() && facts.profile_names().is_empty() => {
            let cause = format!("{} does not exist", path.display());
            Checked::ok(name, cause).brief("no configuration yet")
        }
        (None, Some(path)) => Checked::ok(name, path.display().to_string()).brief("configuration valid"),
        (None, None) => Checked::problem(name, "no_home", "there is no home folder to find the configuration in")
            .fix("Set HOME to the absolute path of your home folder"),
    }
}
