//! Converts users of other tools to `rolecall token`, and restores them. Only the text of these users changes: everything else
//! in a file stays byte for byte.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::emit;
use super::entry::{self, ENTRY_VARIABLES, Entry};
use super::error::KubeconfigError;
use super::files::{Files, LoadedFile};
use super::foreign::{self, ExecCommand};
use super::model::{self, EntryKind, Value};
use super::nodes::{self, Depth, UserNode};
use super::outcome::Written;
use super::transaction::{self, NewText};
use crate::files::atomic_file::Backup;
use crate::files::error::FileError;

/// A user that becomes one of Rolecall's.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    /// The name of the user.
    pub(crate) user: String,
    /// What it runs today.
    pub(crate) old: ExecCommand,
    /// What it runs afterwards.
    pub(crate) entry: Entry,
}

/// A converted user, as it was before. Users with literal secrets are never converted, so it holds none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OldUser {
    /// The path of the file, as `KUBECONFIG` listed it.
    pub(crate) file: PathBuf,
    /// The name of the user.
    pub(crate) user: String,
    /// The profile that it became.
    pub(crate) profile: String,
    depth: Depth,
    /// The indentation of the text; `None` if it was not in block style.
    indent: Option<usize>,
    /// The text that was replaced.
    text: String,
    /// The meaning of the text, in YAML on one line.
    meaning: String,
    /// What the replaced part has beside `exec`, in the form of [`canonical`].
    others: String,
}

#[cfg(test)]
impl OldUser {
    /// Returns the text that was replaced.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// What [`restore`] did with a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestoreState {
    /// It is as before.
    Restored,
    /// The user is gone, or as before already.
    NothingToDo,
    /// The file is absent.
    FileAbsent,
    /// It was edited since, and stays.
    Edited,
}

/// Returns the users as they are before the conversion. Writes nothing.
///
/// # Errors
/// `CannotEdit` if the text of a user cannot be replaced alone, `Changed` if a user does not run its old program.
pub(crate) fn check_convert(files: &Files, conversions: &[Conversion]) -> Result<Vec<OldUser>, KubeconfigError> {
    converted(&files.load()?, conversions).map(|(old, _)| old)
}

/// Returns the indexes of the conversions that are not possible, since the text of their users is used elsewhere too.
pub(crate) fn inconvertible(files: &Files, conversions: &[Conversion]) -> Result<Vec<usize>, KubeconfigError> {
    let loaded = files.load()?;
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut next = Some(0..conversions.len());
    while let Some(range) = next {
        match converted(&loaded, &conversions[range.clone()]) {
            Ok(_) => {}
            Err(KubeconfigError::CannotEdit { .. }) if range.len() == 1 => found.push(range.start),
            Err(KubeconfigError::CannotEdit { .. }) => {
                let middle = range.start + range.len() / 2;
                open.extend([range.start..middle, middle..range.end]);
            }
            Err(error) => return Err(error),
        }
        next = open.pop();
    }
    Ok(found)
}

/// Converts the users.
///
/// # Errors
/// Those of [`check_convert`], and of reading, locking and writing the files.
pub(crate) fn convert(files: &Files, conversions: &[Conversion]) -> Result<Written, KubeconfigError> {
    transaction::edit_texts(files, |loaded| converted(loaded, conversions)).map(|(_, written)| written)
}

/// Restores converted users, except for those that were edited since. Returns what was done with each.
pub(crate) fn restore(users: &[OldUser]) -> Result<(Vec<RestoreState>, Written), KubeconfigError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for user in users.iter().filter(|user| user.file.exists()) {
        if !paths.contains(&user.file) {
            paths.push(user.file.clone());
        }
    }
    if paths.is_empty() {
        return Ok((vec![RestoreState::FileAbsent; users.len()], Written::default()));
    }
    transaction::edit_texts(&Files::of_paths(paths), |loaded| restored(loaded, users))
}

