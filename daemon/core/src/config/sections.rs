//! Parses a configuration section by section, in little memory.
//!
//! Parsing a document of 10,000 profiles (2.7 MB) as a whole leaves 39 MB resident, because the allocator returns little
//! memory to the operating system. Section by section it leaves 6.4 MB: this module parses and validates the section of
//! one profile before it reads the next one, and never holds the whole text.
//!
//! It reads only valid files in the usual layout. For any other file it returns `None`, and the caller parses the whole
//! document, which also gives errors with line and key.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Read, Seek};
use std::sync::Arc;

use rolecall_protocol::{MAX_CONFIG_BYTES, ProfileName};

use serde::de::DeserializeOwned;

use super::included::{IncludeContext, IncludedFile, UserPin};
use super::interner::Interner;
use super::schema::{ProfileRules, RawIncluded, RawProfileSection, RawShared, check_size};
use super::{Config, ProfileConfig};

/// The beginning of the sections that belong to one profile.
const PROFILE_HEADERS: [&str; 2] = ["[profiles.", "[included."];

/// The profiles that are read so far.
#[derive(Default)]
struct Profiles {
    valid: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    pins: BTreeMap<ProfileName, UserPin>,
    interner: Interner,
}

/// Reads the file twice: first the tables that profiles depend on, which may be anywhere in it, then the profiles.
pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Option<(Config, IncludeContext)> {
    let shared: RawShared = read_shared(reader)?;
    let mut profiles = Profiles::default();
    let rules = shared.rules();
    for_each_profile(reader, |section| profiles.add(section, &rules))?;
    shared.into_config(profiles.valid, profiles.pins).ok()
}

/// Reads an included file, as [`read`] does with the configuration.
pub(super) fn read_included(text: &str, context: &IncludeContext) -> Option<IncludedFile> {
    let mut reader = Cursor::new(text);
    let shared: RawIncluded = read_shared(&mut reader)?;
    if !shared.profiles.is_empty() {
        return None; // not the usual layout
    }
    let mut profiles = Profiles::default();
    let defaults = shared.defaults(&context.defaults).ok()?;
    let rules = ProfileRules { defaults: &defaults, network: &context.network, sources: None };
    for_each_profile(&mut reader, |section| profiles.add_included(section, &rules, context))?;
    let sources = shared.valid_sources().ok()?;
    Some(IncludedFile { sources, profiles: profiles.valid })
}

/// Reads the sections that belong to no profile.
fn read_shared<T: DeserializeOwned>(reader: &mut (impl BufRead + Seek)) -> Option<T> {
    let mut shared = String::new();
    for_each_section(reader, |section| {
        if !is_of_profile(section) {
            shared.push_str(section);
        }
        Some(())
    })?;
    check_size(&shared).ok()?;
    toml::from_str(&shared).ok()
}

fn for_each_profile(
    reader: &mut (impl BufRead + Seek),
    mut each: impl FnMut(RawProfileSection) -> Option<()>,
) -> Option<()> {
    reader.rewind().ok()?;
    for_each_section(reader, |section| {
        if !is_of_profile(section) {
            return Some(());
        }
        check_size(section).ok()?;
        each(toml::from_str(section).ok()?)
    })
}

fn is_of_profile(section: &str) -> bool {
    PROFILE_HEADERS.iter().any(|header| section.starts_with(header))
}

impl Profiles {
    fn add(&mut self, section: RawProfileSection, rules: &ProfileRules<'_>) -> Option<()> {
        for (name, pin) in section.included {
            if self.pins.insert(name, pin.validate().ok()?).is_some() {
                return None; // a duplicate table
            }
        }
        for (name, profile) in section.profiles {
            let valid = profile.validate(rules, &mut self.interner).ok()?;
            if self.valid.insert(name, Arc::new(valid)).is_some() {
                return None;
            }
        }
        Some(())
    }

    fn add_included(
        &mut self,
        section: RawProfileSection,
        rules: &ProfileRules<'_>,
        user: &IncludeContext,
    ) -> Option<()> {
        if !section.included.is_empty() {
            return None;
        }
        for (name, profile) in section.profiles {
            let valid = profile.validate_included(rules, &user.defaults, &mut self.interner).ok()?;
            if self.valid.insert(name, Arc::new(valid)).is_some() {
                return None;
            }
        }
        Some(())
    }
}

/// Splits the text before each line that begins with a bracket: the header of a table. Within a value of several lines such
/// a line is no header. A string of several lines therefore ends the reading, and an array is invalid in two parts.
fn for_each_section(reader: &mut impl BufRead, mut each: impl FnMut(&str) -> Option<()>) -> Option<()> {
    let mut reader = reader.take(MAX_CONFIG_BYTES as u64 + 1);
    let mut section = String::new();
    loop {
        let begin = section.len();
        let length = reader.read_line(&mut section).ok()?;
        let (before, line) = section.split_at(begin);
        if line.contains("\"\"\"") || line.contains("'''") || reader.limit() == 0 {
            return None;
        }
        if length == 0 {
            return each(before);
        }
        if line.starts_with('[') {
            each(before)?;
            section.drain(..begin);
        }
    }
}
