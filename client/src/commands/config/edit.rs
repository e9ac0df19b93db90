//! `rolecall config edit`: edits a copy and replaces the file if the copy is valid, as visudo does.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rolecall_protocol::{ConfigChecked, Endpoint, MAX_CONFIG_BYTES};
use tempfile::NamedTempFile;

use crate::config_file::{self, ConfigFileError, NEW_FILE_HEADER};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::files::atomic_file;
use crate::files::error::{FileError, Untouched};
use crate::files::path_text::display_path;
use crate::output;
use crate::terminal::prompt;
use crate::terminal::tty::{Tty, TypedLine};

/// The editor if the environment names none, as POSIX has it for `crontab -e`.
const DEFAULT_EDITOR: &str = "vi";

/// Edits until the copy is valid or the user gives up.
pub(super) fn run(context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    let daemon = context.daemon()?;
    config_status::check_daemon_config(&daemon, &path, &context.environment)?;
    let before = config_file::read_text(&path)?;
    let mut copy = copy_of(if before.is_empty() { NEW_FILE_HEADER } else { &before }, &path)?;
    loop {
        run_editor(copy.path(), context)?;
        let text = atomic_file::read(copy.path(), MAX_CONFIG_BYTES as u64).map_err(ConfigFileError::File)?.text;
        if text == before || before.is_empty() && text == NEW_FILE_HEADER {
            return output::print(&format!("  {} is unchanged\n", display_path(&path)));
        }
        let Err(error) = daemon.call_json::<ConfigChecked>(&Endpoint::ConfigCheck, text.as_bytes()) else {
            return match config_file::replace_text(&path, &before, &text) {
                Ok(()) => installed(&path, context),
                Err(error) => Err(keep(copy, error.into())),
            };
        };
        let error = CliError::from(error);
        match Tty::open() {
            Some(tty) => {
                output::print_error(&error);
                let answer = prompt::ask(&tty, "The copy has a mistake. Edit it again? [Y/n] ", None);
                if !matches!(answer, TypedLine::Line(answer) if prompt::is_yes(&answer, true)) {
                    return Err(keep(copy, CliError::failed("the edited configuration is not valid", "Fix the copy")));
                }
            }
            None => return Err(keep(copy, error)),
        }
        // An editor may have replaced the file, so the copy is found by its name again.
        copy = reopened(copy);
    }
}

/// A private copy in the folder for temporary files. The editor recognises the format by its name.
fn copy_of(text: &str, path: &Path) -> Result<NamedTempFile, CliError> {
    let failed = |source| ConfigFileError::File(FileError::Io { path: path.to_owned(), verb: "copy", source });
    let mut copy = tempfile::Builder::new().prefix("rolecall-").suffix(".toml").tempfile().map_err(failed)?;
    copy.write_all(text.as_bytes()).and_then(|()| copy.flush()).map_err(failed)?;
    Ok(copy)
}

fn reopened(copy: NamedTempFile) -> NamedTempFile {
    let (file, path) = copy.into_parts();
    let file = std::fs::File::open(&path).unwrap_or(file);
    NamedTempFile::from_parts(file, path)
}

/// Runs the editor on this terminal. The variable may hold options, as in `code --wait`, so a shell reads it.
fn run_editor(copy: &Path, context: &Context) -> Result<(), CliError> {
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| context.environment.get(name));
    let editor = editor.unwrap_or(DEFAULT_EDITOR.as_ref());
    let shown = editor.to_string_lossy();
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{shown} \"$@\"")).arg("rolecall").arg(copy);
    let hint = "Set VISUAL or EDITOR to an editor that waits until you close the file";
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::failed(format!("the editor {shown} failed ({status})"), hint)
            .untouched(Untouched::NothingChanged)),
        Err(error) => Err(CliError::failed(format!("cannot run the editor {shown}: {error}"), hint)
            .untouched(Untouched::NothingChanged)),
    }
}

/// Keeps the user's work, and says where it is.
fn keep(copy: NamedTempFile, error: CliError) -> CliError {
    match copy.into_temp_path().keep() {
        Ok(path) => error.with_hint_prefix(&format!("Nothing was changed; your copy is {}", path.display())),
        Err(_) => error.untouched(Untouched::NothingChanged),
    }
}

fn installed(path: &Path, context: &Context) -> Result<(), CliError> {
    if let Some(problem) = Daemon::reload().and_then(|status| status.problem) {
        let error = CliError::from(problem.error);
        return Err(error.with_hint_prefix(&format!("{} is written, and the agent does not use it", path.display())));
    }
    context.print_done(&format!("{} is changed and in force", display_path(path)))
}
