//! `rolecall import`: converts the contexts of other tools to Rolecall, after a plan and a question.

mod apply;
mod aws_profiles;
mod names;
mod plan;
mod recognize;
mod record;
mod target;
mod undo;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use self::aws_profiles::AwsProfiles;
use self::plan::{Plan, PlannedProfile, Wanted};
use crate::cli::Import;
use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::{CliError, Exit};
use crate::files::error::Untouched;
use crate::kubeconfig::context_entry::{entry, files};
use crate::kubeconfig::{self, Entry, Files};
use crate::output;
use crate::terminal::prompt;
use crate::terminal::tty::{Tty, TypedLine};

/// How long the user may take to answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(10);
/// How many names a line lists.
const MAX_LISTED: usize = 8;

/// Shows the plan, asks and converts.
pub(crate) fn run(wanted: &Import, context: &Context) -> Result<(), CliError> {
    if wanted.undo {
        return undo::undo(context);
    }
    let tty = check_can_ask(wanted)?;
    let path = context.config_path()?;
    let files = files(wanted.kubeconfig.as_deref())?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    let config = ConfigFile::load(&path)?;
    let plan = plan(wanted, &files, &AwsProfiles::read(), &config, context)?;
    match wanted.output.data() {
        Some(format) => output::print_data(format, &view::data(&plan))?,
        None => output::print(&view::table(&plan, context.screen.widened(wanted.output.is_wide())))?,
    }
    let count = plan.count();
    if count == 0 {
        output::print_note("there is no context to convert");
        return Ok(());
    }
    if wanted.dry_run {
        output::print_note("this is a dry run: nothing was changed");
        return Ok(());
    }
    if let Some(tty) = tty {
        ask(&tty, count)?;
    }
    apply::apply(&plan, &files, config, context)?;
    if wanted.output.data().is_some() {
        return Ok(());
    }
    let contexts: Vec<String> = plan.users.iter().flat_map(|user| user.contexts.clone()).collect();
    let names = if contexts.len() > MAX_LISTED { format!("{count} contexts") } else { contexts.join(", ") };
    let verb = if contexts.len() == 1 { "uses" } else { "use" };
    let names = rolecall_protocol::sanitize_for_terminal(&names);
    context.print_done(&format!("{names} now {verb} Rolecall; undo with: rolecall import --undo"))?;
    output::print("  check them with: rolecall doctor\n")
}

/// Returns the terminal for the question; `None` if there is none to ask. Errors if the question cannot be asked.
fn check_can_ask(wanted: &Import) -> Result<Option<Tty>, CliError> {
    if wanted.yes || wanted.dry_run {
        return Ok(None);
    }
    let tty = Tty::open().filter(|tty| tty.is_available() && std::io::stdout().is_terminal());
    match tty.filter(|_| wanted.output.data().is_none()) {
        Some(tty) => Ok(Some(tty)),
        None => Err(CliError::new(
            Exit::Usage,
            "there is no terminal to show the plan and to ask on",
            "See the plan with --dry-run, and convert with --yes",
        )),
    }
}

fn plan(
    wanted: &Import,
    files: &Files,
    aws: &AwsProfiles,
    config: &ConfigFile,
    context: &Context,
) -> Result<Plan, CliError> {
    let contexts = kubeconfig::found_contexts(files)?;
    let plan = |shared: &[String]| {
        let selection = Wanted { only: &wanted.only, aws_profile: wanted.aws_profile.as_deref(), shared };
        Plan::new(&contexts, selection, aws, config)
    };
    let first = plan(&[])?;
    let entry = |profile: &PlannedProfile| entry(&profile.name, &profile.target.server, None, &context.environment);
    let entries: Vec<Entry> = first.profiles.iter().map(entry).collect::<Result<_, _>>()?;
    let conversions = apply::conversions(&first, |index| entries[index].clone());
    let shared = kubeconfig::inconvertible(files, &conversions)?;
    if shared.is_empty() {
        return Ok(first);
    }
    plan(&shared.into_iter().map(|index| first.users[index].name.clone()).collect::<Vec<_>>())
}

fn ask(tty: &Tty, count: usize) -> Result<(), CliError> {
    let contexts = if count == 1 { "1 context".to_owned() } else { format!("{count} contexts") };
    let question = format!("Convert {contexts}? [Y/n] ");
    tty.discard_typed_input();
    match prompt::ask(tty, &question, Some(Deadline::after(CONFIRM_TIMEOUT))) {
        TypedLine::Line(answer) if prompt::is_yes(&answer, true) => return Ok(()),
        TypedLine::Line(_) => {}
        TypedLine::End | TypedLine::Timeout => tty.write("\n"),
    }
    Err(CliError::failed("no context was converted", "Nothing was changed.").untouched(None::<Untouched>))
}

#[cfg(test)]
mod tests;
