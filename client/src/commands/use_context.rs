//! `rolecall use NAME`: makes a profile's context the current one.

use rolecall_protocol::{ProfileName, location};

use crate::cli::Use;
use crate::config_file::ConfigFile;
use crate::context_entry::{files, say_notes, short};
use crate::kubeconfig::{self, KubeconfigError};
use crate::output;
use crate::report::CliError;
use crate::run::Context;

/// Sets the current context, and says which it was.
pub(crate) fn run(wanted: &Use, context: &Context) -> Result<(), CliError> {
    let files = files(wanted.kubeconfig.as_deref())?;
    let name = wanted.name.as_str();
    let outcome = match kubeconfig::use_context(&files, name) {
        Ok(outcome) => outcome,
        Err(KubeconfigError::UnknownContext { .. }) if is_configured(&wanted.name) => {
            return Err(CliError::failed(
                format!("the profile {name} has no context in your kubeconfig yet"),
                format!("Run: rolecall kubeconfig {name} --use"),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    say_notes(&outcome.written.notes);
    let tick = context.screen.tick();
    let file = short(&outcome.file);
    output::print(&match outcome.previous.as_deref() {
        Some(previous) if previous == name => format!("{tick} {name} is your current context already ({file})\n"),
        Some(previous) => {
            let previous = rolecall_protocol::sanitize_for_terminal(previous);
            format!("{tick} {name} is now your current context in {file} (it was {previous})\n")
        }
        None => format!("{tick} {name} is now your current context in {file}\n"),
    })
}

/// Whether there is such a profile. Only for a better hint, so a configuration that cannot be read counts as no.
fn is_configured(name: &ProfileName) -> bool {
    location::config()
        .ok()
        .and_then(|path| ConfigFile::load(&path).ok())
        .is_some_and(|config| config.profile_names().iter().any(|known| known == name.as_str()))
}
