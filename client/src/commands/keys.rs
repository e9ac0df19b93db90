//! `rolecall keys …`: long-lived keys in the OS keyring.

mod ask;
mod forget;
mod list;
mod put;
mod rotate;

use std::time::Duration;

use rolecall_protocol::{Endpoint, KeyStatus, sanitize_for_terminal};

use crate::cli::KeysAction;
use crate::clock::Deadline;
use crate::error::CliError;
use crate::run::Context;

/// What the daemon may take, and the client waits beyond it.
const CLIENT_MARGIN: Duration = Duration::from_secs(1);

/// Does it.
pub(crate) fn run(action: &KeysAction, context: &Context) -> Result<(), CliError> {
    match action {
        KeysAction::Put(wanted) => put::run(wanted, context),
        KeysAction::List { json } => list::run(*json, context),
        KeysAction::Rotate { name } => rotate::run(name, context),
        KeysAction::Forget { name, yes } => forget::run(name, *yes, context),
    }
}

/// As long as the daemon may take.
fn key_call_deadline(endpoint: &Endpoint) -> Deadline {
    Deadline::after(endpoint.response_timeout() + CLIENT_MARGIN)
}

/// Which keys, and whose: `access key …WXYZ of arn:aws:iam::111122223333:user/dev`.
fn key_text(key: &KeyStatus) -> String {
    let whose = key.arn.as_deref().map(|arn| format!(" of {}", sanitize_for_terminal(arn))).unwrap_or_default();
    format!("access key …{}{whose}", sanitize_for_terminal(&key.key_id_suffix))
}

/// Names as a sentence has them.
fn name_list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| sanitize_for_terminal(name.as_ref())).collect::<Vec<_>>().join(", ")
}
