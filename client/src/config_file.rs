//! Edits Rolecall's own `config.toml` the way a careful person would: comments, order and spelling stay.
//!
//! The client changes profiles and sources and nothing else; whether the whole is a valid configuration is for the
//! daemon to say, which is asked before anything is written. Keys that are not mentioned here are left alone.
//! [`edit`] reads the file again under a lock, so that of many `rolecall add` at once none is lost.

mod inputs;
mod sources;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::{ClusterName, ExternalId, MAX_CONFIG, Region, RoleArn, SourceName};
use toml_edit::{Array, DocumentMut, Item, RawString, Table, TableLike, Value};

pub(crate) use inputs::InputsEntry;
pub(crate) use sources::SourceEntry;

use crate::atomic::{self, Backup, FileError, Untouched};

/// What a file that we begin says about itself.
const HEADER: &str = "\
# The configuration of Rolecall: profiles, and the sources they sign in with. Described in `man rolecall-config`.
# `rolecall add` and `rolecall remove` edit it and keep comments; a valid change is in force within a second.

";

/// How long to wait for other runs of rolecall, each of which takes milliseconds.
const WAIT: Duration = Duration::from_secs(10);

/// A configuration file in memory.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    document: DocumentMut,
    /// The text it was made from.
    base: String,
    /// What stands before the first table if `base` has none: comments alone do not belong to anything yet.
    preamble: Option<String>,
}

/// A profile as the client writes it. What is `None` or empty is not in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileEntry {
    pub(crate) cluster: ClusterName,
    pub(crate) region: Region,
    pub(crate) source: SourceName,
    pub(crate) role_arn: Option<RoleArn>,
    pub(crate) via: Vec<RoleArn>,
    pub(crate) external_id: Option<ExternalId>,
    pub(crate) session_name: Option<String>,
    pub(crate) duration: Option<String>,
    pub(crate) inputs: InputsEntry,
    pub(crate) server: Option<String>,
    pub(crate) ca_sha256: Option<String>,
}

/// Why the configuration could not be read or changed. It is as it was; [`ConfigFileError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}:{line}:{column}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize, message: String },
    #[error("`{key}` in {} is not a table", path.display())]
    NotATable { path: PathBuf, key: String },
}

/// Changes the file: reads it under the lock, lets `make` change it, and writes it if that made a difference.
pub(crate) fn edit<T, E: From<ConfigFileError>>(
    path: &Path,
    make: impl FnOnce(&mut ConfigFile) -> Result<T, E>,
) -> Result<T, E> {
    let read = || {
        let path = atomic::resolve(path)?;
        atomic::create_folder(atomic::folder_of(&path))?;
        let lock = atomic::lock_folder(atomic::folder_of(&path), WAIT)?;
        let original = atomic::read(&path, MAX_CONFIG as u64)?;
        Ok((lock, original))
    };
    let (_lock, original) = read().map_err(ConfigFileError::File)?;
    let mut file = ConfigFile::parse(path, &original.text)?;
    let answer = make(&mut file)?;
    let text = file.text();
    if text == original.text {
        return Ok(answer);
    }
    if text.len() as u64 > MAX_CONFIG as u64 {
        return Err(ConfigFileError::File(FileError::TooLarge { path: path.to_owned(), cap: MAX_CONFIG as u64 }).into());
    }
    // The daemon refuses a file with a mistake in it; this one was right before we touched it.
    ConfigFile::parse(path, &text)?;
    atomic::replace(&original, &text, Backup::None).map_err(ConfigFileError::File)?;
    Ok(answer)
}

