//! The context before the current one, for `rolecall use -`. It is kept for all kubeconfigs together, as kubectx does.

use rolecall_protocol::Hint;
use rolecall_protocol::location;

use crate::cli::ContextName;
use crate::error::{CliError, Exit};
use crate::files::atomic_file::{self, Backup};
use crate::kubeconfig::KubeconfigError;
use crate::output;

/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 4096;

/// Returns the context before the current one.
///
/// # Errors
/// If no command has changed the current context yet.
pub(super) fn read() -> Result<String, CliError> {
    let text = atomic_file::read(&location::previous_context()?, MAX_BYTES).map_err(KubeconfigError::File)?.text;
    match text.trim_end_matches('\n').parse::<ContextName>() {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(CliError::new(
            Exit::Failed,
            "there is no previous context: rolecall use has not changed the current one yet",
            Hint::command("rolecall use NAME"),
        )),
    }
}

/// Saves the context that was the current one. If that fails, prints a note: the current context has changed already.
pub(super) fn save(name: &str) {
    let save = || -> Result<(), CliError> {
        let path = location::previous_context()?;
        let replace = || {
            let before = atomic_file::read(&path, MAX_BYTES)?;
            atomic_file::replace(&before, &format!("{name}\n"), Backup::None)
        };
        replace().map(|_| ()).map_err(|error| KubeconfigError::File(error).into())
    };
    if let Err(error) = save() {
        output::print_note(&format!("rolecall use - will not return to {name}: {error}"));
    }
}
