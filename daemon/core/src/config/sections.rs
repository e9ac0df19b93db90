//! Parses a configuration section by section, in little memory.
//!
//! Parsing a document of 10,000 profiles (2.7 MB) as a whole leaves 39 MB resident, because the allocator returns little
//! memory to the operating system. Section by section it leaves 6.4 MB: this module parses and validates the section of
//! one profile before it reads the next one, and never holds the whole text.
//!
//! It reads only valid files in the usual layout. For any other file it returns `None`, and the caller parses the whole
//! document, which also gives errors with line and key.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Seek};
use std::sync::Arc;

use rolecall_protocol::{MAX_CONFIG_BYTES, ProfileName};

use super::schema::{RawProfileSection, RawShared, check_size};
use super::{Config, Interner, ProfileConfig};

/// The beginning of a profile's section.
const PROFILE_HEADER: &str = "[profiles.";

/// The profiles that are read so far.
#[derive(Default)]
struct Profiles {
    valid: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    interner: Interner,
}

/// Reads the file twice: first the tables that profiles depend on, which may be anywhere in it, then the profiles.
pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Option<Config> {
    let mut shared = String::new();
    for_each_section(reader, |section| {
        if !section.starts_with(PROFILE_HEADER) {
            shared.push_str(section);
        }
        Some(())
    })?;
    check_size(&shared).ok()?;
    let shared: RawShared = toml::from_str(&shared).ok()?;
    let mut profiles = Profiles::default();
    reader.rewind().ok()?;
    for_each_section(reader, |section| {
        if section.starts_with(PROFILE_HEADER) { profiles.add(section, &shared) } else { Some(()) }
    })?;
    let (network, lock) = (Arc::new(shared.network().ok()?), shared.lock_times());
    let (notifications, audit_to_syslog) = (shared.notifications(), shared.audit_to_syslog());
    let confirm_program = shared.confirm_program();
    let sources = shared.valid_sources().ok()?;
    let profiles = profiles.valid;
    Some(Config { sources, profiles, network, lock, notifications, audit_to_syslog, confirm_program })
}

impl Profiles {
    fn add(&mut self, section: &str, shared: &RawShared) -> Option<()> {
        check_size(section).ok()?;
        let parsed: RawProfileSection = toml::from_str(section).ok()?;
        for (name, profile) in parsed.profiles {
            let valid = profile.validate(shared, &mut self.interner).ok()?;
            if self.valid.insert(name, Arc::new(valid)).is_some() {
                return None; // a duplicate table
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
