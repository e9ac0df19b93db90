//! The configuration file in memory: its TOML document with comments, order and spelling.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rolecall_protocol::MAX_CONFIG_BYTES;
use toml_edit::{DocumentMut, Item, RawString, Table, TableLike};

use super::error::ConfigFileError;
use crate::files::atomic_file;

/// The comment at the top of a new file.
pub(crate) const NEW_FILE_HEADER: &str = "\
# The configuration of Rolecall: profiles, and the sources they sign in with. Described in `man rolecall-config`.
# `rolecall add` and `rolecall remove` edit it and keep comments; a valid change is in force within a second.

";

/// A configuration file in memory.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) document: DocumentMut,
    /// The text that was parsed.
    original_text: String,
    /// The text before the first table, if the parsed text has only comments or nothing: toml_edit would write a new
    /// table above them.
    preamble: Option<String>,
    /// The included files, if they were read.
    pub(super) included: OnceLock<Vec<(PathBuf, ConfigFile)>>,
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

    /// Returns the names of variables in `pass` of `[environment]`.
    pub(crate) fn passed_variables(&self) -> Vec<String> {
        let table = self.document.get("environment").and_then(Item::as_table_like);
        let names = table.and_then(|table| table.get("pass")?.as_array());
        names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Returns the configurations of other daemons that `rolecall token` may use.
    pub(crate) fn trusted_configs(&self) -> Vec<PathBuf> {
        let client = self.document.get("client").and_then(Item::as_table_like);
        let paths = client.and_then(|client| client.get("trusted_configs")).and_then(Item::as_array);
        paths.into_iter().flatten().filter_map(|path| path.as_str().map(PathBuf::from)).collect()
    }

    /// Returns the session duration for profiles without their own.
    pub(crate) fn default_duration(&self) -> Option<String> {
        let defaults = self.document.get("defaults")?.as_table_like()?;
        defaults.get("duration")?.as_str().map(str::to_owned)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigFileError> {
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

    pub(super) fn names(&self, key: &str) -> Vec<String> {
        let table = self.document.get(key).and_then(Item::as_table_like);
        table.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default()
    }

    /// Keeps the comments above a removed table that a blank line separates from it, such as the header of the file.
    /// They move to the next table, or to the end of the file.
    pub(super) fn keep_comments_above(&mut self, removed: &Table) {
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

/// Returns the table under a key, and creates it if it is missing. An `implicit` table has no header of its own in the
/// file.
pub(super) fn child_table<'a>(
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
pub(super) fn for_each_table(table: &mut Table, see: &mut dyn FnMut(&mut Table)) {
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
