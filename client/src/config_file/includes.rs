//! `include`: which files the configuration includes, what they have, and what the user's own file says about their profiles.
//! Included files are only read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rolecall_protocol::{IncludePattern, InvalidIncludePattern, included_paths, location};
use toml_edit::{Array, Item, RawString, TableLike, Value};

use super::document::{ConfigFile, child_table, for_each_table};
use super::error::ConfigFileError;
use super::profiles::ProfileEntry;
use super::table::set_key;

impl ConfigFile {
    /// Returns the patterns of the included files, without malformed ones.
    pub(crate) fn include_patterns(&self) -> Vec<IncludePattern> {
        let patterns = self.document.get("include").and_then(Item::as_array);
        patterns.into_iter().flatten().filter_map(|pattern| pattern.as_str()?.parse().ok()).collect()
    }

    /// Adds a pattern. Returns whether it is new.
    pub(crate) fn add_include(&mut self, pattern: &IncludePattern) -> Result<bool, ConfigFileError> {
        if self.include_patterns().contains(pattern) {
            return Ok(false);
        }
        if !self.document.contains_key("include") {
            let header = self.take_header();
            self.document.insert("include", Item::Value(Array::new().into()));
            if let Some(mut key) = self.document.key_mut("include") {
                key.leaf_decor_mut().set_prefix(header);
            }
        }
        let Some(patterns) = self.document.get_mut("include").and_then(Item::as_array_mut) else {
            return Err(ConfigFileError::NotAnArray { path: self.path.clone(), key: "include".to_owned() });
        };
        // On a line of its own, as the last one.
        let last = patterns.iter().last().map(|last| prefix_of(last).to_owned());
        match last {
            Some(last) => {
                let line = last.rfind('\n').map_or(" ", |at| &last[at..]);
                let mut value = Value::from(pattern.as_str());
                value.decor_mut().set_prefix(line);
                patterns.push_formatted(value);
            }
            None => patterns.push(pattern.as_str()),
        }
        Ok(true)
    }

    /// Removes the patterns that name this file. Returns them.
    pub(crate) fn remove_include(&mut self, pattern: &IncludePattern) -> Vec<String> {
        let home = location::home().unwrap_or_default();
        let path = pattern.path(&self.path, &home);
        let own_path = self.path.clone();
        let names_it = |value: &Value| {
            let named = value.as_str().and_then(|text| text.parse::<IncludePattern>().ok());
            named.filter(|named| named == pattern || named.path(&own_path, &home) == path)
        };
        let Some(patterns) = self.document.get_mut("include").and_then(Item::as_array_mut) else { return Vec::new() };
        let mut removed = Vec::new();
        let mut index = 0;
        while let Some(value) = patterns.get(index) {
            let Some(named) = names_it(value) else {
                index += 1;
                continue;
            };
            let comment = comment_of(value);
            removed.push(String::from(named));
            patterns.remove(index);
            if let Some(next) = patterns.get_mut(index) {
                let prefix = comment + prefix_of(next);
                next.decor_mut().set_prefix(prefix);
            } else {
                let trailing = comment + patterns.trailing().as_str().unwrap_or_default();
                patterns.set_trailing(trailing);
            }
        }
        removed
    }

    /// Returns the names of all profiles: those of the configuration itself, then those of included files.
    pub(crate) fn all_profile_names(&self) -> Vec<String> {
        self.profile_names().into_iter().chain(self.included_profiles().into_keys()).collect()
    }

    /// Returns a profile of the configuration itself or of an included file, with the user's pin. `None` if it does not exist or
    /// one of the client's keys is malformed.
    pub(crate) fn profile_in_force(&self, name: &str) -> Option<ProfileEntry> {
        let Some((_, file)) = self.included_file(name) else { return self.profile(name) };
        let text = |key| self.server_table(name).and_then(|table| table.get(key)?.as_str()).map(str::to_owned);
        Some(ProfileEntry { server: text("server"), ca_sha256: text("ca_sha256"), ..file.profile(name)? })
    }

    /// Returns the included file that a profile comes from.
    pub(super) fn included_file(&self, profile: &str) -> Option<&(PathBuf, ConfigFile)> {
        let own = self.document.get("profiles").and_then(Item::as_table_like);
        if own.is_some_and(|own| own.contains_key(profile)) { None } else { self.file_with(profile) }
    }

    /// Returns the profiles of included files that the configuration itself does not have, with their files. A file that cannot
    /// be read has none: the daemon reports why.
    fn included_profiles(&self) -> BTreeMap<String, PathBuf> {
        self.included_names("profiles")
    }

    /// Returns the sources of included files, as [`Self::included_profiles`] does.
    pub(crate) fn included_sources(&self) -> BTreeMap<String, PathBuf> {
        self.included_names("sources")
    }

    /// Returns the included file that has a profile, if the configuration itself does not have it.
    pub(crate) fn included_from(&self, profile: &str) -> Option<PathBuf> {
        self.included_file(profile).map(|(path, _)| path.clone())
    }

    /// Returns the included file that has a profile of this name, even if the configuration itself overrides it.
    pub(crate) fn overridden(&self, profile: &str) -> Option<PathBuf> {
        self.file_with(profile).map(|(path, _)| path.clone())
    }

