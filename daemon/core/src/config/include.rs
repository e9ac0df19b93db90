//! The files that `include` names: read, validated and merged into the configuration.
//!
//! An invalid file affects only itself: its last valid text stays in force. The configuration's own sources and profiles
//! override those of included files as a whole; the first of two included files with a profile of the same name wins, and
//! the second one has a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolecall_protocol::{IncludePattern, IncludedPath, MAX_CONFIG_BYTES, ProfileName, SourceName, included_paths};

use super::file::{self, Digest};
use super::included::{IncludeContext, IncludedFile, Origin, UserPin};
use super::interner::Interner;
use super::schema::{self, ProfileRules};
use super::validate::unknown_source;
use super::{Config, ConfigError, MAX_PROFILES, ProfileConfig, sections};

/// The last valid text of each included file.
#[derive(Debug, Default)]
pub struct LastValid(BTreeMap<PathBuf, Arc<str>>);

/// A configuration with its included files.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The patterns of the included files.
    pub patterns: Vec<IncludePattern>,
    /// The included files.
    pub includes: Vec<Include>,
}

/// An included file after it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The file.
    pub path: PathBuf,
    /// The number of its profiles that are in force.
    pub profiles: usize,
    /// The text that is in force.
    pub text: Option<Arc<str>>,
    /// What is wrong with the file.
    pub problem: Option<IncludeProblem>,
}

/// What is wrong with an included file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncludeProblem {
    /// The file is invalid.
    Invalid(ConfigError),
    /// One of its sources or profiles is not in force, and the others are.
    Entry(ConfigError),
}

/// The state of the configuration and its included files on disk, to see whether one of them has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest of the configuration; `None` if it cannot be read.
    pub config: Option<Digest>,
    includes: Vec<(IncludedPath, Result<Digest, String>)>,
}

impl IncludeProblem {
    /// Returns the error.
    #[must_use]
    pub const fn error(&self) -> &ConfigError {
        match self {
            Self::Invalid(error) | Self::Entry(error) => error,
        }
    }
}

/// Returns the fingerprint of the configuration at `path` with included files.
#[must_use]
pub fn fingerprint(path: &Path, patterns: &[IncludePattern], home: &Path) -> Fingerprint {
    let of_include = |found: IncludedPath| {
        let digest = file::try_digest(&found.path);
        (found, digest)
    };
    let includes = included_paths(patterns, path, home).into_iter().map(of_include).collect();
    Fingerprint { config: file::digest(path), includes }
}

/// Reads and validates the configuration and its included files. Errors if the configuration itself is invalid; a problem of
/// an included file is returned with the file. `last` has the texts of included files that were valid before.
pub fn load(path: &Path, home: &Path, last: &mut LastValid) -> Result<Loaded, ConfigError> {
    Ok(Loaded::of(file::load_with_context(path)?, path, home, last))
}

/// Parses the text of the configuration at `path`, and reads its included files.
pub fn parse(path: &Path, text: &str, home: &Path) -> Result<Loaded, ConfigError> {
    Ok(Loaded::of(Config::parse_with_context(path, text)?, path, home, &mut LastValid::default()))
}

impl Loaded {
    fn of((config, context): (Config, IncludeContext), path: &Path, home: &Path, last: &mut LastValid) -> Self {
        let mut merge = Merge {
            own: own_names(&config),
            config,
            context: &context,
            texts: BTreeMap::new(),
            size: TotalSize::default(),
        };
        let found = included_paths(&context.patterns, path, home);
        let includes = found.into_iter().map(|found| merge.include(found, last)).collect();
        last.0 = merge.texts;
        Self { config: merge.config, patterns: context.patterns, includes }
    }
}

/// The names that the configuration itself has.
struct OwnNames {
    sources: BTreeSet<SourceName>,
    profiles: BTreeSet<ProfileName>,
}

fn own_names(config: &Config) -> OwnNames {
    OwnNames { sources: config.sources.keys().cloned().collect(), profiles: config.profiles.keys().cloned().collect() }
}

/// A configuration to which included files are added.
struct Merge<'a> {
    config: Config,
    own: OwnNames,
    context: &'a IncludeContext,
    /// The valid texts so far.
    texts: BTreeMap<PathBuf, Arc<str>>,
    /// The size of the files so far.
    size: TotalSize,
}

/// The size of all included files together.
#[derive(Default)]
struct TotalSize {
    bytes: usize,
    marks: usize,
}

impl TotalSize {
    /// Adds a file. Errors if the files together are larger than the configuration may be.
    fn add(&mut self, text: &str) -> Result<(), String> {
        self.bytes += text.len();
        self.marks += schema::count_marks(text);
        if self.bytes > MAX_CONFIG_BYTES || self.marks > schema::MAX_MARKS {
            let (bytes, marks) = (MAX_CONFIG_BYTES >> 20, schema::MAX_MARKS);
            return Err(format!(
                "is not used: the included files together have more than {bytes} MiB or {marks} marks"
            ));
        }
        Ok(())
    }
}

