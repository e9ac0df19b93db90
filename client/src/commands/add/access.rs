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

/// Whether the API server accepts the profile's tokens, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Refused,
    NotRefused,
}

/// Whose access is asked for.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) profile: &'a ProfileEntry,
    /// The ARN of the session, if AWS was asked.
    pub(super) session_arn: Option<&'a str>,
}

/// Asks the API server through the daemon, and prints the result. An API server that cannot be reached is not an error:
/// a private endpoint may need a VPN.
pub(super) fn report(
    daemon: &Daemon,
    identity: Identity<'_>,
    wanted: &Add,
    entry: &Entry,
    context: &Context,
) -> Result<Access, CliError> {
    let query = AccessQuery {
        server: entry.server.clone(),
        certificate_authority_data: entry.certificate_authority_data.clone(),
    };
    let body = serde_json::to_vec(&query).unwrap_or_default();
    // An older agent does not know the endpoint, and the profile is added already.
    let endpoint = Endpoint::ClusterAccess(wanted.name.clone());
    let Ok(access) = daemon.call_json::<ClusterAccess>(&endpoint, &body) else {
        return Ok(Access::NotRefused);
    };
    if let ClusterAccess::Unreachable { reason } = &access {
        output::print_note(&format!(
            "whether the cluster maps this role is not known: its API server cannot be asked ({reason})"
        ));
    }
    if let Some(text) = text(&access, identity, context) {
        output::print(&text)?;
    }
    Ok(if matches!(access, ClusterAccess::NotMapped) { Access::Refused } else { Access::NotRefused })
}

/// What the API server says, as lines; `None` if it says nothing.
fn text(access: &ClusterAccess, identity: Identity<'_>, context: &Context) -> Option<String> {
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
        ClusterAccess::NotMapped => Some(not_mapped(identity.profile, identity.session_arn, context)),
        _ => None,
    }
}

fn not_mapped(profile: &ProfileEntry, session_arn: Option<&str>, context: &Context) -> String {
    let (mark, cluster, region) = (context.screen.warning(), &profile.cluster, &profile.region);
    let identity = match (&profile.role_arn, session_arn) {
        (Some(_), _) => "this role".to_owned(),
        (None, Some(arn)) => sanitize_for_terminal(arn),
        (None, None) => format!("the identity of source {}", profile.source),
    };
    let problem = format!(
        "{mark} {identity} is not mapped in the cluster {cluster}: its API server answers 401 (Unauthorized)\n"
    );
    match &profile.role_arn {
        Some(role) => format!(
            "{problem}  an administrator can map it: aws eks create-access-entry --region {region} --cluster-name {cluster} \
             --principal-arn {role}\n"
        ),
        None => format!("{problem}  an administrator can map it with an access entry for its IAM user or role\n"),
    }
}