/// Returns the users before the conversion and the new texts.
fn converted(
    loaded: &[LoadedFile],
    conversions: &[Conversion],
) -> Result<(Vec<OldUser>, Vec<NewText>), KubeconfigError> {
    let by_name: HashMap<&str, &Conversion> = conversions.iter().map(|c| (c.user.as_str(), c)).collect();
    let mut seen = HashSet::new();
    let (mut old, mut texts) = (Vec::new(), Vec::new());
    for (file, loaded) in loaded.iter().enumerate() {
        let edits = TextEdits::new(loaded);
        let mut replaced = Vec::new();
        for (index, item) in edits.items().iter().enumerate() {
            let Some(name) = item.get("name").and_then(Value::as_str) else { continue };
            // Of several users with one name, kubectl sees the first.
            let Some(conversion) = by_name.get(name).filter(|_| seen.insert(name.to_owned())) else { continue };
            if foreign::exec_of(item).as_ref() != Some(&conversion.old) {
                return Err(FileError::Changed { path: loaded.listed.clone() }.into());
            }
            let node = edits.innermost_node(index)?;
            old.push(old_user(&loaded.listed, name, &conversion.entry.profile, node, item, loaded));
            let mut new = item.clone();
            set_exec(&mut new, conversion.entry.exec());
            replaced.push(Replacement::of_value(index, new, node, edits.line_break));
        }
        if !replaced.is_empty() {
            texts.push(NewText { file, text: edits.apply(replaced)?, backup: Backup::Keep });
        }
    }
    match conversions.iter().find(|conversion| !seen.contains(&conversion.user)) {
        // It was there when the contexts were read.
        Some(_) => {
            Err(FileError::Changed { path: loaded.first().map(|f| f.listed.clone()).unwrap_or_default() }.into())
        }
        None => Ok((old, texts)),
    }
}

fn old_user(file: &Path, user: &str, profile: &str, node: &UserNode, item: &Value, loaded: &LoadedFile) -> OldUser {
    let value = item.at_path(node.depth.path()).cloned().unwrap_or(Value::Null);
    OldUser {
        file: file.to_owned(),
        user: user.to_owned(),
        profile: profile.to_owned(),
        depth: node.depth,
        indent: node.indent,
        text: loaded.original.text.get(node.range.clone()).unwrap_or_default().to_owned(),
        meaning: emit::flow(&value),
        others: others(item, node.depth),
    }
}

/// Returns what was done with each user, and the new texts.
fn restored(loaded: &[LoadedFile], users: &[OldUser]) -> Result<(Vec<RestoreState>, Vec<NewText>), KubeconfigError> {
    let mut results: Vec<RestoreState> = users.iter().map(state_without_user).collect();
    let mut texts = Vec::new();
    for (file, loaded) in loaded.iter().enumerate() {
        let edits = TextEdits::new(loaded);
        let by_name: HashMap<&str, (usize, &Value)> = edits
            .items()
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((item.get("name").and_then(Value::as_str)?, (index, item))))
            .collect();
        let (mut exact, mut plain) = (Vec::new(), Vec::new());
        for (position, old) in users.iter().enumerate().filter(|(_, old)| old.file == loaded.listed) {
            let Some((index, item)) = by_name.get(old.user.as_str()).copied() else { continue };
            let meaning = model::parse(&old.file, &old.meaning)?;
            let mut before = item.clone();
            set_part(&mut before, old.depth.path(), &meaning);
            if before == *item {
                continue;
            }
            if !is_as_converted(item, old) {
                results[position] = RestoreState::Edited;
                continue;
            }
            results[position] = RestoreState::Restored;
            let value = Replacement::of_value(index, before.clone(), edits.innermost_node(index)?, edits.line_break);
            // The text fits only in the place that it had.
            let place = edits.nodes(index).iter().find(|node| node.depth == old.depth);
            let place = place.filter(|node| node.indent == old.indent || old.indent.is_none());
            let with_text = |node: &UserNode| Replacement {
                index,
                item: before.clone(),
                range: node.range.clone(),
                text: old.text.clone(),
            };
            exact.push(place.map_or_else(|| value.clone(), with_text));
            plain.push(value);
        }
        if !exact.is_empty() {
            let text = edits.apply(exact).or_else(|_| edits.apply(plain))?;
            texts.push(NewText { file, text, backup: Backup::Keep });
        }
    }
    Ok((results, texts))
}

/// Returns the state of a user that no file has.
fn state_without_user(old: &OldUser) -> RestoreState {
    if old.file.exists() { RestoreState::NothingToDo } else { RestoreState::FileAbsent }
}

/// Whether a user is as the conversion left it, or as a later `rolecall kubeconfig` did.
fn is_as_converted(item: &Value, old: &OldUser) -> bool {
    const KEYS: [&str; 7] =
        ["apiVersion", "args", "command", "env", "installHint", "interactiveMode", "provideClusterInfo"];
    let Some(exec @ Value::Map(pairs)) = item.at_path(Depth::Exec.path()) else { return false };
    let is_known_key = |key: &Value| key.as_str().is_some_and(|key| KEYS.contains(&key));
    let variables = exec.get("env").map(Value::items).unwrap_or_default();
    let is_known_variable =
        |item: &Value| item.get("name").and_then(Value::as_str).is_some_and(|name| ENTRY_VARIABLES.contains(&name));
    entry::is_ours(item, &old.profile)
        && pairs.iter().all(|(key, _)| is_known_key(key))
        && variables.iter().all(is_known_variable)
        && exec.get("interactiveMode").and_then(Value::as_str) == Some(entry::INTERACTIVE_MODE)
        && exec.get("provideClusterInfo") == Some(&Value::Bool(true))
        && others(item, old.depth) == old.others
}

