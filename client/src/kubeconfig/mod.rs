//! Edits kubeconfig files: adds, updates and removes the entries of Rolecall's profiles, and keeps everything else in
//! the file, byte for byte where possible.
//!
//! # Entries
//!
//! For profile `prod` the file has a context `prod`, a cluster `rolecall-prod` and a user `rolecall-prod` ([`entry`]).
//! A user entry that runs `rolecall token prod` marks the three as Rolecall's, also with other names, which `rolecall
//! import` keeps ([`entry_names`]). Entries of other tools are never changed, except for the namespace of a context at the
//! user's request: if another tool made a context `prod`, adding the profile is an error. What the user adds to Rolecall's
//! entries (a namespace, a proxy, a variable) stays when they are updated.
//!
//! # How an edit works
//!
//! [`transaction`] takes these steps for every edit:
//!
//! 1. **Read** every file of `KUBECONFIG` ([`files`]). Each file is kept as text, as a version (inode, size, times) and
//!    as a [`model`] of what it means. What kubectl does not read ([`schema`]) is an error.
//! 2. **Edit** copies of the models ([`draft`]).
//! 3. **Write the new texts** in memory. [`edit`] compares the old and the new model of a file and applies each
//!    difference to the text with a lossless YAML editor, so that comments, order and style stay. A second YAML library
//!    then parses the new text; if the text does not mean exactly what the new model says, the edit fails.
//! 4. **Stop here if no file changes.** Then nothing is locked or written, and a read-only file is no problem.
//! 5. **Lock** ([`lock`]): `flock` on the folders against other `rolecall` processes, then kubectl's own lock files.
//! 6. **Compare**: if a file on disk is no longer the version of step 1, repeat steps 1 to 3 under the locks.
//! 7. **Replace** each file ([`crate::files::atomic_file`]): write the new text to a temporary file beside it, keep a
//!    backup, check the version once more, and rename. If a program without locks changed the file, unlock and start
//!    again, up to five times.
//! 8. **Verify** after an added or updated entry, if another program is writing the file: kubectl reads before it takes
//!    its lock, and so overwrites what was written in between. Until the file has not changed for half a second, an
//!    overwritten entry is written again.
//!
//! A change of the current context alone makes no backup.
//!
//! An error leaves the file as it was.
//!
//! Only this module knows YAML. It reads no environment variables: [`Files::from_env`] gets their values.

pub(crate) mod context_entry;
mod convert;
mod draft;
mod edit;
pub(crate) mod emit;
mod entry;
mod entry_names;
mod error;
mod extract;
mod files;
mod foreign;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod kuberc;
mod lock;
mod model;
mod nodes;
mod outcome;
mod own_entries;
mod rename;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::HashMap;
use std::path::PathBuf;

use draft::Draft;
use entry_names::EntryNames;
use model::{EntryKind, Value};
use transaction::{edit_files, edit_files_and_verify};

pub(crate) use convert::{Conversion, OldUser, RestoreState, check_convert, convert, inconvertible, restore};
pub(crate) use entry::Entry;
pub(crate) use error::KubeconfigError;
pub(crate) use extract::{Extract, extract};
pub(crate) use files::Files;
pub(crate) use foreign::{Authority, ExecCommand, FoundCluster, FoundContext, FoundUser, found_contexts};
pub(crate) use health::{Health, OwnUser, health, user_name};
pub(crate) use kuberc::{PluginPolicy, plugin_policy};
pub(crate) use rename::{check_rename, rename};

pub(crate) use outcome::{
    Change, Context, EntryOutcome, InstalledEntry, Note, Removal, RemoveOutcome, Renaming, UpsertOutcome, UseOutcome,
    Written,
};

