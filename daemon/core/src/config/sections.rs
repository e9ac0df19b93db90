//! Parses a configuration section by section, in little memory.
//!
//! Parsing a document of 10,000 profiles (2.7 MB) as a whole leaves 39 MB resident, because the allocator returns little
//! memory to the operating system. Section by section it leaves 6.4 MB: this module parses and validates the section of
//! one profile before it reads the next one, and never holds the whole text.
//!
//! It reads only files in the usual layout: the table of each profile begins with `[profiles.NAME]` at the start of a line. For
//! any other file it returns an error, and the caller parses the whole document if that is small.

mod split;

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;
use std::sync::Arc;

use rolecall_protocol::ProfileName;

use serde::de::DeserializeOwned;

use super::included::{IncludeContext, IncludedFile, UserPin};
use super::interner::Interner;
use super::schema::{
    MAX_BYTES_AT_ONCE, MAX_MARKS, MAX_MARKS_AT_ONCE, ProfileRules, RawConfig, RawIncluded, RawProfileSection,
    count_marks, deserialize, too_large_table,
};
use super::{Config, ConfigError, MAX_PROFILES, ProfileConfig};
use split::{Section, for_each_section};

/// The beginning of the sections that belong to one profile.
const PROFILE_HEADERS: [&str; 2] = ["[profiles.", "[included."];

/// The profiles that are read so far.
#[derive(Default)]
struct Profiles {
    valid: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    pins: BTreeMap<ProfileName, UserPin>,
    interner: Interner,
}

/// Reads the file twice: first the tables that profiles depend on, which may be anywhere in it, then the profiles. `path` is for
/// the error only.
pub(super) fn read(path: &Path, reader: &mut (impl BufRead + Seek)) -> Result<(Config, IncludeContext), ConfigError> {
    let shared = Shared::read(path, reader)?;
    let raw: RawConfig = shared.parse(path)?;
    shared.check_layout(path, raw.profiles.is_some(), raw.included.is_some())?;
    let mut profiles = Profiles::default();
    let rules = raw.rules();
    for_each_profile(path, reader, |text, section| profiles.add(path, text, section, &rules))?;
    raw.into_config(profiles.valid, profiles.pins).map_err(|error| shared.error(path, error))
}

/// Reads an included file, as [`read`] does with the configuration.
pub(super) fn read_included(path: &Path, text: &str, context: &IncludeContext) -> Result<IncludedFile, ConfigError> {
    let mut reader = Cursor::new(text);
    let shared = Shared::read(path, &mut reader)?;
    let raw: RawIncluded = shared.parse(path)?;
    shared.check_layout(path, raw.profiles.is_some(), false)?;
    let mut profiles = Profiles::default();
    let defaults = raw.defaults(&context.defaults).map_err(|error| shared.error(path, error))?;
    let rules = ProfileRules { defaults: &defaults, network: &context.network, sources: None };
    for_each_profile(path, &mut reader, |text, section| profiles.add_included(path, text, section, &rules, context))?;
    let sources = raw.valid_sources().map_err(|error| shared.error(path, error))?;
    Ok(IncludedFile { sources, profiles: profiles.valid })
}

/// The sections that belong to no profile.
#[derive(Default)]
struct Shared {
    text: String,
    /// For each section, the number of lines before it in `text` and in the file.
    lines: Vec<(usize, usize)>,
}

impl Shared {
    fn read(path: &Path, reader: &mut (impl BufRead + Seek)) -> Result<Self, ConfigError> {
        let (mut shared, mut lines, mut marks) = (Self::default(), 0, 0);
        rewind(path, reader)?;
        for_each_section(path, reader, |section| {
            marks += count_marks(section.text);
            if marks > MAX_MARKS {
                return Err(ConfigError::of_file(path, format!("has more than {MAX_MARKS} marks")));
            }
            if is_of_profile(section.text) {
                return Ok(());
            }
            shared.lines.push((lines, section.lines_before));
            lines += section.text.matches('\n').count();
            shared.text.push_str(section.text);
            if shared.text.len() > MAX_BYTES_AT_ONCE {
                return Err(ConfigError::of_file(path, too_large_table()));
            }
            Ok(())
        })?;
        Ok(shared)
    }