/// Returns what a part of a user has beside `exec`, without the name.
fn others(item: &Value, depth: Depth) -> String {
    if depth == Depth::Exec {
        return String::new();
    }
    let mut user = item.get("user").cloned().unwrap_or(Value::Null);
    user.remove("exec");
    canonical(&user)
}

/// Returns a value in a form that is equal for equal values, whatever the order of their keys. An empty value is that of a missing
/// key, as for kubectl.
fn canonical(value: &Value) -> String {
    match value {
        Value::Map(pairs) => {
            let pairs: BTreeMap<String, String> = pairs
                .iter()
                .filter(|(_, value)| *value != Value::Null)
                .map(|(key, value)| (emit::flow(key), canonical(value)))
                .collect();
            let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        value => emit::flow(value),
    }
}

fn set_exec(item: &mut Value, exec: Value) {
    let mut body = item.get("user").cloned().unwrap_or(Value::Null);
    body.set("exec", exec);
    item.set("user", body);
}

/// Sets the value at a path of keys.
fn set_part(value: &mut Value, path: &[&str], part: &Value) {
    match path {
        [] => *value = part.clone(),
        [key, rest @ ..] => {
            let mut inner = value.get(key).cloned().unwrap_or(Value::Null);
            set_part(&mut inner, rest, part);
            value.set(key, inner);
        }
    }
}

/// A file whose users are replaced.
struct TextEdits<'a> {
    loaded: &'a LoadedFile,
    nodes: Vec<Vec<UserNode>>,
    line_break: &'static str,
}

/// The new state of a user.
#[derive(Clone)]
struct Replacement {
    /// The index of the user.
    index: usize,
    /// What its item means afterwards.
    item: Value,
    /// The place of the new text.
    range: Range<usize>,
    text: String,
}

impl Replacement {
    fn of_value(index: usize, item: Value, node: &UserNode, line_break: &str) -> Self {
        let value = item.at_path(node.depth.path()).cloned().unwrap_or(Value::Null);
        Self { index, range: node.range.clone(), text: node.literal(&value, line_break), item }
    }
}

impl<'a> TextEdits<'a> {
    fn new(loaded: &'a LoadedFile) -> Self {
        let text = &loaded.original.text;
        let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { loaded, nodes: nodes::users(text).unwrap_or_default(), line_break }
    }

    fn items(&self) -> &'a [Value] {
        self.loaded.model.get(EntryKind::User.list_key()).map(Value::items).unwrap_or_default()
    }

    fn nodes(&self, index: usize) -> &[UserNode] {
        self.nodes.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    fn innermost_node(&self, index: usize) -> Result<&UserNode, KubeconfigError> {
        self.nodes(index).last().ok_or_else(|| self.cannot("its users stand behind an alias"))
    }

    /// Returns the text with these users replaced.
    ///
    /// # Errors
    /// `CannotEdit` if the new text means anything else than the old one with these users.
    fn apply(&self, mut replaced: Vec<Replacement>) -> Result<String, KubeconfigError> {
        replaced.sort_by_key(|new| new.range.start);
        let old = &self.loaded.original.text;
        let (mut text, mut end) = (String::with_capacity(old.len()), 0);
        let mut model = self.loaded.model.clone();
        for new in &replaced {
            text.push_str(old.get(end..new.range.start).ok_or_else(|| self.cannot("two users overlap"))?);
            text.push_str(&new.text);
            end = new.range.end;
            let slot = model.items_mut(EntryKind::User.list_key()).and_then(|items| items.get_mut(new.index));
            if let Some(slot) = slot {
                slot.clone_from(&new.item);
            }
        }
        text.push_str(old.get(end..).unwrap_or_default());
        match model::parse(&self.loaded.listed, &text) {
            Ok(found) if found == model => Ok(text),
            _ => Err(self.cannot("another entry uses the text of a user")),
        }
    }

    fn cannot(&self, why: &'static str) -> KubeconfigError {
        KubeconfigError::CannotEdit { path: self.loaded.listed.clone(), why }
    }
}
