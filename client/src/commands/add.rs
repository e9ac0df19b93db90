//! `rolecall add`: checks the profile, then writes the configuration and the kubeconfig.
//!
//! All checks come before the first write. The configuration is written first, and restored if the kubeconfig cannot be
//! written.

mod access;
mod ask;
mod inputs;
mod login;
mod plan;
mod verify;

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::{Endpoint, EntryKey, ErrorBody, ProfileDetails, sanitize_for_terminal};

use self::access::Access;
use crate::cli::{Add, AddArgs};
use crate::clock::{self, Deadline};
use crate::config_file::{self, ConfigFile, ProfileEntry};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::daemon::config_status;
use crate::error::{CliError, Exit};
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{Server, entry, files, kubeconfig_option, new_entry_key, print_notes};
use crate::kubeconfig::{self, Change, Entry, Files, KubeconfigError, UpsertOutcome};
use crate::output;

/// How long the daemon may take to see the new configuration.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Adds the profile, and prints each step.
pub(crate) fn run(args: &AddArgs, context: &Context) -> Result<(), CliError> {
    let wanted = &ask::complete(args, context)?;
    let path = context.config_path()?;
    let files = files(wanted.options.kubeconfig.as_deref()).map_err(CliError::nothing_written)?;
    let (checked, before, key) = check(wanted, &path, &files, context)
        .and_then(|checked| write_config(wanted, &path, &checked).map(|(before, key)| (checked, before, key)))
        .map_err(CliError::nothing_written)?;
    let change = change(wanted, &before, &checked.profile);
    let Some(entry) = &checked.entry else {
        Daemon::reload();
        let config = config_summary(wanted, &path, change, context);
        return output::print(&(config + &no_context_text(wanted, &files, context)));
    };
    let current = wanted.options.make_current.then_some(wanted.name.as_str());
    let entry = Entry { key, ..entry.clone() };
    let outcome = match kubeconfig::upsert(&files, std::slice::from_ref(&entry), current) {
        Ok(outcome) => outcome,
        Err(error) => return Err(roll_back(&path, wanted, &before, &error)),
    };
    print_notes(&outcome.written.notes);
    if let Some(path) = before.included_from(wanted.name.as_str()) {
        output::print_note(&format!("the profile {} overrides that of {}", wanted.name, display_path(&path)));
    }
    if wanted.options.replace && change == Change::Updated {
        output::print(&config_summary(wanted, &path, change, context))?;
    }
    output::print(&context_summary(&outcome, context))?;
    match wait_until_loaded(&checked.daemon, wanted, &checked.profile) {
        Loaded::Yes if wanted.options.no_verify => {}
        Loaded::Yes => {
            let identity = access::Identity { profile: &checked.profile, session_arn: checked.session_arn.as_deref() };
            let access = access::report(&checked.daemon, identity, wanted, &entry, context)?;
            if access == Access::Refused {
                return Ok(());
            }
        }
        Loaded::NotYet => {
            output::print_note("the agent has not read the new configuration yet; see: rolecall status");
        }
        Loaded::Refused(problem) => {
            let written = format!("The profile {} is written, and the agent does not use it yet", wanted.name);
            return Err(CliError::from(problem).with_hint_prefix(&written));
        }
    }
    output::print(&next_command(wanted, &outcome))
}

/// The result of the checks.
struct CheckedProfile {
    daemon: Daemon,
    profile: ProfileEntry,
    /// The kubeconfig entry, still without its entry key; `None` if the API server is unknown.
    entry: Option<Entry>,
    /// The certificate authority, in base64, if the command line gave it with the API server.
    given_ca: Option<String>,
    /// The identity of the session, if AWS was asked.
    session_arn: Option<String>,
}