    /// Errors if a profile comes from an included file.
    pub(crate) fn check_own_profile(&self, name: &str) -> Result<(), ConfigFileError> {
        match self.included_from(name) {
            Some(path) => Err(ConfigFileError::Included { kind: "profile", name: name.to_owned(), path }),
            None => Ok(()),
        }
    }

    /// Errors if a source comes from an included file.
    pub(crate) fn check_own_source(&self, name: &str) -> Result<(), ConfigFileError> {
        match self.included_sources().remove(name) {
            Some(path) => Err(ConfigFileError::Included { kind: "source", name: name.to_owned(), path }),
            None => Ok(()),
        }
    }

    /// Writes the API server and its CA into `[included.NAME]`, the part of an included profile that belongs to the user.
    pub(crate) fn set_included_server(
        &mut self,
        name: &str,
        server: Option<(&str, &str)>,
    ) -> Result<(), ConfigFileError> {
        let included = child_table(&self.path, self.document.as_table_mut(), "included", true)?;
        let table = child_table(&self.path, included, name, false)?;
        if let Some((url, ca_sha256)) = server {
            if table.get("server").and_then(Item::as_str) != Some(url) {
                table.remove("certificate_authority_data");
            }
            set_key(table, "server", Some(url.into()));
            set_key(table, "ca_sha256", Some(ca_sha256.into()));
        }
        Ok(())
    }

    /// Returns the table with the API server and the entry key of a profile: its own, or `[included.NAME]`.
    pub(super) fn server_table(&self, name: &str) -> Option<&dyn TableLike> {
        let table = |key: &str| self.document.get(key)?.as_table_like()?.get(name)?.as_table_like();
        table("profiles").or_else(|| table("included"))
    }

    pub(super) fn server_table_mut(&mut self, name: &str) -> Option<&mut dyn TableLike> {
        let has_own =
            self.document.get("profiles").and_then(Item::as_table_like).is_some_and(|all| all.contains_key(name));
        let key = if has_own { "profiles" } else { "included" };
        self.document.get_mut(key)?.as_table_like_mut()?.get_mut(name)?.as_table_like_mut()
    }

    fn included_names(&self, key: &str) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for (path, file) in self.included_files() {
            let own = self.document.get(key).and_then(Item::as_table_like);
            for name in file.names(key).into_iter().filter(|name| own.is_none_or(|own| !own.contains_key(name))) {
                found.entry(name).or_insert_with(|| path.clone());
            }
        }
        found
    }

    /// Returns the included file that has a profile.
    fn file_with(&self, profile: &str) -> Option<&(PathBuf, ConfigFile)> {
        let has_it = |file: &ConfigFile| Some(file.document.get("profiles")?.as_table_like()?.contains_key(profile));
        self.included_files().iter().find(|(_, file)| has_it(file) == Some(true))
    }

    /// Returns the included files that can be read. They are read once.
    fn included_files(&self) -> &[(PathBuf, ConfigFile)] {
        self.included.get_or_init(|| {
            let patterns = self.include_patterns();
            // Most configurations have none, and need no home folder.
            if patterns.is_empty() {
                return Vec::new();
            }
            let home = location::home().unwrap_or_default();
            let found = included_paths(&patterns, &self.path, &home);
            let readable = found.into_iter().filter(|found| found.problem.is_none());
            readable.filter_map(|found| Some((found.path.clone(), ConfigFile::load(&found.path).ok()?))).collect()
        })
    }

    /// Takes the comments at the top of the file, which a blank line separates from the first table, off that table.
    fn take_header(&mut self) -> String {
        let mut first = None;
        for_each_table(self.document.as_table_mut(), &mut |table| {
            if first.is_none() || table.position() < first {
                first = table.position();
            }
        });
        let mut header = String::new();
        for_each_table(self.document.as_table_mut(), &mut |table| {
            if table.position() != first {
                return;
            }
            let prefix = table.decor().prefix().and_then(RawString::as_str).unwrap_or_default().replace("\r\n", "\n");
            let end = prefix.rfind("\n\n").map_or(0, |at| at + 2);
            prefix[..end].clone_into(&mut header);
            table.decor_mut().set_prefix(format!("\n{}", &prefix[end..]));
        });
        header
    }
}

/// Returns what stands before a value of an array: a space, or a line break with the comments before it.
fn prefix_of(value: &Value) -> &str {
    value.decor().prefix().and_then(RawString::as_str).unwrap_or_default()
}

/// Returns the comments before a value of an array, without the line of the value itself.
fn comment_of(value: &Value) -> String {
    let prefix = prefix_of(value);
    if prefix.contains('#') { prefix[..prefix.rfind('\n').unwrap_or_default()].to_owned() } else { String::new() }
}

/// Returns the pattern for a path on the command line: absolute, and with `~` for the home folder. Errors with a
/// continuation of the path.
pub(crate) fn pattern_of(path: &Path) -> Result<IncludePattern, String> {
    let not_text = || "is not UTF-8 text".to_owned();
    if let Some(text) = path.to_str().filter(|text| text.starts_with('~')) {
        return text.parse().map_err(|error: InvalidIncludePattern| error.to_string());
    }
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let home = location::home().ok();
    let text = match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.to_str().ok_or_else(not_text)?),
        None => path.to_str().ok_or_else(not_text)?.to_owned(),
    };
    text.parse().map_err(|error: InvalidIncludePattern| error.to_string())
}
