//! Gives the entries of a profile another name. What the user added to them stays, and so does the current context.

use super::draft::{ContextOwner, Draft};
use super::entry::prefixed_name;
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

fn rename_entries(draft: &mut Draft<'_>, old: &str, new: &str) -> Result<Renaming, KubeconfigError> {
    let file = match draft.context_owner(old) {
        ContextOwner::Missing => return Ok(Renaming::NotFound),
        ContextOwner::OtherTool => return Ok(Renaming::NotOurs),
        ContextOwner::Rolecall { file } => file,
    };
    check_free(draft, new)?;
    let is_current = draft.current_context() == Some(old);
    let (old_inner, new_inner) = (prefixed_name(old), prefixed_name(new));
    draft.for_each_model(|model| {
        for (kind, from, to) in [
            (EntryKind::Context, old, new),
            (EntryKind::Cluster, old_inner.as_str(), new_inner.as_str()),
            (EntryKind::User, old_inner.as_str(), new_inner.as_str()),
        ] {
            for item in model.items_mut(kind.list_key()).into_iter().flatten() {
                if kind == EntryKind::Context {
                    // Contexts that the user made from these entries keep working.
                    replace_text(item, &["context", "cluster"], &old_inner, &new_inner);
                    replace_text(item, &["context", "user"], &old_inner, &new_inner);
                }
                if item.is_named(from) {
                    item.set("name", Value::str(to));
                    if kind == EntryKind::User {
                        set_profile(item, new);
                    }
                }
            }
        }
        replace_text(model, &["current-context"], old, new);
    });
    Ok(Renaming::Renamed { file, is_current })
}

/// Errors if an entry with one of the new names exists.
fn check_free(draft: &Draft<'_>, new: &str) -> Result<(), KubeconfigError> {
    if let Some(position) = draft.find(EntryKind::Context, new) {
        let path = draft.path(position.file).clone();
        return Err(KubeconfigError::ContextTaken { path, name: new.to_owned(), uses: "other entries".to_owned() });
    }
    let inner = prefixed_name(new);
    for kind in [EntryKind::Cluster, EntryKind::User] {
        if let Some(position) = draft.find(kind, &inner) {
            let path = draft.path(position.file).clone();
            return Err(KubeconfigError::EntryTaken { path, kind: kind.body_key(), name: inner });
        }
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
