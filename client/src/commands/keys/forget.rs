//! `rolecall keys forget NAME`: takes keys out of the keyring.

use rolecall_protocol::{Endpoint, KeyForgotten, KeyName, SourceName, location};

use super::ask::Terminal;
use crate::config_file::ConfigFile;
use crate::daemon::{Daemon, IfAbsent};
use crate::error::{CliError, Exit};
use crate::output;
use crate::run::Context;

/// Removes them, once the person has said so.
pub(super) fn run(name: &KeyName, yes: bool, context: &Context) -> Result<(), CliError> {
    if !yes && !confirm(name)? {
        return Err(CliError::failed(format!("keys \"{name}\" stay"), "Nothing was changed."));
    }
    let endpoint = Endpoint::ForgetKey(name.clone());
    let KeyForgotten { used_by } = Daemon::find(IfAbsent::Start)?.call_json(&endpoint, b"")?;
    output::print(&format!(
        "{} forgot the keys {name}; AWS goes on taking them until they are deleted in IAM\n",
        context.screen.tick()
    ))?;
    let used_by: Vec<&str> = used_by.iter().map(SourceName::as_str).collect();
    if !used_by.is_empty() {
        output::print_note(&format!("{} and gives nothing any more", usage_text(&used_by)));
    }
    Ok(())
}

fn confirm(name: &KeyName) -> Result<bool, CliError> {
    let Some(terminal) = Terminal::open() else {
        return Err(CliError::new(
            Exit::Usage,
            format!("keys \"{name}\": nobody can be asked whether to forget them"),
            format!("To do it all the same: rolecall keys forget {name} --yes"),
        ));
    };
    // What cannot be read says nothing of who uses them.
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let used_by = config.map(|config| config.sources_with_keyring(name)).unwrap_or_default();
    let used = if used_by.is_empty() { String::new() } else { format!(" ({})", usage_text(&used_by)) };
    let answer = terminal.ask(&format!("Remove the keys {name} from the keyring{used}? [y/N] "))?;
    Ok(answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())))
}

fn usage_text(used_by: &[impl AsRef<str>]) -> String {
    let verb = if used_by.len() == 1 { "source" } else { "sources" };
    let uses = if used_by.len() == 1 { "uses" } else { "use" };
    format!("{verb} {} {uses} them", super::name_list(used_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_them() {
        assert_eq!(usage_text(&["work"]), "source work uses them");
        assert_eq!(usage_text(&["work", "home"]), "sources work, home use them");
    }
}
