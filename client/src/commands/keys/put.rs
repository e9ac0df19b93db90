//! `rolecall keys put NAME`: asks for an access key, and the daemon stores it in the OS keyring.

use std::path::Path;

use rolecall_protocol::{Endpoint, KeyList, KeyStatus, PutKey, Secret};

use crate::cli::KeysPut;
use crate::config_file::{self, ConfigFile};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::daemon::config_status;
use crate::error::{CliError, Exit};
use crate::files::error::Untouched;
use crate::files::path_text::display_path;
use crate::output;
use crate::terminal::prompt::{self, HiddenPrompt, read_stdin_line};
use crate::terminal::tty::{Tty, TypedLine};

/// Stores the keys, and prints how to use them.
pub(super) fn run(wanted: &KeysPut, context: &Context) -> Result<(), CliError> {
    let name = &wanted.name;
    let path = context.config_path()?;
    let daemon = context.daemon()?;
    if wanted.source {
        check_source_free(wanted, &ConfigFile::load(&path)?)?;
        config_status::check_daemon_config(&daemon, &path, &context.environment)?;
    }
    let (id, secret) = if wanted.stdin { read_keys_from_stdin()? } else { ask_keys(wanted, &daemon)? };
    let stored = put(wanted, &daemon, id, secret)?;
    context
        .print_done(&format!("put access key \"{name}\" into the OS keyring ({})", super::text::key_text(&stored)))?;
    if stored.arn.as_deref().is_some_and(|arn| arn.ends_with(":root")) {
        output::print_note(
            "this is an access key of the account's root user, who may do everything: delete it, and use an IAM user's",
        );
    }
    if wanted.source {
        add_source(wanted, &path)?;
        Daemon::reload();
        return context.print_done(&format!("the source {name} in {} signs with it", display_path(&path)));
    }
    match ConfigFile::load(&path).map(|config| config.sources_with_keyring(name)) {
        Ok(sources) if !sources.is_empty() => Ok(()),
        _ => output::print(&format!("  To use it, write in {}:\n\n{}", display_path(&path), config_section(wanted))),
    }
}

/// The section of the configuration file that uses the access key.
fn config_section(wanted: &KeysPut) -> String {
    let name = &wanted.name;
    format!("    [sources.{}]\n    keyring = \"{name}\"\n", toml_key(name.as_str()))
}

/// A name as a TOML key. A dot would separate two keys.
fn toml_key(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

/// Sends the access key to the daemon, which checks and stores it.
fn put(wanted: &KeysPut, daemon: &Daemon, id: String, secret: Secret<String>) -> Result<KeyStatus, CliError> {
    let endpoint = Endpoint::PutKey(wanted.name.clone());
    let keys =
        PutKey { access_key_id: id, secret_access_key: secret, region: wanted.region.clone(), replace: wanted.replace };
    Ok(daemon.call_with_secret(&endpoint, &keys)?)
}

/// Asks for the keys on the terminal. Unlocks the keyring before the first question.
fn ask_keys(wanted: &KeysPut, daemon: &Daemon) -> Result<(String, Secret<String>), CliError> {
    let name = &wanted.name;
    let Some(tty) = Tty::open() else {
        return Err(CliError::new(
            Exit::Usage,
            "there is no terminal to ask for the access key on",
            format!("Give it as two lines on standard input: rolecall keys put {name} --stdin"),
        ));
    };
    let KeyList { keys } = daemon.call_json(&Endpoint::Keys, b"")?;
    if !wanted.replace && keys.iter().any(|known| known.name == *name) {
        return Err(CliError::failed(
            format!("there is an access key \"{name}\" in the OS keyring already"),
            format!("To replace it: rolecall keys put {name} --replace"),
        ));
    }
    let TypedLine::Line(id) = prompt::ask(&tty, "Access key id: ", None) else { return Err(no_keys_error()) };
    let hidden = HiddenPrompt::open().ok_or_else(no_keys_error)?;
    let secret = hidden.ask("Secret access key (not shown): ")?.filter(|secret| !secret.expose().is_empty());
    let (id, secret) = (Some(id.trim().to_owned()).filter(|id| !id.is_empty()), secret);
    let (Some(id), Some(secret)) = (id, secret) else { return Err(no_keys_error()) };
    Ok((id, Secret::new(secret.expose().trim().to_owned())))
}

/// Reads the access key from two lines of standard input.
fn read_keys_from_stdin() -> Result<(String, Secret<String>), CliError> {
    let (id, secret) = (read_stdin_line()?, read_stdin_line()?);
    match (id, secret) {
        (Some(id), Some(secret)) => Ok((id.expose().trim().to_owned(), Secret::new(secret.expose().trim().to_owned()))),
        _ => Err(no_keys_error()),
    }
}

fn no_keys_error() -> CliError {
    CliError::failed("no access key was given", "Give the access key id, and then the secret access key")
        .untouched(Untouched::NothingChanged)
}

/// Errors if another source has the name. Called before the first question.
fn check_source_free(wanted: &KeysPut, config: &ConfigFile) -> Result<(), CliError> {
    let name = wanted.name.as_str();
    let is_taken = config.source_names().iter().any(|source| source == name);
    if is_taken && !config.sources_with_keyring(&wanted.name).iter().any(|source| source == name) {
        return Err(CliError::failed(
            format!("there is a source \"{name}\" already, and it does not use this access key"),
            "Omit --source, or use another name",
        )
        .untouched(Untouched::NothingChanged));
    }
    Ok(())
}

fn add_source(wanted: &KeysPut, path: &Path) -> Result<(), CliError> {
    let name = wanted.name.as_str();
    config_file::edit(path, |file| {
        // Checked again, because the file may have changed.
        check_source_free(wanted, file)?;
        Ok::<(), CliError>(file.add_source_keyring(name, &wanted.name)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> KeysPut {
        KeysPut {
            name: name.parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            replace: false,
            source: false,
            stdin: false,
        }
    }

    #[test]
    fn config_section_is_valid_toml() {
        assert_eq!(
            config_section(&wanted("break-glass")),
            "    [sources.break-glass]\n    keyring = \"break-glass\"\n"
        );
        assert_eq!(config_section(&wanted("a.b")), "    [sources.\"a.b\"]\n    keyring = \"a.b\"\n");
    }

    #[test]
    fn check_source_free_taken_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[sources.work]\naws_profile = \"x\"\n[sources.mine]\nkeyring = \"mine\"\n").unwrap();
        let config = ConfigFile::load(&path).unwrap();
        assert!(check_source_free(&wanted("other"), &config).is_ok());
        assert!(check_source_free(&wanted("mine"), &config).is_ok());
        assert!(
            check_source_free(&wanted("work"), &config)
                .unwrap_err()
                .to_string()
                .contains("does not use this access key")
        );
        add_source(&wanted("other"), &path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("[sources.other]\nkeyring = \"other\"\n"));
    }
}