impl ConfigFile {
    /// Reads the file, to look at it or to try a change out. One that does not exist is empty.
    pub(crate) fn load(path: &Path) -> Result<ConfigFile, ConfigFileError> {
        let original = atomic::read(path, MAX_CONFIG as u64)?;
        ConfigFile::parse(path, &original.text)
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> String {
        let text = match &self.preamble {
            Some(_) if self.document.is_empty() => return self.base.clone(),
            Some(preamble) => format!("{preamble}{}", self.document),
            None => self.document.to_string(),
        };
        if is_crlf(&self.base) { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text }
    }

    /// The names of the profiles, in the order of the file.
    pub(crate) fn profile_names(&self) -> Vec<String> {
        self.names("profiles")
    }

    /// The names of the sources, in the order of the file.
    pub(crate) fn source_names(&self) -> Vec<String> {
        self.names("sources")
    }

    /// A profile, if it is there and what the client knows of it is well formed.
    pub(crate) fn profile(&self, name: &str) -> Option<ProfileEntry> {
        let table = self.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
        let text = |key| table.get(key).and_then(Item::as_str);
        let via = match table.get("via") {
            Some(via) => via.as_array()?.iter().map(|arn| arn.as_str()?.parse().ok()).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(ProfileEntry {
            cluster: text("cluster")?.parse().ok()?,
            region: text("region")?.parse().ok()?,
            source: text("source")?.parse().ok()?,
            role_arn: text("role_arn").map(str::parse).transpose().ok()?,
            via,
            external_id: text("external_id").map(str::parse).transpose().ok()?,
            session_name: text("session_name").map(str::to_owned),
            duration: text("duration").map(str::to_owned),
            inputs: InputsEntry::read(table)?,
            server: text("server").map(str::to_owned),
            ca_sha256: text("ca_sha256").map(str::to_owned),
        })
    }

    /// Writes a profile: adds it, or brings its keys up to date, each in its place. Keys beyond those of
    /// [`ProfileEntry`] stay.
    pub(crate) fn set_profile(&mut self, name: &str, entry: &ProfileEntry) -> Result<(), ConfigFileError> {
        let path = &self.path;
        let profiles = child(path, self.document.as_table_mut(), "profiles", true)?;
        let table = child(path, profiles, name, false)?;
        let via: Array = entry.via.iter().map(RoleArn::as_str).collect();
        set(table, "cluster", Some(entry.cluster.as_str().into()));
        set(table, "region", Some(entry.region.as_str().into()));
        set(table, "source", Some(entry.source.as_str().into()));
        set(table, "role_arn", entry.role_arn.as_ref().map(|arn| arn.as_str().into()));
        set(table, "via", (!via.is_empty()).then(|| via.into()));
        set(table, "external_id", entry.external_id.as_ref().map(|id| id.as_str().into()));
        set(table, "session_name", entry.session_name.as_deref().map(Into::into));
        set(table, "duration", entry.duration.as_deref().map(Into::into));
        entry.inputs.write(table);
        set(table, "server", entry.server.as_deref().map(Into::into));
        set(table, "ca_sha256", entry.ca_sha256.as_deref().map(Into::into));
        Ok(())
    }

    /// Takes a profile away, with the comment that stands directly above it. Says whether it was there.
    pub(crate) fn remove_profile(&mut self, name: &str) -> bool {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let Some(removed) = profiles.and_then(|profiles| profiles.remove(name)) else { return false };
        if let Item::Table(table) = removed {
            self.keep_comments_above(&table);
        }
        true
    }

    /// How long a session is asked for where a profile does not say.
    pub(crate) fn default_duration(&self) -> Option<String> {
        let defaults = self.document.get("defaults")?.as_table_like()?;
        defaults.get("duration")?.as_str().map(str::to_owned)
    }

    fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigFileError> {
        let document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| malformed(path, text, &e))?;
        let preamble = document.is_empty().then(|| match text.trim() {
            "" => HEADER.to_owned(),
            comments => format!("{comments}\n\n"),
        });
        let document = if preamble.is_some() { DocumentMut::new() } else { document };
        Ok(ConfigFile { path: path.to_owned(), document, base: text.to_owned(), preamble })
    }

    fn names(&self, key: &str) -> Vec<String> {
        let table = self.document.get(key).and_then(Item::as_table_like);
        table.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default()
    }

    /// Comments that a blank line parts from a table are not about that table (the header of the file, say): they move
    /// to the table that comes next, or to the end of the file.
    fn keep_comments_above(&mut self, removed: &Table) {
        let above = removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
        let above = above.replace("\r\n", "\n");
        let Some(end) = above.rfind("\n\n") else { return };
        let kept = above[..=end].trim_start_matches('\n');
        if !kept.contains('#') {
            return;
        }
        let mut next = None;
        let own = removed.position();
        visit(self.document.as_table_mut(), &mut |table| {
            let position = table.position();
            if position > own && (next.is_none() || position < next) {
                next = position;
            }
        });
        let gap = if above.starts_with('\n') { "\n" } else { "" };
        let join = |rest: &str| format!("{gap}{kept}\n{}", rest.trim_start_matches('\n'));
        let Some(next) = next else {
            let trailing = join(self.document.trailing().as_str().unwrap_or_default());
            self.document.set_trailing(format!("{}\n", trailing.trim_end()));
            return;
        };
        visit(self.document.as_table_mut(), &mut |table| {
            if table.position() == Some(next) {
                let prefix = join(table.decor().prefix().and_then(RawString::as_str).unwrap_or_default());
                table.decor_mut().set_prefix(prefix);
            }
        });
    }
}

impl ConfigFileError {
    /// How the error says that the file is as it was.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        match self {
            ConfigFileError::File(error) => error.untouched(),
            ConfigFileError::Malformed { .. } | ConfigFileError::NotATable { .. } => Some(Untouched::LeftAsItWas),
        }
    }

    /// What the person who reads the error can do next.
    pub(crate) fn advice(&self) -> String {
        match self {
            ConfigFileError::File(error) => error.advice(),
            ConfigFileError::Malformed { .. } => "Mend that line and run the command again.".to_owned(),
            ConfigFileError::NotATable { key, .. } => {
                format!("Write it as [{key}.NAME]; see: man rolecall-config")
            }
        }
    }
}

