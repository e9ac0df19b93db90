//! `rolecall keys forget NAME`: deletes an access key from the OS keyring.

use rolecall_protocol::{Endpoint, KeyForgotten, KeyName, SourceName, location};

use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::terminal::prompt;
use crate::terminal::tty::{Tty, TypedLine};

/// Removes the access key after a confirmation.
pub(super) fn run(name: &KeyName, yes: bool, context: &Context) -> Result<(), CliError> {
    if !yes && !confirm(name)? {
        return Err(CliError::failed(format!("access key \"{name}\" was not removed"), "Nothing was changed."));
    }
    let endpoint = Endpoint::ForgetKey(name.clone());
    let KeyForgotten { used_by } = context.daemon()?.call_json(&endpoint, b"")?;
    context.print_done(&format!(
        "removed access key \"{name}\" from the keyring; AWS accepts it until it is deleted in IAM"
    ))?;
    let used_by: Vec<&str> = used_by.iter().map(SourceName::as_str).collect();
    if !used_by.is_empty() {
        output::print_note(&format!("{} and can no longer sign", usage_text(&used_by)));
    }
    Ok(())
}

fn confirm(name: &KeyName) -> Result<bool, CliError> {
    let Some(tty) = Tty::open() else {
        return Err(CliError::new(
            Exit::Usage,
            format!("access key \"{name}\": there is no terminal to confirm the removal"),
            format!("To remove it without a question: rolecall keys forget {name} --yes"),
        ));
    };
    // Without a readable configuration, the question names no source.
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let used_by = config.map(|config| config.sources_with_keyring(name)).unwrap_or_default();
    let used = if used_by.is_empty() { String::new() } else { format!(" ({})", usage_text(&used_by)) };
    let answer = prompt::ask(&tty, &format!("Remove access key \"{name}\" from the keyring{used}? [y/N] "), None);
    Ok(matches!(answer, TypedLine::Line(answer) if prompt::is_yes(&answer, false)))
}

fn usage_text(used_by: &[impl AsRef<str>]) -> String {
    let verb = if used_by.len() == 1 { "source" } else { "sources" };
    let uses = if used_by.len() == 1 { "uses" } else { "use" };
    format!("{verb} {} {uses} it", super::text::name_list(used_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_text_names_sources() {
        assert_eq!(usage_text(&["work"]), "source work uses it");
        assert_eq!(usage_text(&["work", "home"]), "sources work, home use it");
    }
}
