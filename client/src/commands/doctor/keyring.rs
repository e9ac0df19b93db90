//! Whether the agent can use the access keys in the OS keyring.

use rolecall_protocol::{Endpoint, Hint, KeyList};

use super::checked::Checked;
use super::facts::Facts;
use crate::error::CliError;

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    let name = "keyring";
    let used = facts.config.as_ref().map(|config| config.keyring_names().len()).unwrap_or_default();
    let Ok(agent) = &facts.agent else { return Vec::new() };
    if used == 0 {
        return vec![Checked::ok(name, "no source uses it")];
    }
    vec![match agent.daemon.call_json::<KeyList>(&Endpoint::Keys, b"") {
        Ok(list) => Checked::ok(name, format!("unlocked, with {} access keys", list.keys.len())),
        Err(error) => {
            let cause = CliError::from(error).to_string();
            Checked::problem(name, "keyring_unavailable", cause)
                .consequence("Its sources give no new sessions.")
                .fix(Hint::command("rolecall keys list"))
        }
    }]
}
