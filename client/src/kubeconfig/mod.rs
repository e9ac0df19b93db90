//! The writer of `~/.kube/config`: adds, refreshes and removes our contexts, and leaves everything else as it was.
//!
//! A profile is one context of its name; its cluster and its user are named `rolecall-<profile>`. An entry is ours if
//! its user runs `rolecall token <profile>`, and nothing that is not ours is ever changed: a context of that name which
//! somebody else made is an error that says so. What a person added to our entries (a namespace, a proxy, a variable)
//! stays when they are refreshed.
//!
//! One change goes like this: read all files of the list, change their models ([`draft`]), turn the difference into a
//! new text ([`edit`]) which is read again and compared, take kubectl's locks and ours ([`lock`]), check that nothing
//! moved meanwhile, keep a backup, and replace the file in one step ([`crate::files::atomic_file`]). If nothing would change,
//! nothing is locked or written, so a file that is managed elsewhere and read-only is no trouble.
//!
//! This module alone knows YAML. It reads no environment: [`Files::from_env`] takes what `main` read.

pub(crate) mod context_entry;
mod draft;
mod edit;
mod emit;
mod entry;
mod error;
mod files;
mod lock;
mod model;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::files::atomic_file::{self, Backup, FileError};
use draft::Draft;
use files::Loaded;
use lock::Locks;
use model::{Kind, Value};

pub(crate) use entry::Entry;
pub(crate) use error::KubeconfigError;
pub(crate) use files::Files;

/// How often a change is begun again because a program that takes no locks changed a file meanwhile.
const ATTEMPTS: usize = 5;

/// What was written, for the person who asked.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The files that were changed, links followed.
    pub(crate) files: Vec<PathBuf>,
    /// Their old texts.
    pub(crate) backups: Vec<PathBuf>,
    /// What else there is to know.
    pub(crate) notes: Vec<Note>,
}

/// Something a person should know, though nothing failed. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// kubectl's lock was there, and too old for anybody to hold it.
    StaleLockRemoved { lock: PathBuf, age: Duration },
    /// The file had a second name, which still has the old text.
    OtherNameKeepsOldText { file: PathBuf },
}

/// What [`upsert`] did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// For each entry, in order.
    pub(crate) entries: Vec<EntryOutcome>,
    /// The current context, now.
    pub(crate) current_context: Option<String>,
    pub(crate) written: Written,
}

/// What became of one entry, and in which file its context is (as listed, links not followed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryOutcome {
    pub(crate) profile: String,
    pub(crate) change: Change,
    pub(crate) file: PathBuf,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Updated,
    Unchanged,
}

/// What [`remove`] did.
#[derive(Debug)]
pub(crate) struct RemoveOutcome {
    /// For each profile, in order.
    pub(crate) profiles: Vec<(String, Removal)>,
    /// The context that was current and is gone; kubectl now needs `--context`.
    pub(crate) unset_current: Option<String>,
    /// Contexts that somebody made from ours: they stay, and no longer work.
    pub(crate) left_dangling: Vec<String>,
    pub(crate) written: Written,
}

/// What became of a profile's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    /// There was nothing to remove.
    NotFound,
    /// There is a context or user of that name, but it is not Rolecall's: it stays.
    NotOurs,
}

/// What [`use_context`] did.
#[derive(Debug)]
pub(crate) struct UseOutcome {
    /// The context that was current before.
    pub(crate) previous: Option<String>,
    /// The file that says which context is current (as listed, links not followed).
    pub(crate) file: PathBuf,
    pub(crate) written: Written,
}

/// A context that kubectl sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) cluster: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) namespace: Option<String>,
    /// The file it is in, as listed.
    pub(crate) file: PathBuf,
    /// The profile whose token it uses, if it is one of ours.
    pub(crate) profile: Option<String>,
    pub(crate) is_current: bool,
}

/// What the kubeconfig says about a profile of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The file of the context, as listed.
    pub(crate) file: PathBuf,
    pub(crate) server: Option<String>,
    pub(crate) certificate_authority_data: Option<String>,
    /// The command that kubectl runs.
    pub(crate) command: PathBuf,
    pub(crate) is_current: bool,
}