/// Adds or updates the entries, and makes `current` the current context if it is given. A second call with the same
/// arguments changes nothing.
///
/// # Errors
/// A [`KubeconfigError`], for example `ContextTaken` if another tool made a context with the name of a profile.
pub(crate) fn upsert(
    files: &Files,
    entries: &[Entry],
    current: Option<&str>,
) -> Result<UpsertOutcome, KubeconfigError> {
    let ((entries, current_context), written) = edit_files_and_verify(files, |draft| {
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let (change, file) = draft.upsert(entry)?;
            let context = draft.entry_names(&entry.profile).context;
            let file = draft.path(file).clone();
            outcomes.push(EntryOutcome { profile: entry.profile.clone(), context, change, file });
        }
        if let Some(name) = current {
            set_current(draft, files, name)?;
        }
        Ok((outcomes, draft.current_context().map(str::to_owned)))
    })?;
    Ok(UpsertOutcome { entries, current_context, written })
}

/// Does everything that [`upsert`] does except writing, to find its errors beforehand.
pub(crate) fn check_upsert(files: &Files, entries: &[Entry]) -> Result<(), KubeconfigError> {
    transaction::prepare(files, |draft| entries.iter().try_for_each(|entry| draft.upsert(entry).map(|_| ())))
        .map(|_| ())
}

/// Removes the contexts, clusters and users of these profiles if they are Rolecall's.
pub(crate) fn remove(files: &Files, profiles: &[&str]) -> Result<RemoveOutcome, KubeconfigError> {
    let (mut outcome, written) = edit_files(files, |draft| {
        let mut outcome = RemoveOutcome {
            profiles: Vec::with_capacity(profiles.len()),
            unset_current: None,
            current_context: None,
            left_dangling: Vec::new(),
            written: Written::default(),
        };
        for profile in profiles {
            let names = draft.entry_names(profile);
            let removal = draft.remove(profile, &names);
            if !matches!(removal, Removal::NotFound | Removal::NotOurs) {
                if draft.unset_current_context(&names.context) {
                    outcome.unset_current = Some(names.context.clone());
                }
                outcome.left_dangling.extend(draft.dangling_contexts(&names));
            }
            outcome.profiles.push(((*profile).to_owned(), removal));
        }
        outcome.current_context = draft.current_context().map(str::to_owned);
        Ok(outcome)
    })?;
    outcome.written = written;
    Ok(outcome)
}

/// Makes an existing context of any tool the current one, and sets its namespace if one is given. If no context has the name,
/// it is that of a profile.
///
/// # Errors
/// `UnknownContext`, with similar names, if no file has the context.
pub(crate) fn use_context(files: &Files, name: &str, namespace: Option<&str>) -> Result<UseOutcome, KubeconfigError> {
    let ((previous, context, file), written) = edit_files(files, |draft| {
        let previous = draft.current_context().map(str::to_owned);
        let file = set_current(draft, files, name)?;
        let context = draft.current_context().map(str::to_owned);
        if let (Some(namespace), Some(context)) = (namespace, context) {
            draft.set_namespace(&context, namespace);
        }
        let context = draft.current_context().unwrap_or(name).to_owned();
        Ok((previous, context, draft.path(file).clone()))
    })?;
    Ok(UseOutcome { context, previous, file, written })
}

/// Returns the contexts that kubectl sees, in the order of the files.
pub(crate) fn contexts(files: &Files) -> Result<Vec<Context>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    let users: HashMap<&str, &Value> =
        draft.visible(EntryKind::User).into_iter().map(|(name, _, item)| (name, item)).collect();
    let contexts = draft.visible(EntryKind::Context).into_iter().map(|(name, file, item)| {
        let user = item.at_path(&["context", "user"]).and_then(Value::as_str);
        let profile = user.and_then(|user| users.get(user)).and_then(|user| entry::profile_of(user));
        Context {
            name: name.to_owned(),
            user: user.map(str::to_owned),
            file: draft.path(file).clone(),
            profile: profile.map(str::to_owned),
            is_current: draft.current_context() == Some(name),
        }
    });
    Ok(contexts.collect())
}

