//! Edits Rolecall's own `config.toml` and keeps comments, order and spelling.
//!
//! The client changes only the profiles and sources, and only the keys that this module names. Commands ask the daemon
//! whether the new configuration is valid before they save it. [`edit`] reads the file again under a lock, so that
//! concurrent `rolecall add` processes do not lose each other's changes.

pub(crate) mod imported;
pub(crate) mod includes;
mod inputs;
pub(crate) mod sources;
mod table;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rolecall_protocol::{ClusterName, EntryKey, ExternalId, MAX_CONFIG_BYTES, Region, RoleArn, SourceName};
use toml_edit::{Array, DocumentMut, Item, RawString, Table, TableLike};

pub(crate) use inputs::InputsEntry;

use table::set_key;

use crate::files::atomic_file::{self, Backup};
use crate::files::error::{FileError, Untouched};
use crate::files::names;

/// The comment at the top of a new file.
pub(crate) const NEW_FILE_HEADER: &str = "\
# The configuration of Rolecall: profiles, and the sources they sign in with. Described in `man rolecall-config`.
# `rolecall add` and `rolecall remove` edit it and keep comments; a valid change is in force within a second.

";

/// How long to wait for other `rolecall` processes. Each holds the lock for milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A configuration file in memory.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    document: DocumentMut,
    /// The text that was parsed.
    original_text: String,
    /// The text before the first table, if the parsed text has only comments or nothing: toml_edit would write a new
    /// table above them.
    preamble: Option<String>,
    /// The included files, if they were read.
    included: OnceLock<Vec<(PathBuf, ConfigFile)>>,
}

/// A profile as the client writes it. Fields that are `None` or empty have no key in the file.
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

/// Why the configuration could not be read or edited. The file is unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}:{line}:{column}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize, message: String },
    #[error("`{key}` in {} is not a table", path.display())]
    NotATable { path: PathBuf, key: String },
    #[error("`{key}` in {} is not an array", path.display())]
    NotAnArray { path: PathBuf, key: String },
    #[error("the {kind} {name} comes from {}, and Rolecall only reads included files", path.display())]
    Included { kind: &'static str, name: String, path: PathBuf },
}

/// Reads the file under the lock, applies `change`, and replaces the file if its text differs. Returns the result of
/// `change`.
///
/// # Errors
/// The error of `change`, or a [`ConfigFileError`] of reading or replacing the file. The file is unchanged then.
pub(crate) fn edit<T, E: From<ConfigFileError>>(
    path: &Path,
    change: impl FnOnce(&mut ConfigFile) -> Result<T, E>,
) -> Result<T, E> {
    let read = || {
        let resolved = atomic_file::resolve(path)?;
        atomic_file::create_folder(names::folder_of(&resolved))?;
        let lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
        let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
        Ok((lock, original))
    };
    let (_lock, original) = read().map_err(ConfigFileError::File)?;
    let mut file = ConfigFile::parse(path, &original.text)?;
    let result = change(&mut file)?;
    let text = file.text();
    if text == original.text {
        return Ok(result);
    }
    if text.len() as u64 > MAX_CONFIG_BYTES as u64 {
        return Err(ConfigFileError::File(FileError::TooLarge {
            path: path.to_owned(),
            max_bytes: MAX_CONFIG_BYTES as u64,
        })
        .into());
    }
    // The daemon rejects a file that does not parse.
    ConfigFile::parse(path, &text)?;
    atomic_file::replace(&original, &text, Backup::None).map_err(ConfigFileError::File)?;
    Ok(result)
}

/// Returns the text of the file, which is empty if there is no file.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigFileError> {
    Ok(atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?.text)
}

/// Replaces the whole text under the lock. Errors with `Changed` if the text is no longer `before`.
pub(crate) fn replace_text(path: &Path, before: &str, text: &str) -> Result<(), ConfigFileError> {
    let resolved = atomic_file::resolve(path)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
    if original.text != before {
        return Err(FileError::Changed { path: resolved }.into());
    }
    atomic_file::replace(&original, text, Backup::None)?;
    Ok(())
}

/// Writes a new file under the lock. Returns whether it did: a file that exists stays.
pub(crate) fn create(path: &Path, text: &str) -> Result<bool, ConfigFileError> {
    let resolved = atomic_file::resolve(path)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
    if original.exists() {
        return Ok(false);
    }
    atomic_file::replace(&original, text, Backup::None)?;
    Ok(true)
}

impl ConfigFile {
    /// Reads the file, to look at it or to try a change in memory. A missing file is empty.
    pub(crate) fn load(path: &Path) -> Result<ConfigFile, ConfigFileError> {
        let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
        ConfigFile::parse(path, &original.text)
    }

    /// Returns the path that the file was read from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text that was read.
    pub(crate) fn original_text(&self) -> &str {
        &self.original_text
    }

    /// Returns the text with all changes.
    pub(crate) fn text(&self) -> String {
        let text = match &self.preamble {
            Some(_) if self.document.is_empty() => return self.original_text.clone(),
            Some(preamble) => format!("{preamble}{}", self.document),
            None => self.document.to_string(),
        };
        if is_crlf(&self.original_text) { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text }
    }

