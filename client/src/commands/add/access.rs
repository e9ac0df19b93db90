//! After a profile was added: does the cluster map its role?

use std::fmt::Write as _;

use rolecall_protocol::{AccessQuery, ClusterAccess, Endpoint, ProfileName, sanitize_for_terminal};

use crate::cli::Add;
use crate::config_file::ProfileEntry;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::CliError;
use crate::kubeconfig::Entry;
use crate::output;

/// The access policy that the printed commands grant.
const VIEW_POLICY: &str = "AmazonEKSViewPolicy";

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
    if let Some(text) = text(&access, &wanted.name, identity, context) {
        output::print(&text)?;
    }
    Ok(if matches!(access, ClusterAccess::NotMapped) { Access::Refused } else { Access::NotRefused })
}

/// What the API server says, as lines; `None` if it says nothing.
fn text(access: &ClusterAccess, name: &ProfileName, identity: Identity<'_>, context: &Context) -> Option<String> {
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
        ClusterAccess::NotMapped => Some(not_mapped(name, identity, context)),
        _ => None,
    }
}

/// That the API server rejects the identity, the commands with which an administrator grants read access, and the command that
/// says why.
fn not_mapped(name: &ProfileName, identity: Identity<'_>, context: &Context) -> String {
    let Identity { profile, session_arn } = identity;
    let (mark, cluster) = (context.screen.warning(), &profile.cluster);
    let session_arn = session_arn.map(sanitize_for_terminal);
    let subject = match (&profile.role_arn, &session_arn) {
        (Some(_), _) => "this role".to_owned(),
        (None, Some(arn)) => arn.clone(),
        (None, None) => format!("the identity of source {}", profile.source),
    };
    let mut text =
        format!("{mark} {subject} is not mapped in the cluster {cluster}: its API server answers 401 (Unauthorized)\n");
    let user = session_arn.as_deref().filter(|arn| arn.contains(":user/"));
    let principal = match (&profile.role_arn, user) {
        (Some(role), _) => Some(("--role", role.as_str())),
        (None, user) => user.map(|user| ("--user", user)),
    };
    if let Some((option, arn)) = principal {
        let (region, partition) = (&profile.region, arn.split(':').nth(1).unwrap_or("aws"));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  an administrator of the cluster can grant read access:\n    \
             rolecall access grant {cluster} {option} {arn} --policy {VIEW_POLICY}\n  \
             or, with the AWS CLI:\n    \
             aws eks create-access-entry --region {region} --cluster-name {cluster} --principal-arn {arn}\n    \
             aws eks associate-access-policy --region {region} --cluster-name {cluster} --principal-arn {arn} \
             --policy-arn arn:{partition}:eks::aws:cluster-access-policy/{VIEW_POLICY} --access-scope type=cluster\n"
        );
    }
    text + &format!("{mark} kubectl will fail with this profile; the reason: rolecall doctor {name}\n")
}
