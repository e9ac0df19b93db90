//! One edit of the kubeconfig files, from reading to renaming. The documentation of [`super`] lists the steps.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::draft::Draft;
use super::edit;
use super::error::KubeconfigError;
use super::files::{Files, LoadedFile};
use super::lock::Locks;
use super::outcome::{Note, Written};
use crate::clock::Deadline;
use crate::files::atomic_file::{self, Backup};
use crate::files::error::FileError;

/// A file that another program wrote less than this ago is being edited by other programs.
const RECENT: Duration = Duration::from_secs(2);

/// How long the files have to stay unchanged after an edit beside other programs. A kubectl that read them before the edit
/// has written by then, unless the machine is overloaded.
const QUIET_TIME: Duration = Duration::from_millis(500);

/// The pause between two looks at the files.
const VERIFY_INTERVAL: Duration = Duration::from_millis(50);

/// How long an edit is verified at most.
const MAX_VERIFY_TIME: Duration = Duration::from_secs(10);

/// How often an edit starts again after a program without locks has changed a file.
const MAX_ATTEMPTS: usize = 5;

/// The result of steps 1 to 3: the files as they were read, and the new texts of those that change.
pub(super) struct Prepared<T> {
    loaded: Vec<LoadedFile>,
    texts: Vec<NewText>,
    /// What the closure that edited the models returned.
    result: T,
}

/// The new text of a file.
pub(super) struct NewText {
    /// The index in the loaded files.
    pub(super) file: usize,
    pub(super) text: String,
    /// `None` if only the current context changes: the user can select another one again.
    pub(super) backup: Backup,
}

/// Edits the files with `edit_models` and returns its result, and what was written.
///
/// # Errors
/// Those of [`edit_texts`].
pub(super) fn edit_files<T>(
    files: &Files,
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<(T, Written), KubeconfigError> {
    edit_texts(files, |loaded| texts_of_models(loaded, &edit_models))
}

/// Writes the new texts that `new_texts` gives for the loaded files. Returns its result, and what was written.
///
/// The edit is prepared before the locks are taken, so that they are held for as short as possible, and prepared again
/// under the locks if a file has changed since.
///
/// # Errors
/// The error of `new_texts`, or of reading, locking or replacing a file. That file is unchanged; files that were
/// replaced before it stay replaced.
pub(super) fn edit_texts<T>(
    files: &Files,
    new_texts: impl Fn(&[LoadedFile]) -> Result<(T, Vec<NewText>), KubeconfigError>,
) -> Result<(T, Written), KubeconfigError> {
    let prepare = || {
        let loaded = files.load()?;
        let (result, texts) = new_texts(&loaded)?;
        Ok(Prepared { loaded, texts, result })
    };
    let mut before: Result<_, KubeconfigError> = prepare();
    for attempt in 1.. {
        let needed = match &before {
            Ok(prepared) if prepared.texts.is_empty() => break,
            Ok(prepared) => prepared.texts.iter().map(|new| prepared.loaded[new.file].listed.clone()).collect(),
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
        let prepared = if is_current { before? } else { prepare()? };
        match write(&prepared, &mut locks) {
            Err(KubeconfigError::File(FileError::Changed { .. })) if attempt < MAX_ATTEMPTS => {}
            result => return result.map(|written| (prepared.result, written)),
        }
        drop(locks);
        before = prepare();
    }
    before.map(|prepared| (prepared.result, Written::default()))
}

/// Like [`edit_files`], for an edit that is lost if kubectl overwrites it. kubectl reads the files before it takes its lock
/// and then writes every entry that it has read (client-go, tools/clientcmd/config.go, `ModifyConfig`). If another program
/// writes the files, `edit_models` runs again until they have not changed for [`QUIET_TIME`].
pub(super) fn edit_files_and_verify<T>(
    files: &Files,
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<(T, Written), KubeconfigError> {
    let (result, mut written) = edit_files(files, &edit_models)?;
    if !written.met_other_program {
        return Ok((result, written));
    }
    let deadline = Deadline::after(MAX_VERIFY_TIME);
    let mut seen = versions(files);
    let mut quiet = Duration::ZERO;
    while quiet < QUIET_TIME {
        if !deadline.sleep(VERIFY_INTERVAL) {
            let file = written.files.last().cloned();
            written.notes.extend(file.map(|file| Note::StillWritten { file }));
            break;
        }
        let again = edit_files(files, &edit_models);
        let now = versions(files);
        // An error: another program holds its lock for long, or has written half of the file.
        quiet = if again.is_ok() && now == seen { quiet + VERIFY_INTERVAL } else { Duration::ZERO };
        seen = now;
        if let Ok((_, again)) = again {
            written.backups.extend(again.backups);
            for note in again.notes {
                if !written.notes.contains(&note) {
                    written.notes.push(note);
                }
            }
        }
    }
    Ok((result, written))
}

/// What changes with every write of a file: its inode and its time of change.
fn versions(files: &Files) -> Vec<Option<(u64, i64, i64)>> {
    let version = |path: &PathBuf| path.metadata().ok().map(|found| (found.ino(), found.ctime(), found.ctime_nsec()));
    files.paths().iter().map(version).collect()
}

/// Reads the files, edits their models and writes the new texts in memory.
pub(super) fn prepare<T>(
    files: &Files,
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<Prepared<T>, KubeconfigError> {
    let loaded = files.load()?;
    let (result, texts) = texts_of_models(&loaded, &edit_models)?;
    Ok(Prepared { loaded, texts, result })
}

fn texts_of_models<T>(
    loaded: &[LoadedFile],
    edit_models: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>,
) -> Result<(T, Vec<NewText>), KubeconfigError> {
    let mut draft = Draft::new(loaded);
    let result = edit_models(&mut draft)?;
    let mut texts = Vec::new();
    for (file, model) in draft.changes() {
        let old = &loaded[file];
        let text = edit::rewrite(&old.listed, &old.original.text, &old.model, model)?;
        let backup = if draft.changes_only_current_context(file) { Backup::None } else { Backup::Keep };
        texts.push(NewText { file, text, backup });
    }
    Ok((result, texts))
}

/// Writes the new texts without a lock, a backup or a sync to disk, for tests with thousands of files.
#[cfg(test)]
pub(super) fn write_unsynced<T>(prepared: &Prepared<T>) {
    for new in &prepared.texts {
        let original = &prepared.loaded[new.file].original;
        std::fs::write(&original.path, original.encode(&new.text)).unwrap();
    }
}

/// Replaces the files that change. Errors with `Changed` if one is no longer the version that was read.
fn write<T>(prepared: &Prepared<T>, locks: &mut Locks) -> Result<Written, KubeconfigError> {
    let mut written = Written {
        notes: std::mem::take(&mut locks.notes),
        met_other_program: locks.waited_for_kubectl,
        ..Written::default()
    };
    for NewText { file, text, backup } in &prepared.texts {
        let file = &prepared.loaded[*file];
        if !locks.holds(&file.listed) {
            // Preparing again under the locks chose a file that was not needed, and so perhaps not locked, before.
            return Err(FileError::Changed { path: file.listed.clone() }.into());
        }
        written.backups.extend(atomic_file::replace(&file.original, text, *backup)?);
        written.met_other_program |= file.original.was_written_in_place(RECENT);
        if file.original.is_writable_by_others() {
            written.notes.push(Note::WritableByOthers { file: file.original.path.clone() });
        }
        if file.original.has_other_names() {
            written.notes.push(Note::OtherNameKeepsOldText { file: file.original.path.clone() });
        }
        written.files.push(file.original.path.clone());
    }
    Ok(written)
}