    /// Returns the names of the profiles, in the order of the file.
    pub(crate) fn profile_names(&self) -> Vec<String> {
        self.names("profiles")
    }

    /// Returns the names of the sources, in the order of the file.
    pub(crate) fn source_names(&self) -> Vec<String> {
        self.names("sources")
    }

    /// Returns the names of variables in `pass` of `[environment]`.
    pub(crate) fn passed_variables(&self) -> Vec<String> {
        let table = self.document.get("environment").and_then(Item::as_table_like);
        let names = table.and_then(|table| table.get("pass")?.as_array());
        names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Returns a profile, or `None` if it does not exist or one of the client's keys is malformed.
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

    /// Adds a profile, or updates its keys in place. Keys that [`ProfileEntry`] does not have stay.
    pub(crate) fn set_profile(&mut self, name: &str, entry: &ProfileEntry) -> Result<(), ConfigFileError> {
        let path = &self.path;
        let profiles = child_table(path, self.document.as_table_mut(), "profiles", true)?;
        let table = child_table(path, profiles, name, false)?;
        // A given certificate authority belongs to its server.
        let old_server = table.get("server").and_then(Item::as_str);
        if entry.ca_sha256.is_none() || entry.server.is_none() || entry.server.as_deref() != old_server {
            table.remove("certificate_authority_data");
        }
        let via: Array = entry.via.iter().map(RoleArn::as_str).collect();
        set_key(table, "cluster", Some(entry.cluster.as_str().into()));
        set_key(table, "region", Some(entry.region.as_str().into()));
        set_key(table, "source", Some(entry.source.as_str().into()));
        set_key(table, "role_arn", entry.role_arn.as_ref().map(|arn| arn.as_str().into()));
        set_key(table, "via", (!via.is_empty()).then(|| via.into()));
        set_key(table, "external_id", entry.external_id.as_ref().map(|id| id.as_str().into()));
        set_key(table, "session_name", entry.session_name.as_deref().map(Into::into));
        set_key(table, "duration", entry.duration.as_deref().map(Into::into));
        entry.inputs.write(table);
        set_key(table, "server", entry.server.as_deref().map(Into::into));
        set_key(table, "ca_sha256", entry.ca_sha256.as_deref().map(Into::into));
        Ok(())
    }

    /// Returns the pin mode of a profile: its own, or that of `[defaults]`.
    pub(crate) fn pin_mode(&self, name: &str) -> Option<&str> {
        let profile = self.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
        let defaults = self.document.get("defaults").and_then(Item::as_table_like);
        profile.get("pin").or_else(|| defaults?.get("pin"))?.as_str()
    }

    /// Whether a profile is marked as protected, in an included file if it comes from one.
    pub(crate) fn is_protected(&self, name: &str) -> bool {
        let of = |file: &ConfigFile| {
            let table = file.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
            Some(table.get("protected").and_then(Item::as_bool).unwrap_or(false))
        };
        let of_included = || self.included_file(name).and_then(|(_, file)| of(file));
        of(self).or_else(of_included).unwrap_or(false)
    }

    /// Marks an existing profile as protected.
    pub(crate) fn set_protected(&mut self, name: &str) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_like_mut);
        if let Some(table) = profile {
            set_key(table, "protected", Some(true.into()));
        }
    }

    /// Returns a profile's entry key, if it has a well-formed one. That of an included profile is in `[included.NAME]`.
    pub(crate) fn entry_key(&self, name: &str) -> Option<EntryKey> {
        self.server_table(name)?.get("entry_key")?.as_str()?.parse().ok()
    }

    /// Returns a profile's entry key, which becomes `new` if it is missing or malformed. `None` without such a profile.
    pub(crate) fn entry_key_or_set(&mut self, name: &str, new: &EntryKey) -> Option<EntryKey> {
        if let Some(existing) = self.entry_key(name) {
            return Some(existing);
        }
        let table = self.server_table_mut(name)?;
        set_key(table, "entry_key", Some(new.to_text().expose().as_str().into()));
        Some(new.clone())
    }

    /// Moves a profile's entry key behind its other keys, where it was before the pin was written again.
    pub(crate) fn move_entry_key_last(&mut self, name: &str) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_mut);
        if let Some(table) = profile
            && let Some((key, item)) = table.remove_entry("entry_key")
        {
            table.insert_formatted(&key, item);
        }
    }

    /// Returns the configurations of other daemons that `rolecall token` may use.
    pub(crate) fn trusted_configs(&self) -> Vec<PathBuf> {
        let client = self.document.get("client").and_then(Item::as_table_like);
        let paths = client.and_then(|client| client.get("trusted_configs")).and_then(Item::as_array);
        paths.into_iter().flatten().filter_map(|path| path.as_str().map(PathBuf::from)).collect()
    }

    /// Returns the server URL and the certificate authority, in base64, that the user gave to `rolecall add`.
    pub(crate) fn given_server(&self, name: &str) -> Option<(&str, &str)> {
        let table = self.server_table(name)?;
        let text = |key| table.get(key).and_then(Item::as_str);
        Some((text("server")?, text("certificate_authority_data")?))
    }

    /// Records that the server of an existing profile was given with this certificate authority; `None` if AWS described it.
    pub(crate) fn set_given_ca(&mut self, name: &str, ca_data: Option<&str>) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_like_mut);
        if let Some(table) = profile {
            set_key(table, "certificate_authority_data", ca_data.map(Into::into));
        }
    }

    /// Removes a profile and the comment directly above it. Returns whether the profile existed.
    pub(crate) fn remove_profile(&mut self, name: &str) -> bool {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let Some(removed) = profiles.and_then(|profiles| profiles.remove(name)) else { return false };
        if let Item::Table(table) = removed {
            self.keep_comments_above(&table);
        }
        true
    }

    /// Gives a profile another name, in its place in the file. Returns whether the profile existed.
    pub(crate) fn rename_profile(&mut self, old: &str, new: &str) -> bool {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let Some(profiles) = profiles else { return false };
        // A table with a header has a position, which decides where it is written.
        let Some(profile) = profiles.remove(old) else { return false };
        profiles.insert(new, profile);
        true
    }

    /// Returns the session duration for profiles without their own.
    pub(crate) fn default_duration(&self) -> Option<String> {
        let defaults = self.document.get("defaults")?.as_table_like()?;
        defaults.get("duration")?.as_str().map(str::to_owned)
    }

    fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigFileError> {
        let document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| malformed(path, text, &e))?;
        let preamble = document.is_empty().then(|| match text.trim() {
            "" => NEW_FILE_HEADER.to_owned(),
            comments => format!("{comments}\n\n"),
        });
        let document = if preamble.is_some() { DocumentMut::new() } else { document };
        Ok(ConfigFile {
            path: path.to_owned(),
            document,
            original_text: text.to_owned(),
            preamble,
            included: OnceLock::new(),
        })
    }

    fn names(&self, key: &str) -> Vec<String> {
        let table = self.document.get(key).and_then(Item::as_table_like);
        table.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default()
    }

    /// Keeps the comments above a removed table that a blank line separates from it, such as the header of the file.
    /// They move to the next table, or to the end of the file.
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
        for_each_table(self.document.as_table_mut(), &mut |table| {
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
        for_each_table(self.document.as_table_mut(), &mut |table| {
            if table.position() == Some(next) {
                let prefix = join(table.decor().prefix().and_then(RawString::as_str).unwrap_or_default());
                table.decor_mut().set_prefix(prefix);
            }
        });
    }
}