/// Checks the command, the configuration, AWS and the kubeconfig.
fn check(wanted: &Add, path: &Path, files: &Files, context: &Context) -> Result<CheckedProfile, CliError> {
    let given = match (&wanted.options.server, &wanted.options.certificate_authority) {
        (Some(url), Some(file)) => Some(Server::from_file(url, file)?),
        _ => None,
    };
    if wanted.options.make_current && wanted.options.no_verify && given.is_none() {
        return Err(CliError::new(
            Exit::Usage,
            "--use needs a context, and with --no-verify none is written unless the API server is given",
            "Give --server and --certificate-authority, or omit --use or --no-verify",
        ));
    }
    let given_ca = given.as_ref().map(|server| server.ca_data.clone());
    let before = ConfigFile::load(path)?;
    let mut draft = ConfigFile::load(path)?;
    let mut profile = plan::plan(wanted, &mut draft)?;
    // Before AWS is called: nothing that AWS answers makes these settings the existing ones.
    plan::check_existing(wanted, &before, &plan::with_pin(profile.clone(), given.as_ref()))?;
    check_context_free(files, wanted.name.as_str())?;
    let daemon = context.daemon()?;
    config_status::check_daemon_config(&daemon, path, &context.environment)?;
    let mut session_arn = None;
    let server = if wanted.options.no_verify {
        verify::config_alone(&daemon, &draft, path)?;
        given
    } else {
        let is_new = !before.source_names().iter().any(|name| name == profile.source.as_str());
        let source = login::Source { name: &profile.source, is_new };
        let probed = login::probe(&daemon, wanted, &source, &draft, path, context)?;
        session_arn.clone_from(&probed.session.arn);
        Some(verify::with_aws(probed, wanted, &profile, &draft, given, context)?)
    };
    profile = plan::with_pin(profile, server.as_ref());
    plan::check_existing(wanted, &before, &profile)?;
    let entry = server.as_ref().map(|server| entry(&wanted.name, server, None, &context.environment)).transpose()?;
    kubeconfig::check_upsert(files, entry.as_slice())?;
    Ok(CheckedProfile { daemon, profile, entry, given_ca, session_arn })
}

/// How the profile in the configuration changes.
fn change(wanted: &Add, before: &ConfigFile, profile: &ProfileEntry) -> Change {
    let name = wanted.name.as_str();
    match before.profile(name) {
        Some(old) if old == *profile => Change::Unchanged,
        // A malformed profile counts.
        _ if before.profile_names().iter().any(|known| known == name) => Change::Updated,
        _ => Change::Added,
    }
}

/// Writes the profile. Returns the old configuration, which was read under the lock, and the key for the kubeconfig entry.
fn write_config(
    wanted: &Add,
    path: &Path,
    checked: &CheckedProfile,
) -> Result<(ConfigFile, Option<EntryKey>), CliError> {
    let new_key = new_entry_key()?;
    config_file::edit(path, |file| {
        // Planned again on the current file: another process may have added the source, the pin or the name since.
        let before = file.clone();
        let fresh = plan::plan(wanted, file)?;
        let written = match checked.entry {
            Some(_) => ProfileEntry {
                server: checked.profile.server.clone(),
                ca_sha256: checked.profile.ca_sha256.clone(),
                ..fresh
            },
            None => fresh,
        };
        plan::check_existing(wanted, &before, &written)?;
        file.set_profile(wanted.name.as_str(), &written)?;
        // Without an entry the pin is the old one, or there is none.
        if checked.entry.is_some() || written.server.is_none() {
            file.set_given_ca(wanted.name.as_str(), checked.given_ca.as_deref());
        }
        if wanted.options.protected {
            file.set_protected(wanted.name.as_str());
        }
        file.move_entry_key_last(wanted.name.as_str());
        let key = checked.entry.as_ref().and_then(|_| file.entry_key_or_set(wanted.name.as_str(), &new_key));
        Ok::<_, CliError>((before, key))
    })
}

/// The line about the configuration.
fn config_summary(wanted: &Add, path: &Path, change: Change, context: &Context) -> String {
    let (tick, name, file) = (context.screen.tick(), &wanted.name, display_path(path));
    match change {
        Change::Added if wanted.options.no_verify => {
            let mark = context.screen.warning();
            format!("{mark} added the profile {name} to {file}; AWS was not asked whether its role and cluster exist\n")
        }
        Change::Added => format!("{tick} added the profile {name} to {file}\n"),
        Change::Updated => format!("{tick} replaced the profile {name} in {file}\n"),
        Change::Unchanged => format!("{tick} the profile {name} in {file} is up to date\n"),
    }
}