    fn parse<T: DeserializeOwned>(&self, path: &Path) -> Result<T, ConfigError> {
        let error = match deserialize(path, &self.text) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => self.error_in_file(error),
        };
        let table = error.key.as_deref().and_then(|key| key.split('.').next());
        Err(match table {
            Some("profiles" | "included") => ConfigError { message: unusual_layout(), ..error },
            _ => error,
        })
    }

    /// Errors if the sections that belong to no profile have these tables.
    fn check_layout(&self, path: &Path, has_profiles: bool, has_included: bool) -> Result<(), ConfigError> {
        let key = match (has_profiles, has_included) {
            (true, _) => "profiles",
            (false, true) => "included",
            (false, false) => return Ok(()),
        };
        Err(self.error(path, (key.to_owned(), unusual_layout())))
    }

    fn error(&self, path: &Path, (key, message): (String, String)) -> ConfigError {
        self.error_in_file(ConfigError::at_key(path, &self.text, key, message))
    }

    /// Returns an error of the text as one of the file.
    fn error_in_file(&self, error: ConfigError) -> ConfigError {
        let line = error.line.map(|line| {
            let section = self.lines.iter().rev().find(|(before, _)| *before < line);
            section.map_or(line, |(here, in_file)| line - here + in_file)
        });
        ConfigError { line, ..error }
    }
}

fn for_each_profile(
    path: &Path,
    reader: &mut (impl BufRead + Seek),
    mut each: impl FnMut(&str, RawProfileSection) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    rewind(path, reader)?;
    for_each_section(path, reader, |section: Section<'_>| {
        if !is_of_profile(section.text) {
            return Ok(());
        }
        let parsed = deserialize(path, section.text).and_then(|parsed| each(section.text, parsed));
        parsed.map_err(|error| section.error_in_file(error))
    })
}

fn rewind(path: &Path, reader: &mut impl Seek) -> Result<(), ConfigError> {
    reader.rewind().map_err(|error| ConfigError::of_file(path, super::trusted_file::unreadable(&error)))
}

fn is_of_profile(section: &str) -> bool {
    PROFILE_HEADERS.iter().any(|header| section.starts_with(header))
}

fn unusual_layout() -> String {
    format!(
        "each profile of a file with more than {MAX_MARKS_AT_ONCE} marks needs a table of its own: [profiles.NAME], at the \
         start of a line"
    )
}

pub(super) fn too_many_profiles() -> String {
    format!("is one too many: the limit is {MAX_PROFILES} profiles")
}

fn duplicate() -> String {
    "is there twice".to_owned()
}

impl Profiles {
    /// Adds the profiles of a section. `path` and `text` are for the error only.
    fn add(
        &mut self,
        path: &Path,
        text: &str,
        section: RawProfileSection,
        rules: &ProfileRules<'_>,
    ) -> Result<(), ConfigError> {
        let fail = |key, message| ConfigError::at_key(path, text, key, message);
        for (name, pin) in section.included {
            let valid = pin.validate().map_err(|(key, message)| fail(format!("included.{name}.{key}"), message))?;
            if self.pins.insert(name.clone(), valid).is_some() {
                return Err(fail(format!("included.{name}"), duplicate()));
            }
        }
        for (name, profile) in section.profiles {
            let valid = profile.validate(rules, &mut self.interner);
            self.insert(name, valid).map_err(|(key, message)| fail(key, message))?;
        }
        Ok(())
    }

    fn add_included(
        &mut self,
        path: &Path,
        text: &str,
        section: RawProfileSection,
        rules: &ProfileRules<'_>,
        user: &IncludeContext,
    ) -> Result<(), ConfigError> {
        let fail = |key, message| ConfigError::at_key(path, text, key, message);
        if !section.included.is_empty() {
            return Err(ConfigError::of_file(path, "must not have the table included"));
        }
        for (name, profile) in section.profiles {
            let valid = profile.validate_included(rules, &user.defaults, &mut self.interner);
            self.insert(name, valid).map_err(|(key, message)| fail(key, message))?;
        }
        Ok(())
    }

    /// Adds a validated profile. Errors with a key and a message.
    fn insert(
        &mut self,
        name: ProfileName,
        validated: Result<ProfileConfig, (&'static str, String)>,
    ) -> Result<(), (String, String)> {
        let valid = validated.map_err(|(key, message)| (format!("profiles.{name}.{key}"), message))?;
        if self.valid.contains_key(&name) {
            return Err((format!("profiles.{name}"), duplicate()));
        }
        if self.valid.len() == MAX_PROFILES {
            return Err((format!("profiles.{name}"), too_many_profiles()));
        }
        self.valid.insert(name, Arc::new(valid));
        Ok(())
    }
}
