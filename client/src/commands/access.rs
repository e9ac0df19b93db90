//! `rolecall access …`: who may enter a cluster. The daemon makes the calls and the plans; the client shows, asks and
//! reports.

mod account;
mod change;
mod explain;
mod findings;
mod grant;
mod lint;
mod list;
mod migrate;
mod plan;
mod plan_view;
mod policies;
mod principals;
mod recover;
mod report;
mod restore;
mod revoke;
mod rows;

use rolecall_protocol::{AccessQuery, Endpoint, ErrorCode, ProfileName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::AccessAction;
use crate::context::Context;
use crate::daemon::{CallError, Daemon, patient_deadline};
use crate::error::CliError;
use crate::kubeconfig::context_entry::files;
use crate::{kubeconfig, output};

/// Runs the command.
pub(crate) fn run(action: &AccessAction, context: &Context) -> Result<(), CliError> {
    match action {
        AccessAction::List(wanted) => list::run(wanted, context),
        AccessAction::Explain(wanted) => explain::run(wanted, context),
        AccessAction::Policies(wanted) => policies::run(wanted, context),
        AccessAction::Grant(wanted) => grant::run(wanted, context),
        AccessAction::Revoke(wanted) => revoke::run(wanted, context),
        AccessAction::Restore(wanted) => restore::run(wanted, context),
        AccessAction::Lint(wanted) => lint::run(wanted, context),
        AccessAction::Migrate(wanted) => migrate::run(wanted, context),
        AccessAction::Recover(wanted) => recover::run(wanted, context),
        AccessAction::Plan(wanted) => plan::run(wanted, context),
    }
}

/// The API server in the kubeconfig entry of the profile. `None` if there is no complete entry, or the kubeconfig cannot
/// be read: the daemon then reads what EKS knows.
fn api_server(profile: &ProfileName) -> Option<AccessQuery> {
    let found = files(None).and_then(|files| Ok(kubeconfig::find(&files, profile.as_str())?));
    let entry = match found {
        Ok(entry) => entry?,
        Err(error) => {
            output::print_note(&error.to_string());
            return None;
        }
    };
    Some(AccessQuery { server: entry.server?, certificate_authority_data: entry.certificate_authority_data? })
}

/// Makes a call, and waits as long as the daemon may take for the endpoint.
fn call<T: DeserializeOwned>(daemon: &Daemon, endpoint: &Endpoint, request: &impl Serialize) -> Result<T, CliError> {
    let body = serde_json::to_vec(request).unwrap_or_default();
    daemon.call_json_within(endpoint, &body, patient_deadline(endpoint)).map_err(|error| match error {
        CallError::Rejected(said) if said.code == ErrorCode::BadRequest => CallError::Unsupported("access").into(),
        error => error.into(),
    })
}

/// A count with its noun.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