/// Returns the entries of a profile, or `None` if the kubeconfig has no context and user that Rolecall made for it.
pub(crate) fn find(files: &Files, profile: &str) -> Result<Option<InstalledEntry>, KubeconfigError> {
    let loaded = files.load()?;
    Ok(installed(&Draft::new(&loaded), profile))
}

/// Returns the contexts of profiles whose entries have names of another tool: `rolecall import` converted them.
pub(crate) fn converted_contexts(files: &Files, profiles: &[&str]) -> Result<Vec<String>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    let names = profiles.iter().map(|profile| (draft.entry_names(profile), EntryNames::new(profile)));
    Ok(names.filter(|(found, own)| found.user != own.user).map(|(found, _)| found.context).collect())
}

/// Like [`find`], for several profiles.
pub(crate) fn find_all(files: &Files, profiles: &[String]) -> Result<Vec<Option<InstalledEntry>>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    Ok(profiles.iter().map(|profile| installed(&draft, profile)).collect())
}

fn installed(draft: &Draft<'_>, profile: &str) -> Option<InstalledEntry> {
    let names = draft.entry_names(profile);
    let context = draft.find(EntryKind::Context, &names.context)?;
    let user = draft.find(EntryKind::User, &names.user)?;
    let user = draft.item(EntryKind::User, user).filter(|user| entry::is_ours(user, profile))?;
    let cluster = draft.item(EntryKind::Context, context).and_then(|item| item.at_path(&["context", "cluster"]));
    let cluster = match cluster.and_then(Value::as_str) {
        Some(name) => {
            draft.find(EntryKind::Cluster, name).and_then(|position| draft.item(EntryKind::Cluster, position))
        }
        None => None,
    };
    let cluster_text = |key| cluster.and_then(|item| item.at_path(&["cluster", key])).and_then(Value::as_str);
    let command = user.at_path(&["user", "exec", "command"]).and_then(Value::as_str).unwrap_or_default();
    Some(InstalledEntry {
        is_current: draft.current_context() == Some(names.context.as_str()),
        context: names.context,
        file: draft.path(context.file).clone(),
        server: cluster_text("server").map(str::to_owned),
        certificate_authority_data: cluster_text("certificate-authority-data").map(str::to_owned),
        tls_server_name: cluster_text("tls-server-name").map(str::to_owned),
        proxy_url: cluster_text("proxy-url").map(str::to_owned),
        is_insecure: cluster.and_then(|item| item.at_path(&["cluster", "insecure-skip-tls-verify"]))
            == Some(&Value::Bool(true)),
        command: PathBuf::from(command),
        provides_cluster_info: user.at_path(&["user", "exec", "provideClusterInfo"]) == Some(&Value::Bool(true)),
        entry_key: entry::entry_key(user),
    })
}

/// Returns a kubeconfig with only these entries, for `--print`.
pub(crate) fn render(entries: &[Entry], current: Option<&str>) -> Result<String, KubeconfigError> {
    let mut kubeconfig = draft::empty_kubeconfig();
    for entry in entries {
        entry.check()?;
        for kind in EntryKind::ALL {
            let names = EntryNames::new(&entry.profile);
            kubeconfig.push(kind.list_key(), entry.updated_item(&names, kind, None));
        }
    }
    if let Some(current) = current {
        kubeconfig.set("current-context", Value::str(current));
    }
    Ok(emit::block(&kubeconfig))
}

fn set_current(draft: &mut Draft<'_>, files: &Files, name: &str) -> Result<usize, KubeconfigError> {
    let of_profile = draft.entry_names(name).context;
    for context in [name, &of_profile] {
        if draft.find(EntryKind::Context, context).is_some() {
            return Ok(draft.set_current_context(context));
        }
    }
    let visible = draft.visible(EntryKind::Context);
    let similar = rolecall_protocol::similar_names(name, visible.iter().map(|(name, _, _)| *name));
    Err(KubeconfigError::UnknownContext {
        name: name.to_owned(),
        files: files.paths().to_vec(),
        similar: similar.into_iter().map(str::to_owned).collect(),
    })
}
