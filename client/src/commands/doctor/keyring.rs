//! Whether the agent can use the access keys in the OS keyring.

use rolecall_protocol::{Endpoint, KeyList};

use super::facts::Facts;
use super::finding::Finding;
use crate::error::CliError;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let name = "keyring";
    let used = facts.config.as_ref().map(|config| config.keyring_names().len()).unwrap_or_default();
    let Ok(agent) = &facts.agent else { return Vec::new() };
    if used == 0 {
        return vec![Finding::ok(name, "no source uses it")];
    }
    vec![match agent.daemon.call_json::<KeyList>(&Endpoint::Keys, b"") {
        Ok(list) => Finding::ok(name, format!("unlocked, with {} access keys", list.keys.len())),
        Err(error) => {
            let cause = CliError::from(error).to_string();
            Finding::problem(name, cause, "Its sources give no new sessions.", "rolecall keys list")
        }
    }]
}
