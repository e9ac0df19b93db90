//! The fuzz target of kubeconfig edits: a function that panics if a property does not hold for an input. `tests/fuzz` runs it
//! with libFuzzer, and the test below runs it on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::edit;
use super::entry::Entry;
use super::entry_names::EntryNames;
use super::error::KubeconfigError;
use super::files::LoadedFile;
use super::model::{self, EntryKind, Value};
use super::outcome::Removal;
use super::schema;
use crate::files::atomic_file::Original;

/// A kubeconfig. What is not of the edited profile stays:
///
/// - Adding a profile keeps the entries of others, the order of their lines, and every line that has no part of a list in flow
///   style. White space at the end of a line of a value in flow style may differ.
/// - Adding a profile and removing it gives the same bytes, if another profile is in the file before and after. In flow style,
///   white space may differ.
/// - Selecting a context and selecting the previous one gives the same bytes, apart from white space at the end of a line.
///
/// An edit may fail; then it writes nothing.
pub fn kubeconfig(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(before) = load(text) else { return };
    let Some(with_kept) = edited(&before, |draft| draft.upsert(&entry("kept")).map(drop)) else { return };
    assert_others_kept(&before, &with_kept, "kept");

    let Some(with_both) = edited(&with_kept, |draft| draft.upsert(&entry("added")).map(drop)) else { return };
    assert_others_kept(&with_kept, &with_both, "added");
    let removed = edited(&with_both, |draft| match draft.remove("added", &EntryNames::new("added")) {
        Removal::Removed => Ok(()),
        other => panic!("{other:?}"),
    });
    if let Some(removed) = removed {
        let (found, expected) = (&removed.original.text, &with_kept.original.text);
        assert!(is_same(found, expected), "adding and removing a profile changes\n{expected}\nto\n{found}");
    }

    let selected = |file: &LoadedFile, name: &str| {
        edited(file, |draft| {
            draft.set_current_context(name);
            Ok(())
        })
    };
    let Some(kept) = selected(&with_kept, "kept") else { return };
    let Some(other) = selected(&kept, "other") else { return };
    if let Some(again) = selected(&other, "kept") {
        let lines = |file: &LoadedFile| file.original.text.split('\n').map(|line| line.trim_end().to_owned()).collect();
        let (found, expected): (Vec<String>, Vec<String>) = (lines(&again), lines(&kept));
        assert_eq!(found, expected, "after selecting another context");
    }
}

fn load(text: &str) -> Option<LoadedFile> {
    let path = Path::new("/kubeconfig");
    let model = model::parse(path, text).ok()?;
    schema::check(&model).ok()?;
    Some(LoadedFile { listed: path.to_owned(), original: Original::of_text(path, text), model })
}

/// Returns the edited file, which has to be a valid kubeconfig again; `None` if it cannot be edited.
fn edited(file: &LoadedFile, edit: impl Fn(&mut Draft<'_>) -> Result<(), KubeconfigError>) -> Option<LoadedFile> {
    let files = std::slice::from_ref(file);
    let mut draft = Draft::new(files);
    edit(&mut draft).ok()?;
    let Some((_, model)) = draft.changes().next() else { return load(&file.original.text) };
    let text = edit::rewrite(&file.listed, &file.original.text, &file.model, model).ok()?;
    let Some(after) = load(&text) else { panic!("the edited file is not a kubeconfig:\n{text}") };
    assert!(after.model == *model, "the edited file has another meaning:\n{text}");
    Some(after)
}

fn entry(profile: &str) -> Entry {
    Entry {
        profile: profile.to_owned(),
        server: format!("https://{profile}.eks.amazonaws.com"),
        certificate_authority_data: "LS0tLS1CRUdJTg==".to_owned(),
        command: PathBuf::from("/usr/local/bin/rolecall"),
        install_hint: "rolecall is not installed: see https://example.com/rolecall".to_owned(),
        env: Vec::new(),
        key: None,
    }
}

/// Checks that adding a profile has changed nothing else. If the file has entries of the profile, by name or because their user
/// runs `rolecall token <profile>`, they are updated.
fn assert_others_kept(before: &LoadedFile, after: &LoadedFile, profile: &str) {
    let draft = Draft::new(std::slice::from_ref(before));
    let (names, users) = (draft.entry_names(profile), draft.users_of(profile));
    let is_of_profile = |kind: EntryKind, item: &Value| {
        item.is_named(names.get(kind)) || (kind == EntryKind::User && users.iter().any(|user| item.is_named(user)))
    };
    for kind in EntryKind::ALL {
        let of_others = |file: &LoadedFile| -> Vec<Value> {
            let items = file.model.get(kind.list_key()).map(Value::items).unwrap_or_default();
            items.iter().filter(|item| !is_of_profile(kind, item)).cloned().collect()
        };
        assert!(of_others(before) == of_others(after), "{kind:?} of others changed");
    }
    let (old, new) = (&before.original.text, &after.original.text);
    let updates = EntryKind::ALL.into_iter().any(|kind| {
        before.model.get(kind.list_key()).is_some_and(|list| list.items().iter().any(|item| is_of_profile(kind, item)))
    });
    // A single \r ends a line, too (YAML 1.2, 5.4).
    let mut lines = new.split(['\n', '\r']);
    for line in old.split(['\n', '\r']).filter(|line| !updates && !may_change(line)) {
        // In flow style, a new item follows the last one after a comma.
        let is_item_added = |other: &str| {
            let rest = other.strip_prefix(line.trim_end()).filter(|_| has_flow(old));
            rest.map(str::trim_start).is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
        };
        assert!(lines.any(|other| other == line || is_item_added(other)), "lost {line:?} of\n{old}\nin\n{new}");
    }
}

/// Whether two texts are equal. In a list in flow style, the space around an item goes with the item.
fn is_same(found: &str, expected: &str) -> bool {
    let without_space = |text: &str| text.split_whitespace().collect::<String>();
    found == expected || (has_flow(expected) && without_space(found) == without_space(expected))
}

/// Whether a text may have lists in flow style.
fn has_flow(text: &str) -> bool {
    text.contains(['[', '{'])
}

/// Whether adding an item to a list may change this line: it is blank, has a part of a list in flow style, or has a list without
/// items.
fn may_change(line: &str) -> bool {
    line.trim().is_empty()
        || line.contains(['[', ']', '{', '}', '~', ',', '"', '\'', '!', '&', '*'])
        || line.contains("null")
        || line.trim_end().ends_with(':')
        || line.contains(": #")
        || line.contains(":  ")
        || line.contains(":\t")
}

#[cfg(test)]
mod tests {
    /// Fault matrix row 97.
    #[test]
    fn kubeconfig_of_any_bytes() {
        rolecall_mutator::run("kubeconfig", 300, super::kubeconfig);
    }
}
