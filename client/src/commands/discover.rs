//! `rolecall discover`: searches for clusters, and adds a profile and a kubeconfig context for those that the user chooses.

#[cfg(test)]
mod fixture;
mod plan;
mod search;
mod view;
mod write;

use std::io::IsTerminal as _;

use crate::cli::Discover;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::kubeconfig::context_entry::files;
use crate::output;
use crate::terminal::tty::Tty;
use plan::{NewCluster, Plan};

/// Searches, shows what was found, asks, and adds the chosen clusters.
pub(crate) fn run(wanted: &Discover, context: &Context) -> Result<(), CliError> {
    check_can_ask(wanted)?;
    let path = context.config_path()?;
    let daemon = context.daemon()?;
    let found = search::search(&daemon, wanted, context)?;
    let plan = Plan::new(&found, &ConfigFile::load(&path)?, wanted);
    if let Some(format) = wanted.output.data() {
        output::print_data(format, &plan)?;
        if !wanted.yes {
            return Ok(());
        }
    } else {
        output::print(&view::render(&plan, context.screen.widened(wanted.output.is_wide())))?;
    }
    if wanted.dry_run || !plan.new.iter().any(NewCluster::can_be_added) {
        return Ok(());
    }
    let chosen: Vec<_> = if wanted.yes {
        plan.new.iter().filter(|cluster| cluster.is_proposed()).collect()
    } else {
        view::choose(&plan, context)?
    };
    if chosen.is_empty() {
        return context.print_done("nothing was added");
    }
    let files = files(wanted.kubeconfig.as_deref())?;
    write::write(&chosen, &path, &files, &daemon, context)
}

/// Errors if the question cannot be asked.
fn check_can_ask(wanted: &Discover) -> Result<(), CliError> {
    let is_asked = !wanted.yes && !wanted.dry_run && wanted.output.data().is_none();
    if !is_asked || Tty::open().is_some_and(|tty| tty.is_available()) && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Usage,
        "there is no terminal to choose clusters on",
        "See them with --dry-run, and add all of them with --yes",
    ))
}
