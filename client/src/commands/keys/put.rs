//! `rolecall keys put NAME`: asks for keys and has the daemon keep them.

use std::io::{self, BufReader};
use std::path::Path;

use rolecall_protocol::{Endpoint, KeyList, KeyStatus, PutKey, Secret, location};

use super::ask::{self, Terminal};
use crate::agent::{Agent, CallError, IfAbsent};
use crate::atomic::Untouched;
use crate::cli::KeysPut;
use crate::config_file::{self, ConfigFile};
use crate::context_entry::short;
use crate::output;
use crate::report::{CliError, Exit};
use crate::run::Context;

/// Puts them there, and says how they are used.
pub(super) fn run(wanted: &KeysPut, context: &Context) -> Result<(), CliError> {
    let name = &wanted.name;
    let path = location::config().map_err(CallError::from)?;
    let agent = Agent::find(IfAbsent::Start)?;
    if wanted.source {
        is_free(wanted, &ConfigFile::load(&path)?)?;
        crate::commands::check_config(&agent, &path)?;
    }
    let (id, secret) = if wanted.stdin { piped()? } else { asked(wanted, &agent)? };
    let kept = put(wanted, &agent, id, secret)?;
    let (tick, what) = (context.screen.tick(), super::described(&kept));
    output::print(&format!("{tick} put the keys {name} into the OS keyring ({what})\n"))?;
    if kept.arn.as_deref().is_some_and(|arn| arn.ends_with(":root")) {
        output::note(
            "these are keys of the account's root user, who may do everything: delete them, and use an IAM user's",
        );
    }
    if wanted.source {
        add_source(wanted, &path)?;
        Agent::reload();
        return output::print(&format!("{tick} the source {name} in {} signs with them\n", short(&path)));
    }
    match ConfigFile::load(&path).map(|config| config.sources_with_keyring(name)) {
        Ok(sources) if !sources.is_empty() => Ok(()),
        _ => output::print(&format!("  To use them, write in {}:\n\n{}", short(&path), section(wanted))),
    }
}

/// What a person writes to use them.
fn section(wanted: &KeysPut) -> String {
    let name = &wanted.name;
    format!("    [sources.{}]\n    keyring = \"{name}\"\n", toml_key(name.as_str()))
}

/// A dot would part it.
fn toml_key(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

/// Has the daemon check and keep them.
fn put(wanted: &KeysPut, agent: &Agent, id: String, secret: Secret<String>) -> Result<KeyStatus, CliError> {
    let endpoint = Endpoint::PutKey(wanted.name.clone());
    let keys =
        PutKey { access_key_id: id, secret_access_key: secret, region: wanted.region.clone(), replace: wanted.replace };
    // Large enough from the beginning, so that no part of it stays behind where it grew.
    let mut body = Vec::with_capacity(endpoint.max_body());
    serde_json::to_writer(&mut body, &keys).map_err(|_| no_keys())?;
    let body = Secret::new(body);
    Ok(agent.call_json_within(&endpoint, body.expose(), super::patience(&endpoint))?)
}

/// Asks the person: for the keyring's password first if need be, and only then for what it is to keep.
fn asked(wanted: &KeysPut, agent: &Agent) -> Result<(String, Secret<String>), CliError> {
    let name = &wanted.name;
    let Some(terminal) = Terminal::open() else {
        return Err(CliError::new(
            Exit::Usage,
            "there is no terminal to ask for the keys on",
            format!("Give them as two lines on standard input: rolecall keys put {name} --stdin"),
        ));
    };
    let KeyList { keys } = agent.call_json(&Endpoint::Keys, b"")?;
    if !wanted.replace && keys.iter().any(|known| known.name == *name) {
        return Err(CliError::failed(
            format!("there are keys \"{name}\" in the OS keyring already"),
            format!("To replace them: rolecall keys put {name} --replace"),
        ));
    }
    let id = terminal.ask("Access key id: ")?.map(|id| id.trim().to_owned());
    let id = id.filter(|id| !id.is_empty()).ok_or_else(no_keys)?;
    let secret = Terminal::ask_secret("Secret access key (not shown): ")?.ok_or_else(no_keys)?;
    Ok((id, Secret::new(secret.expose().trim().to_owned())))
}

/// Two lines of standard input.
fn piped() -> Result<(String, Secret<String>), CliError> {
    let mut lines = BufReader::new(io::stdin().lock());
    let mut next = || Ok::<_, CliError>(ask::line(&mut lines)?.map(Secret::new));
    let (id, secret) = (next()?, next()?);
    match (id, secret) {
        (Some(id), Some(secret)) => Ok((id.expose().trim().to_owned(), Secret::new(secret.expose().trim().to_owned()))),
        _ => Err(no_keys()),
    }
}

fn no_keys() -> CliError {
    CliError::failed("no keys were given", "Give the access key id, and then the secret access key")
        .untouched(Untouched::NothingChanged)
}

/// Refuses a name that another source has, before anything is asked.
fn is_free(wanted: &KeysPut, config: &ConfigFile) -> Result<(), CliError> {
    let name = wanted.name.as_str();
    let is_taken = config.source_names().iter().any(|source| source == name);
    if is_taken && !config.sources_with_keyring(&wanted.name).iter().any(|source| source == name) {
        return Err(CliError::failed(
            format!("there is a source \"{name}\" already, which signs in otherwise"),
            "Leave --source away, or use another name",
        )
        .untouched(Untouched::NothingChanged));
    }
    Ok(())
}

fn add_source(wanted: &KeysPut, path: &Path) -> Result<(), CliError> {
    let name = wanted.name.as_str();
    config_file::edit(path, |file| {
        // Once more on what is there now.
        is_free(wanted, file)?;
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
    fn what_to_write_is_valid() {
        assert_eq!(section(&wanted("break-glass")), "    [sources.break-glass]\n    keyring = \"break-glass\"\n");
        assert_eq!(section(&wanted("a.b")), "    [sources.\"a.b\"]\n    keyring = \"a.b\"\n");
    }

    #[test]
    fn a_name_that_another_source_has_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[sources.work]\naws_profile = \"x\"\n[sources.mine]\nkeyring = \"mine\"\n").unwrap();
        let config = ConfigFile::load(&path).unwrap();
        assert!(is_free(&wanted("other"), &config).is_ok());
        assert!(is_free(&wanted("mine"), &config).is_ok());
        assert!(is_free(&wanted("work"), &config).unwrap_err().to_string().contains("signs in otherwise"));
        add_source(&wanted("other"), &path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("[sources.other]\nkeyring = \"other\"\n"));
    }
}
