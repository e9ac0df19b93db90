//! `rolecall add`: checks what it is told, then writes the configuration and the kubeconfig.
//!
//! Nothing is written before everything has been checked. The configuration is written first and taken back if the
//! kubeconfig cannot be.

mod plan;
mod verify;

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::{Endpoint, ProfileDetails, location, sanitize_for_terminal};

use crate::agent::{Agent, CallError, IfAbsent};
use crate::cli::Add;
use crate::clock::Deadline;
use crate::config_file::{self, ConfigFile, ProfileEntry};
use crate::context_entry::{Server, entry, files, say_notes, short};
use crate::kubeconfig::{self, Change, Files, KubeconfigError, Outcome};
use crate::output;
use crate::report::CliError;
use crate::run::Context;

/// How long the daemon may take to see the new configuration.
const NOTICE: Duration = Duration::from_secs(3);

/// Adds the profile, and says step by step what was found and done.
pub(crate) fn run(wanted: &Add, context: &Context) -> Result<(), CliError> {
    let path = location::config().map_err(CallError::from)?;
    let files = files(wanted.kubeconfig.as_deref())?;
    let given = match (&wanted.server, &wanted.certificate_authority) {
        (Some(url), Some(file)) => Some(Server::from_file(url, file)?),
        _ => None,
    };
    let before = ConfigFile::load(&path)?;
    let mut draft = ConfigFile::load(&path)?;
    let mut profile = plan::plan(wanted, &mut draft)?;
    check_free(&files, wanted.name.as_str())?;
    let agent = Agent::find(IfAbsent::Start)?;
    let server = if wanted.no_verify {
        verify::config_alone(&agent, &draft)?;
        given
    } else {
        Some(verify::with_aws(&agent, wanted, &profile, &draft, given, context)?)
    };
    if let Some(server) = &server {
        profile.server = Some(server.url.clone());
        profile.ca_sha256 = Some(server.ca_sha256.clone());
    }
    plan::check_existing(wanted, &before, &profile)?;
    // Before anything is written: it can fail.
    let entry = server.as_ref().map(|server| entry(&wanted.name, server, &context.environment)).transpose()?;
    kubeconfig::check(&files, entry.as_slice())?;

    config_file::edit(&path, |file| {
        // Once more on what is there now: somebody else may have added the source meanwhile.
        let fresh = plan::plan(wanted, file)?;
        let pinned = ProfileEntry { server: profile.server.clone(), ca_sha256: profile.ca_sha256.clone(), ..fresh };
        file.set_profile(wanted.name.as_str(), &pinned).map_err(CliError::from)
    })?;
    let Some(entry) = entry else {
        Agent::reload();
        output::print(&format!("{} added the profile {} to {}\n", context.screen.tick(), wanted.name, short(&path)))?;
        output::note(&format!(
            "no context was written, since nobody said where the API server is. Later: rolecall kubeconfig {}",
            wanted.name
        ));
        return Ok(());
    };
    let current = wanted.make_current.then_some(wanted.name.as_str());
    let outcome = match kubeconfig::upsert(&files, &[entry], current) {
        Ok(outcome) => outcome,
        Err(error) => return Err(take_back(&path, wanted, &before, &error)),
    };
    say_notes(&outcome.written.notes);
    output::print(&told(wanted, &outcome, context))?;
    if !noticed(&agent, wanted, &profile) {
        output::note("the agent has not read the new configuration yet; see: rolecall status");
    }
    Ok(())
}

/// Refuses a name that somebody else's context has, before anything is asked or written.
fn check_free(files: &Files, name: &str) -> Result<(), CliError> {
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

/// The kubeconfig could not be written: the configuration becomes what it was.
fn take_back(path: &Path, wanted: &Add, before: &ConfigFile, error: &KubeconfigError) -> CliError {
    let name = wanted.name.as_str();
    let restored = config_file::edit(path, |file| {
        // Only what is ours to take back: others may have added theirs meanwhile.
        match before.profile(name) {
            Some(old) => file.set_profile(name, &old).map_err(CliError::from)?,
            None => drop(file.remove_profile(name)),
        }
        Ok::<(), CliError>(())
    });
    Agent::reload();
    let hint = match restored {
        Ok(()) => format!("The profile {name} was taken back. {}", error.hint()),
        Err(_) => format!("The profile {name} stays in {}. {}", path.display(), error.hint()),
    };
    CliError::failed(error.to_string(), hint)
}

/// What was done to the kubeconfig, and what to type next.
fn told(wanted: &Add, outcome: &Outcome, context: &Context) -> String {
    let name = wanted.name.as_str();
    let Some(entry) = outcome.entries.first() else { return String::new() };
    let (tick, file) = (context.screen.tick(), short(&entry.file));
    let done = match entry.change {
        Change::Added => format!("added context {name} to {file}"),
        Change::Updated => format!("updated context {name} in {file}"),
        Change::Unchanged => format!("context {name} in {file} is up to date"),
    };
    let kubectl = match &wanted.kubeconfig {
        Some(file) => format!("kubectl --kubeconfig {}", file.display()),
        None => "kubectl".to_owned(),
    };
    match outcome.current_context.as_deref() {
        Some(current) if current == name => {
            format!("{tick} {done} (it is your current context)\n  try: {kubectl} get pods\n")
        }
        current => {
            let current = match current {
                Some(current) => format!("your current context is still {}", sanitize_for_terminal(current)),
                None => "you have no current context".to_owned(),
            };
            format!(
                "{tick} {done} ({current})\n  try: {kubectl} --context {name} get pods       or: rolecall use {name}\n"
            )
        }
    }
}

/// Waits until the daemon goes by the new profile, so that what was just recommended works.
fn noticed(agent: &Agent, wanted: &Add, profile: &ProfileEntry) -> bool {
    Agent::reload();
    let deadline = Deadline::after(NOTICE);
    let mut pause = Duration::from_millis(10);
    loop {
        let known = agent.call_json::<ProfileDetails>(&Endpoint::Profile(wanted.name.clone()), b"");
        if known.is_ok_and(|known| plan::is_in_force(profile, &known)) {
            return true;
        }
        if !deadline.sleep(pause) {
            return false;
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
