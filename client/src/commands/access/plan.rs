//! `rolecall access plan PROFILE`: what an administrator has to create, as text. Calls neither AWS nor the cluster.

mod blueprint;
mod cli_commands;
mod cloudformation;
mod documents;
mod kubernetes;
mod terraform;
#[cfg(test)]
mod tests;

use rolecall_protocol::{Endpoint, ProfileDetails};

use blueprint::Blueprint;

use crate::cli::{AccessPlanned, PlanFormat};
use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// Prints the plan.
pub(super) fn run(wanted: &AccessPlanned, context: &Context) -> Result<(), CliError> {
    let endpoint = Endpoint::Profile(wanted.profile.clone());
    let details: ProfileDetails = context.daemon()?.call_json(&endpoint, b"")?;
    output::print(&text(&Blueprint::new(wanted, &details)?, wanted.format)?)
}

fn text(blueprint: &Blueprint, format: PlanFormat) -> Result<String, CliError> {
    match format {
        PlanFormat::Cli => Ok(cli_commands::render(blueprint)),
        PlanFormat::Cloudformation => cloudformation::render(blueprint),
        PlanFormat::Terraform => Ok(terraform::render(blueprint)),
    }
}
