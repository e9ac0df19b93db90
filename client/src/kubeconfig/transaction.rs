//! One edit of the kubeconfig files, from reading to renaming. The documentation of [`super`] lists the steps.

use super::draft::Draft;
use super::edit;
use super::error::KubeconfigError;
use super::files::{Files, LoadedFile};
use super::lock::Locks;
use super::outcome::{Note, Written};
use crate::files::atomic_file::{self, Backup};
use crate::files::error::FileError;

/// How often an edit starts again after a program without locks has changed a file.
const MAX_ATTEMPTS: usize = 5;

/// The result of steps 1 to 3: the files as they were read, and the new texts of those that change.
pub(super) struct Prepared<T> {
    loaded: Vec<LoadedFile>,
    /// Index into `loaded`, and the new text.
    texts: Vec<(usize, String)>,
    /// What the closure that edited the models returned.
    result: T,
}

/// Edits the files with `edit_models` and returns its result, and what was written.
///
/// The edit is prepared before the locks are taken, so that they are held for as short as possible, and prepared again
/// under the locks if a file has changed since.
///
/// # Errors
/// The error of `edit_models`, or of reading, locking or replacing a file. That file is unchanged; files that were
/// replaced before it stay replaced.
pub(super) fn edit_files<T>(
    files: &Files,
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<(T, Written), KubeconfigError> {
    let mut before = prepare(files, &edit_models);
    for attempt in 1.. {
        let needed = match &before {
            Ok(prepared) if prepared.texts.is_empty() => break,
            Ok(prepared) => prepared.texts.iter().map(|(index, _)| prepared.loaded[*index].listed.clone()).collect(),
            Err(_) => Vec::new(),
        };
        let mut locks = match (Locks::take(files.paths(), &needed, files.timeouts), &before) {
            (Ok(locks), _) => locks,
            // An error in the file is more useful to the user than an error about locking it.
            (Err(_), Err(_)) => break,
            (Err(e), Ok(_)) => return Err(e),
        };
        // A program without locks may have been writing during the first read, so an error is checked again too.
        let is_current = before.as_ref().is_ok_and(|p| p.loaded.iter().all(|file| file.original.is_current()));
        let prepared = if is_current { before? } else { prepare(files, &edit_models)? };
        match write(&prepared, &mut locks) {
            Err(KubeconfigError::File(FileError::Changed { .. })) if attempt < MAX_ATTEMPTS => {}
            result => return result.map(|written| (prepared.result, written)),
        }
        drop(locks);
        before = prepare(files, &edit_models);
    }
    before.map(|prepared| (prepared.result, Written::default()))
}

/// Reads the files, edits their models and writes the new texts in memory.
pub(super) fn prepare<T>(
    files: &Files,
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<Prepared<T>, KubeconfigError> {
    let loaded = files.load()?;
    let mut draft = Draft::new(files, &loaded);
    let result = edit_models(&mut draft)?;
    let mut texts = Vec::new();
    for (index, model) in draft.changes() {
        let file = &loaded[index];
        texts.push((index, edit::rewrite(&file.listed, &file.original.text, &file.model, model)?));
    }
    Ok(Prepared { loaded, texts, result })
}

/// Replaces the files that change. Errors with `Changed` if one is no longer the version that was read.
fn write<T>(prepared: &Prepared<T>, locks: &mut Locks) -> Result<Written, KubeconfigError> {
    let mut written = Written { notes: std::mem::take(&mut locks.notes), ..Written::default() };
    for (index, text) in &prepared.texts {
        let file = &prepared.loaded[*index];
        if !locks.holds(&file.listed) {
            // Preparing again under the locks chose a file that was not needed, and so perhaps not locked, before.
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