/// Adds or refreshes the entries, and makes the context `current` the current one if that is asked for. A second run
/// changes nothing.
pub(crate) fn upsert(files: &Files, entries: &[Entry], current: Option<&str>) -> Result<Outcome, KubeconfigError> {
    let ((entries, current_context), written) = change(files, |draft| {
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let (change, file) = draft.upsert(entry)?;
            outcomes.push(EntryOutcome { profile: entry.profile.clone(), change, file: draft.path(file).clone() });
        }
        if let Some(name) = current {
            set_current(draft, files, name)?;
        }
        Ok((outcomes, draft.current_context().map(str::to_owned)))
    })?;
    Ok(Outcome { entries, current_context, written })
}

/// Whether [`upsert`] would change the files as they are now: everything but the writing.
pub(crate) fn check(files: &Files, entries: &[Entry]) -> Result<(), KubeconfigError> {
    let upsert = |draft: &mut Draft<'_>| entries.iter().try_for_each(|entry| draft.upsert(entry).map(|_| ()));
    prepare(files, upsert).map(|_| ())
}

/// Removes the contexts, clusters and users of these profiles, where they are ours.
pub(crate) fn remove(files: &Files, profiles: &[&str]) -> Result<RemoveOutcome, KubeconfigError> {
    let (mut outcome, written) = change(files, |draft| {
        let mut outcome = RemoveOutcome {
            profiles: Vec::with_capacity(profiles.len()),
            unset_current: None,
            left_dangling: Vec::new(),
            written: Written::default(),
        };
        for profile in profiles {
            let removal = draft.remove(profile)?;
            if removal == Removal::Removed {
                if draft.unset_current_context(profile)? {
                    outcome.unset_current = Some((*profile).to_owned());
                }
                outcome.left_dangling.extend(draft.other_contexts_of(profile));
            }
            outcome.profiles.push(((*profile).to_owned(), removal));
        }
        Ok(outcome)
    })?;
    outcome.written = written;
    Ok(outcome)
}

/// Makes an existing context, ours or not, the current one.
pub(crate) fn use_context(files: &Files, name: &str) -> Result<UseOutcome, KubeconfigError> {
    let ((previous, file), written) = change(files, |draft| {
        let previous = draft.current_context().map(str::to_owned);
        let file = set_current(draft, files, name)?;
        Ok((previous, draft.path(file).clone()))
    })?;
    Ok(UseOutcome { previous, file, written })
}

/// The contexts that kubectl sees, in the order of the files.
pub(crate) fn contexts(files: &Files) -> Result<Vec<Context>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(files, &loaded);
    let users: HashMap<&str, &Value> =
        draft.visible(Kind::User).into_iter().map(|(name, _, item)| (name, item)).collect();
    let contexts = draft.visible(Kind::Context).into_iter().map(|(name, file, item)| {
        let part = |key| item.at(&["context", key]).and_then(Value::as_str);
        let profile = part("user").and_then(|user| users.get(user)).and_then(|user| entry::profile_of(user));
        Context {
            name: name.to_owned(),
            cluster: part("cluster").map(str::to_owned),
            user: part("user").map(str::to_owned),
            namespace: part("namespace").map(str::to_owned),
            file: draft.path(file).clone(),
            profile: profile.map(str::to_owned),
            is_current: draft.current_context() == Some(name),
        }
    });
    Ok(contexts.collect())
}

/// What the kubeconfig says about a profile: `None` if it has no context and user of ours for it.
pub(crate) fn find(files: &Files, profile: &str) -> Result<Option<Found>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(files, &loaded);
    let inner = entry::inner_name(profile);
    let (Some(context), Some(user)) = (draft.find(Kind::Context, profile)?, draft.find(Kind::User, &inner)?) else {
        return Ok(None);
    };
    let Some(user) = draft.item(Kind::User, user).filter(|user| entry::is_ours(user, profile)) else { return Ok(None) };
    let cluster = draft.item(Kind::Context, context).and_then(|item| item.at(&["context", "cluster"]));
    let cluster = match cluster.and_then(Value::as_str) {
        Some(name) => draft.find(Kind::Cluster, name)?.and_then(|place| draft.item(Kind::Cluster, place)),
        None => None,
    };
    let cluster_text = |key| cluster.and_then(|item| item.at(&["cluster", key])).and_then(Value::as_str);
    let command = user.at(&["user", "exec", "command"]).and_then(Value::as_str).unwrap_or_default();
    Ok(Some(Found {
        file: draft.path(context.0).clone(),
        server: cluster_text("server").map(str::to_owned),
        certificate_authority_data: cluster_text("certificate-authority-data").map(str::to_owned),
        command: PathBuf::from(command),
        is_current: draft.current_context() == Some(profile),
    }))
}