/// The line about a missing context, with the command that writes it. An existing context stays.
fn no_context_text(wanted: &Add, files: &Files, context: &Context) -> String {
    let name = &wanted.name;
    if let Ok(Some(found)) = kubeconfig::find(files, name.as_str()) {
        return format!("  the context {name} in {} stays as it is\n", display_path(&found.file));
    }
    format!(
        "{} no context was written: give --server and --certificate-authority, or run later: rolecall kubeconfig {name}{}\n",
        context.screen.warning(),
        kubeconfig_option(wanted.options.kubeconfig.as_deref())
    )
}

/// Errors if another tool made a context of this name.
fn check_context_free(files: &Files, name: &str) -> Result<(), CliError> {
    let contexts = kubeconfig::contexts(files)?;
    match contexts.into_iter().find(|context| context.name == name) {
        Some(taken) if taken.profile.as_deref() != Some(name) => Err(KubeconfigError::ContextTaken {
            path: taken.file,
            name: taken.name,
            uses: taken.user.map_or_else(|| "no user".to_owned(), |user| format!("the user \"{user}\"")),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Restores the profile in the configuration after the kubeconfig could not be written. Returns the error for the user.
fn roll_back(path: &Path, wanted: &Add, before: &ConfigFile, error: &KubeconfigError) -> CliError {
    let name = wanted.name.as_str();
    let restored = config_file::edit(path, |file| {
        // Only this profile: other processes may have changed others.
        match before.profile(name) {
            Some(old) => {
                file.set_profile(name, &old).map_err(CliError::from)?;
                file.set_given_ca(name, before.given_server(name).map(|(_, ca_data)| ca_data));
            }
            None => drop(file.remove_profile(name)),
        }
        Ok::<(), CliError>(())
    });
    Daemon::reload();
    let hint = match restored {
        Ok(()) => format!("The change to the profile {name} was undone. {}", error.hint()),
        Err(_) => format!("The profile {name} stays in {}. {}", path.display(), error.hint()),
    };
    CliError::failed(error.to_string(), hint)
}

/// The line about the kubeconfig.
fn context_summary(outcome: &UpsertOutcome, context: &Context) -> String {
    let Some(entry) = outcome.entries.first() else { return String::new() };
    let name = sanitize_for_terminal(&entry.context);
    let (tick, file) = (context.screen.tick(), display_path(&entry.file));
    let done = match entry.change {
        Change::Added => format!("added context {name} to {file}"),
        Change::Updated => format!("updated context {name} in {file}"),
        Change::Unchanged => format!("context {name} in {file} is up to date"),
    };
    let current = match outcome.current_context.as_deref() {
        Some(current) if current == entry.context => "it is your current context".to_owned(),
        Some(current) => format!("your current context is still {}", sanitize_for_terminal(current)),
        None => "you have no current context".to_owned(),
    };
    format!("{tick} {done} ({current})\n")
}

/// The line with the next command.
fn next_command(wanted: &Add, outcome: &UpsertOutcome) -> String {
    let (name, option) = (wanted.name.as_str(), kubeconfig_option(wanted.options.kubeconfig.as_deref()));
    let context = outcome.entries.first().map_or(name, |entry| &entry.context);
    match outcome.current_context.as_deref() {
        Some(current) if current == context => format!("  try: kubectl{option} get pods\n"),
        _ => {
            let context = sanitize_for_terminal(context);
            format!("  try: kubectl{option} --context {context} get pods       or: rolecall use {name}{option}\n")
        }
    }
}

/// Whether the daemon uses the written configuration.
enum Loaded {
    Yes,
    NotYet,
    /// The daemon does not accept the file.
    Refused(ErrorBody),
}

/// Waits until the daemon has loaded the new profile, so that the printed kubectl command works.
fn wait_until_loaded(daemon: &Daemon, wanted: &Add, profile: &ProfileEntry) -> Loaded {
    if let Some(problem) = Daemon::reload().and_then(|status| status.problem) {
        return Loaded::Refused(problem.error);
    }
    let deadline = Deadline::after(RELOAD_TIMEOUT);
    let mut attempt = 0;
    loop {
        let known = daemon.call_json::<ProfileDetails>(&Endpoint::Profile(wanted.name.clone()), b"");
        if known.is_ok_and(|known| plan::is_in_force(profile, &known)) {
            return Loaded::Yes;
        }
        if !deadline.sleep(clock::backoff(attempt)) {
            return Loaded::NotYet;
        }
        attempt += 1;
    }
}
