//! Reads a configuration a section at a time.
//!
//! A document of ten thousand profiles, parsed as a whole, takes twenty times its size for a moment; the allocator gives
//! little of that back, and the daemon would carry it for days. So a profile's section is parsed, checked and put away
//! before the next is looked at, and the text is never in memory as a whole.
//!
//! This reads what is plain and right, and nothing else: for whatever is odd or wrong there is no answer, and the whole
//! document has the last word, also on where a mistake is.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Seek};
use std::sync::Arc;

use rolecall_protocol::{MAX_CONFIG_BYTES, ProfileName};

use super::schema::{RawPiece, RawShared};
use super::{Config, Interner, ProfileConfig};

/// How a profile's section begins.
const PROFILE: &str = "[profiles.";

/// The profiles so far.
#[derive(Default)]
struct Profiles {
    valid: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    interner: Interner,
}

/// Reads twice: first what the profiles go by, which may stand anywhere, then the profiles.
pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Option<Config> {
    let mut shared = String::new();
    sections(reader, |section| {
        if !section.starts_with(PROFILE) {
            shared.push_str(section);
        }
        Some(())
    })?;
    let shared: RawShared = toml::from_str(&shared).ok()?;
    let mut profiles = Profiles::default();
    reader.rewind().ok()?;
    sections(reader, |section| if section.starts_with(PROFILE) { profiles.add(section, &shared) } else { Some(()) })?;
    let (network, lock) = (Arc::new(shared.network().ok()?), shared.lock_times());
    let notifications = shared.notifications();
    Some(Config { sources: shared.valid_sources().ok()?, profiles: profiles.valid, network, lock, notifications })
}

impl Profiles {
    fn add(&mut self, section: &str, shared: &RawShared) -> Option<()> {
        let piece: RawPiece = toml::from_str(section).ok()?;
        for (name, profile) in piece.profiles {
            let valid = profile.valid(shared, &mut self.interner).ok()?;
            if self.valid.insert(name, Arc::new(valid)).is_some() {
                return None; // a table may be there once
            }
        }
        Some(())
    }
}

/// Cuts the text where a line begins with a bracket. That is a table's header, or else within a value of several lines:
/// such a string ends the reading, and such an array makes no sense in two halves.
fn sections(reader: &mut impl BufRead, mut each: impl FnMut(&str) -> Option<()>) -> Option<()> {
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