/// A kubeconfig of these entries alone, for `--print`. A single entry is its current context.
pub(crate) fn render(entries: &[Entry]) -> Result<String, KubeconfigError> {
    let mut kubeconfig = draft::empty_kubeconfig();
    for entry in entries {
        entry.check()?;
        for kind in Kind::ALL {
            kubeconfig.push(kind.list(), entry.item(kind, None));
        }
    }
    if let [entry] = entries {
        kubeconfig.set("current-context", Value::str(&entry.profile));
    }
    Ok(emit::block(&kubeconfig))
}

fn set_current(draft: &mut Draft<'_>, files: &Files, name: &str) -> Result<usize, KubeconfigError> {
    if draft.find(Kind::Context, name)?.is_some() {
        return Ok(draft.set_current_context(name));
    }
    let visible = draft.visible(Kind::Context);
    let alike = rolecall_protocol::similar_names(name, visible.iter().map(|(name, _, _)| *name));
    Err(KubeconfigError::UnknownContext {
        name: name.to_owned(),
        files: files.paths().to_vec(),
        alike: alike.into_iter().map(str::to_owned).collect(),
    })
}

/// The new texts of the files that change, and what the change answered.
struct Prepared<T> {
    loaded: Vec<Loaded>,
    texts: Vec<(usize, String)>,
    answer: T,
}

/// Makes one change to the files of a list, under the locks.
///
/// The change is prepared before the locks are taken, so that they are held for no longer than the writing takes, and
/// prepared again under them if a file has changed meanwhile.
fn change<T>(
    files: &Files,
    make: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<(T, Written), KubeconfigError> {
    let mut before = prepare(files, &make);
    for attempt in 1.. {
        let needed = match &before {
            Ok(prepared) if prepared.texts.is_empty() => break,
            Ok(prepared) => prepared.texts.iter().map(|(index, _)| prepared.loaded[*index].listed.clone()).collect(),
            Err(_) => Vec::new(),
        };
        let mut locks = match (Locks::take(files.paths(), &needed, files.waits), &before) {
            (Ok(locks), _) => locks,
            // What is wrong with the file says more than that it cannot be locked.
            (Err(_), Err(_)) => break,
            (Err(e), Ok(_)) => return Err(e),
        };
        // Files that are not locked by all who write them can have been read half-written: an error is looked at again.
        let is_current = before.as_ref().is_ok_and(|p| p.loaded.iter().all(|file| file.original.is_current()));
        let prepared = if is_current { before? } else { prepare(files, &make)? };
        match write(&prepared, &mut locks) {
            Err(KubeconfigError::File(FileError::Changed { .. })) if attempt < ATTEMPTS => {}
            result => return result.map(|written| (prepared.answer, written)),
        }
        drop(locks);
        before = prepare(files, &make);
    }
    before.map(|prepared| (prepared.answer, Written::default()))
}

fn prepare<T>(
    files: &Files,
    make: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<Prepared<T>, KubeconfigError> {
    let loaded = files.load()?;
    let mut draft = Draft::new(files, &loaded);
    let answer = make(&mut draft)?;
    let mut texts = Vec::new();
    for (index, model) in draft.changes() {
        let file = &loaded[index];
        texts.push((index, edit::rewrite(&file.listed, &file.original.text, &file.model, model)?));
    }
    Ok(Prepared { loaded, texts, answer })
}

fn write<T>(prepared: &Prepared<T>, locks: &mut Locks) -> Result<Written, KubeconfigError> {
    let mut written = Written { notes: std::mem::take(&mut locks.notes), ..Written::default() };
    for (index, text) in &prepared.texts {
        let file = &prepared.loaded[*index];
        if !locks.hold(&file.listed) {
            // It became the file to write only after the locks were taken.
            return Err(FileError::Changed { path: file.listed.clone() }.into());
        }
        written.backups.extend(atomic_file::replace(&file.original, text, Backup::Keep)?);
        if file.original.has_other_names() {
            written.notes.push(Note::OtherNameKeepsOldText { file: file.original.path.clone() });
        }
        written.files.push(file.original.path.clone());
    }
    Ok(written)
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::StaleLockRemoved { lock, age } => write!(
                f,
                "removed {}, a lock that a crashed kubectl left there {} s ago",
                lock.display(),
                age.as_secs()
            ),
            Note::OtherNameKeepsOldText { file } => {
                write!(f, "{} was a hard link: its other name still has the old text", file.display())
            }
        }
    }
}
