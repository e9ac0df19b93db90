//! Gives the entries of a profile another name. What the user added to them stays, and so does the current context.

use super::draft::{ContextOwner, Draft};
use super::entry;
use super::entry_names::EntryNames;
use super::error::KubeconfigError;
use super::files::Files;
use super::model::{EntryKind, Value};
use super::outcome::{RenameOutcome, Renaming};
use super::transaction::{self, edit_files};

/// Renames the context, the cluster and the user of a profile if they are Rolecall's.
///
/// # Errors
/// A [`KubeconfigError`], for example `ContextTaken` if there is a context with the new name.
pub(crate) fn rename(files: &Files, old: &str, new: &str) -> Result<RenameOutcome, KubeconfigError> {
    let (renaming, written) = edit_files(files, |draft| rename_entries(draft, old, new))?;
    Ok(RenameOutcome { renaming, written })
}

/// Does everything that [`rename`] does except writing, to find its errors beforehand.
pub(crate) fn check_rename(files: &Files, old: &str, new: &str) -> Result<(), KubeconfigError> {
    transaction::prepare(files, |draft| rename_entries(draft, old, new)).map(|_| ())
}

/// Entries that another tool named keep their names.
fn rename_entries(draft: &mut Draft<'_>, old: &str, new: &str) -> Result<Renaming, KubeconfigError> {
    let from = draft.entry_names(old);
    let to = from.renamed(old, new);
    let file = match draft.context_owner(old, &from) {
        ContextOwner::Missing => return Ok(Renaming::NotFound),
        ContextOwner::OtherTool => return Ok(Renaming::NotOurs),
        ContextOwner::Rolecall { file } => file,
    };
    check_free(draft, &from, &to)?;
    let is_current = draft.current_context() == Some(from.context.as_str());
    draft.for_each_model(|model| {
        for kind in EntryKind::ALL {
            for item in model.items_mut(kind.list_key()).into_iter().flatten() {
                if kind == EntryKind::Context {
                    // Contexts that the user made from these entries keep working.
                    replace_text(item, &["context", "cluster"], &from.cluster, &to.cluster);
                    replace_text(item, &["context", "user"], &from.user, &to.user);
                }
                if kind == EntryKind::User && entry::is_ours(item, old) {
                    set_profile(item, new);
                }
                replace_text(item, &["name"], from.get(kind), to.get(kind));
            }
        }
        replace_text(model, &["current-context"], &from.context, &to.context);
    });
    Ok(Renaming::Renamed { file, is_current })
}

/// Errors if an entry with one of the changed names exists.
fn check_free(draft: &Draft<'_>, from: &EntryNames, to: &EntryNames) -> Result<(), KubeconfigError> {
    for kind in [EntryKind::Context, EntryKind::Cluster, EntryKind::User] {
        let name = to.get(kind);
        let found = draft.find(kind, name).filter(|_| name != from.get(kind));
        let Some(path) = found.map(|position| draft.path(position.file).clone()) else { continue };
        let name = name.to_owned();
        return Err(match kind {
            EntryKind::Context => KubeconfigError::ContextTaken { path, name, uses: "other entries".to_owned() },
            EntryKind::Cluster | EntryKind::User => KubeconfigError::EntryTaken { path, kind: kind.body_key(), name },
        });
    }
    Ok(())
}

/// Sets the profile in the arguments of the program that kubectl runs.
fn set_profile(user: &mut Value, profile: &str) {
    let Some(mut body) = user.get("user").cloned() else { return };
    let Some(mut exec) = body.get("exec").cloned() else { return };
    exec.set("args", Value::List(vec![Value::str("token"), Value::str(profile)]));
    body.set("exec", exec);
    user.set("user", body);
}

/// Replaces the text at a path if it is `from`.
fn replace_text(value: &mut Value, path: &[&str], from: &str, to: &str) {
    if value.at_path(path).and_then(Value::as_str) != Some(from) {
        return;
    }
    match path {
        [key] => value.set(key, Value::str(to)),
        [key, rest @ ..] => {
            if let Some(mut inner) = value.get(key).cloned() {
                replace_text(&mut inner, rest, from, to);
                value.set(key, inner);
            }
        }
        [] => {}
    }
}