impl Merge<'_> {
    /// Reads a file, and adds its last valid contents.
    fn include(&mut self, found: IncludedPath, last: &LastValid) -> Include {
        let IncludedPath { path, problem } = found;
        if let Some(message) = problem {
            let problem = Some(IncludeProblem::Invalid(ConfigError::of_file(&path, message)));
            return Include { path, profiles: 0, text: None, problem };
        }
        let before = last.0.get(&path);
        let (valid, problem) = match self.read(&path, before) {
            Ok(valid) => (Some(valid), None),
            Err(error) => {
                let valid = before.and_then(|text| Some((Arc::clone(text), self.parse(&path, text).ok()?)));
                (valid, Some(IncludeProblem::Invalid(error)))
            }
        };
        let Some((text, contents)) = valid else { return Include { path, profiles: 0, text: None, problem } };
        let (profiles, conflict) = self.add(&path, &text, contents);
        self.texts.insert(path.clone(), Arc::clone(&text));
        Include { path, profiles, text: Some(text), problem: problem.or(conflict.map(IncludeProblem::Entry)) }
    }

    /// Reads and validates a file. An equal text shares the allocation of the one before.
    fn read(&mut self, path: &Path, before: Option<&Arc<str>>) -> Result<(Arc<str>, IncludedFile), ConfigError> {
        let text = file::read_text(path).map_err(|message| ConfigError::of_file(path, message))?;
        // An editor or a checkout may be at work.
        if text.is_empty() && before.is_some() {
            return Err(ConfigError::of_file(path, "is empty; to remove all its profiles, write a comment into it"));
        }
        self.size.add(&text).map_err(|message| ConfigError::of_file(path, message))?;
        let contents = self.parse(path, &text)?;
        let text = before.filter(|before| ***before == *text).cloned().unwrap_or_else(|| text.into());
        Ok((text, contents))
    }

    fn parse(&self, path: &Path, text: &str) -> Result<IncludedFile, ConfigError> {
        match sections::read_included(path, text, self.context) {
            Err(_) if schema::is_small(text) => parse_whole(path, text, self.context),
            parsed => parsed,
        }
    }

    /// Adds the sources and profiles of a file that no other one has. Returns the number of profiles in force, and the first
    /// conflict.
    fn add(&mut self, path: &Path, text: &str, contents: IncludedFile) -> (usize, Option<ConfigError>) {
        let origin: Arc<Path> = path.into();
        let mut conflicts = Vec::new();
        let mut usable = self.own.sources.clone();
        for (name, source) in contents.sources {
            if self.own.sources.contains(&name) {
                self.config.origins.sources.entry(name).or_insert_with(|| Origin::Overrides(Arc::clone(&origin)));
                continue;
            }
            match (self.config.sources.get(&name), self.config.origins.sources.get(&name)) {
                (Some(other), Some(Origin::Included(first))) if *other != source => {
                    conflicts.push((format!("sources.{name}"), taken("source", first)));
                    continue;
                }
                (Some(_), _) => {}
                (None, _) => {
                    self.config.sources.insert(name.clone(), source);
                    self.config.origins.sources.insert(name.clone(), Origin::Included(Arc::clone(&origin)));
                }
            }
            usable.insert(name);
        }
        let mut count = 0;
        for (name, profile) in contents.profiles {
            if self.own.profiles.contains(&name) {
                self.config.origins.profiles.entry(name).or_insert_with(|| Origin::Overrides(Arc::clone(&origin)));
            } else if let Some(Origin::Included(first)) = self.config.origins.profiles.get(&name) {
                conflicts.push((format!("profiles.{name}"), taken("profile", first)));
            } else if self.config.profiles.len() == MAX_PROFILES {
                conflicts.push((format!("profiles.{name}"), sections::too_many_profiles()));
            } else if usable.contains(&profile.source) {
                let profile = with_pin(profile, self.context.pins.get(&name));
                self.config.profiles.insert(name.clone(), profile);
                self.config.origins.profiles.insert(name, Origin::Included(Arc::clone(&origin)));
                count += 1;
            } else {
                let message = unknown_source(&profile.source, usable.iter().map(SourceName::as_str));
                conflicts.push((format!("profiles.{name}.source"), message));
            }
        }
        let further = conflicts.len().saturating_sub(1);
        let first = conflicts.into_iter().next().map(|(key, message)| {
            let further = if further == 0 { String::new() } else { format!(" ({further} more like this)") };
            ConfigError::at_key(path, text, key, message + &further)
        });
        (count, first)
    }
}

fn taken(kind: &str, first: &Path) -> String {
    format!("{} has another {kind} of this name, which is used", first.display())
}

/// Returns a profile with the pin and the entry key of the user.
fn with_pin(mut profile: Arc<ProfileConfig>, user: Option<&UserPin>) -> Arc<ProfileConfig> {
    if let Some(UserPin { pin, entry_key }) = user {
        let profile = Arc::make_mut(&mut profile);
        profile.pin.clone_from(pin);
        profile.entry_key.clone_from(entry_key);
    }
    profile
}

/// Parses an included file as one document, which gives errors with line and key.
fn parse_whole(path: &Path, text: &str, context: &IncludeContext) -> Result<IncludedFile, ConfigError> {
    let mut raw = schema::read_included(path, text)?;
    let fail = |(key, message)| ConfigError::at_key(path, text, key, message);
    let (mut profiles, mut interner) = (BTreeMap::new(), Interner::default());
    let defaults = raw.defaults(&context.defaults).map_err(fail)?;
    let rules = ProfileRules { defaults: &defaults, network: &context.network, sources: None };
    for (name, profile) in raw.profiles.take().unwrap_or_default() {
        let valid = profile.validate_included(&rules, &context.defaults, &mut interner);
        let valid = valid.map_err(|(key, message)| fail((format!("profiles.{name}.{key}"), message)))?;
        profiles.insert(name, Arc::new(valid));
    }
    Ok(IncludedFile { sources: raw.valid_sources().map_err(fail)?, profiles })
}

#[cfg(test)]
mod tests;
