//! After a profile was added: does the cluster map its role?

use std::fmt::Write as _;

use rolecall_protocol::{AccessQuery, ClusterAccess, Endpoint, sanitize_for_terminal};

use crate::cli::Add;
use crate::config_file::ProfileEntry;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::CliError;
use crate::kubeconfig::Entry;
use crate::output;

/// Asks the API server through the daemon, and prints the result. An API server that cannot be reached is not an error:
/// a private endpoint may need a VPN.
pub(super) fn report(
    daemon: &Daemon,
    wanted: &Add,
    profile: &ProfileEntry,
    entry: &Entry,
    context: &Context,
) -> Result<(), CliError> {
    let query = AccessQuery {
        server: entry.server.clone(),
        certificate_authority_data: entry.certificate_authority_data.clone(),
    };
    let body = serde_json::to_vec(&query).unwrap_or_default();
    // An older agent does not know the endpoint, and the profile is added already.
    let Ok(access) = daemon.call_json::<ClusterAccess>(&Endpoint::ClusterAccess(wanted.name.clone()), &body) else {
        return Ok(());
    };
    match text(&access, profile, context) {
        Some(text) => output::print(&text),
        None => {
            if let ClusterAccess::Unreachable { reason } = access {
                output::print_note(&format!(
                    "whether the cluster maps this role is not known: its API server cannot be asked ({reason})"
                ));
            }
            Ok(())
        }
    }
}

/// What the API server says, as lines; `None` if it says nothing.
fn text(access: &ClusterAccess, profile: &ProfileEntry, context: &Context) -> Option<String> {
    match access {
        ClusterAccess::Mapped { username: Some(username), groups } => {
            let mut line =
                format!("{} the cluster knows you as {}", context.screen.tick(), sanitize_for_terminal(username));
            // Every authenticated user is in this group.
            let groups: Vec<String> = groups
                .iter()
                .filter(|group| *group != "system:authenticated")
                .map(|group| sanitize_for_terminal(group))
                .collect();
            if !groups.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(line, " (groups: {})", groups.join(", "));
            }
            Some(line + "\n")
        }
        ClusterAccess::Mapped { username: None, .. } => {
            Some(format!("{} the cluster accepts this role\n", context.screen.tick()))
        }
        ClusterAccess::NotMapped => Some(not_mapped(profile, context)),
        _ => None,
    }
}

fn not_mapped(profile: &ProfileEntry, context: &Context) -> String {
    let (mark, cluster, region) = (context.screen.warning(), &profile.cluster, &profile.region);
    let problem =
        format!("{mark} this role is not mapped in the cluster {cluster}: its API server answers 401 (Unauthorized)\n");
    match &profile.role_arn {
        Some(role) => format!(
            "{problem}  an administrator can map it: aws eks create-access-entry --region {region} --cluster-name {cluster} \
             --principal-arn {role}\n"
        ),
        None => format!("{problem}  an administrator can map it with an access entry for the source's identity\n"),
    }
}