impl ConfigFileError {
    /// Returns how the error says that the file is unchanged.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        match self {
            ConfigFileError::File(error) => error.untouched(),
            ConfigFileError::Included { .. } => Some(Untouched::NothingChanged),
            ConfigFileError::Malformed { .. }
            | ConfigFileError::NotATable { .. }
            | ConfigFileError::NotAnArray { .. } => Some(Untouched::LeftAsItWas),
        }
    }

    /// Returns what the user can do next.
    pub(crate) fn advice(&self) -> String {
        match self {
            ConfigFileError::File(error) => error.advice(),
            ConfigFileError::Malformed { .. } => "Fix that line and run the command again.".to_owned(),
            ConfigFileError::NotATable { key, .. } => {
                format!("Write it as [{key}.NAME]; see: man rolecall-config")
            }
            ConfigFileError::Included { kind: "profile", name, .. } => {
                format!(
                    "Change that file, or override the profile in your configuration: rolecall add {name} --replace"
                )
            }
            ConfigFileError::Included { .. } => "Change that file.".to_owned(),
            ConfigFileError::NotAnArray { key, .. } => {
                format!("Write it as {key} = [\"PATH\"]; see: man rolecall-config")
            }
        }
    }
}

/// Returns the table under a key, and creates it if it is missing. An `implicit` table has no header of its own in the
/// file.
fn child_table<'a>(
    path: &Path,
    parent: &'a mut dyn TableLike,
    key: &str,
    implicit: bool,
) -> Result<&'a mut dyn TableLike, ConfigFileError> {
    if !parent.contains_key(key) {
        let mut table = Table::new();
        table.set_implicit(implicit);
        // If the parent is an inline table, toml_edit converts the new table to an inline one.
        parent.insert(key, Item::Table(table));
    }
    let found = parent.get_mut(key).and_then(Item::as_table_like_mut);
    found.ok_or_else(|| ConfigFileError::NotATable { path: path.to_owned(), key: key.to_owned() })
}

/// Calls `see` with every table that has a header of its own in the file.
fn for_each_table(table: &mut Table, see: &mut dyn FnMut(&mut Table)) {
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(table) => {
                if !table.is_implicit() && !table.is_dotted() {
                    see(table);
                }
                for_each_table(table, see);
            }
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| {
                see(table);
                for_each_table(table, see);
            }),
            Item::Value(_) | Item::None => {}
        }
    }
}

/// Converts an error of the TOML library. Its short message does not quote the file.
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

/// Whether every line break is CRLF.
fn is_crlf(text: &str) -> bool {
    text.contains('\n') && text.matches('\n').count() == text.matches("\r\n").count()
}

#[cfg(test)]
mod tests;