/// The table under a key, made if it is not there. A table that is only there for its tables is `implicit`.
fn child<'a>(
    path: &Path,
    parent: &'a mut dyn TableLike,
    key: &str,
    implicit: bool,
) -> Result<&'a mut dyn TableLike, ConfigFileError> {
    if !parent.contains_key(key) {
        let mut table = Table::new();
        table.set_implicit(implicit);
        // An inline table makes an inline one of it.
        parent.insert(key, Item::Table(table));
    }
    let found = parent.get_mut(key).and_then(Item::as_table_like_mut);
    found.ok_or_else(|| ConfigFileError::NotATable { path: path.to_owned(), key: key.to_owned() })
}

/// Sets a key in its place, with the comment beside it, or takes it away. One that says the same already stays as it is
/// spelled.
fn set(table: &mut dyn TableLike, key: &str, value: Option<Value>) {
    let Some(mut value) = value else {
        table.remove(key);
        return;
    };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if means_the_same(old, &value) => {}
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

/// Whether two strings, or two lists of strings, are equal.
fn means_the_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| means_the_same(a, b)),
        _ => false,
    }
}

/// Shows every table that has a header of its own in the file.
fn visit(table: &mut Table, see: &mut dyn FnMut(&mut Table)) {
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(table) => {
                if !table.is_implicit() && !table.is_dotted() {
                    see(table);
                }
                visit(table, see);
            }
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| {
                see(table);
                visit(table, see);
            }),
            Item::Value(_) | Item::None => {}
        }
    }
}

/// The library's message says what was expected; only its longer form quotes the file.
fn malformed(path: &Path, text: &str, error: &toml_edit::TomlError) -> ConfigFileError {
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    ConfigFileError::Malformed {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    }
}

/// Whether every line break is one of Windows.
fn is_crlf(text: &str) -> bool {
    text.contains('\n') && text.matches('\n').count() == text.matches("\r\n").count()
}

#[cfg(test)]
mod tests;
