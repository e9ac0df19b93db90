//! `rolecall access plan PROFILE`: what an administrator has to create, as text. Calls neither AWS nor the cluster.

mod blueprint;
mod cli_commands;
mod cloudformation;
mod documents;
mod kubernetes;
mod terraform;
#[cfg(test)]
mod tests;

use rolecall_protocol::{Endpoint, ProfileDetails, ProfileName, similar_names};

use blueprint::Blueprint;

use crate::cli::{AccessPlanned, PlanFormat};
use crate::completion::USER_POLICIES;
use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// Prints the plan.
pub(super) fn run(wanted: &AccessPlanned, context: &Context) -> Result<(), CliError> {
    let endpoint = Endpoint::Profile(wanted.profile.clone());
    let details: ProfileDetails = context.daemon()?.call_json(&endpoint, b"")?;
    let text = text(&Blueprint::new(wanted, &details)?, wanted.format)?;
    if let Some(note) = wanted.policy.as_deref().and_then(|policy| unknown_policy(policy, &wanted.profile)) {
        output::print_note(&note);
    }
    output::print(&text)
}

/// The note for an access policy, by name or ARN, that this version does not know. EKS may have new ones.
fn unknown_policy(policy: &str, profile: &ProfileName) -> Option<String> {
    let name = policy.rsplit('/').next().unwrap_or(policy);
    if USER_POLICIES.contains(&name) {
        return None;
    }
    let hint = match similar_names(name, USER_POLICIES).first() {
        Some(similar) => format!("Did you mean {similar}?"),
        None => format!("See: rolecall access policies {profile}"),
    };
    Some(format!("the access policy {policy} is not known to this version of rolecall. {hint}"))
}

fn text(blueprint: &Blueprint, format: PlanFormat) -> Result<String, CliError> {
    match format {
        PlanFormat::Cli => Ok(cli_commands::render(blueprint)),
        PlanFormat::Cloudformation => cloudformation::render(blueprint),
        PlanFormat::Terraform => Ok(terraform::render(blueprint)),
    }
}
