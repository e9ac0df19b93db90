//! Reads `~/.aws/config` and `~/.aws/credentials` as the AWS CLI does. The only reader of these files: the SDK gets what this
//! module makes of them.
//!
//! [`rolecall_protocol::aws_config`] parses the text of a file. Here, `file` reads from the disk, `profile` is one AWS profile,
//! and `network` has its settings for the path to AWS. [`SharedConfig`] combines the two files by the rules of botocore
//! (`configloader.build_profile_map` and `session.full_config`).

mod file;
mod network;
mod profile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolecall_protocol::aws_config::SectionKind;
use rolecall_protocol::aws_config::ini::Section;
use tokio::sync::Semaphore;

pub use file::{FileError, FileProblem};
pub(crate) use network::{LastValid, NetworkSettings, SettingsError};
pub use profile::{FileKind, Place, Profile, ProfileError};

/// The paths of AWS's own files.
#[derive(Debug, Clone)]
pub struct AwsFiles {
    /// `~/.aws/config`, or the value of `AWS_CONFIG_FILE`.
    pub config: PathBuf,
    /// `~/.aws/credentials`, or the value of `AWS_SHARED_CREDENTIALS_FILE`.
    pub credentials: PathBuf,
    /// `~/.aws`, the folder of token files. The variables do not change it.
    pub logins: PathBuf,
}

/// Reads the content of both files, one call at a time: large files take much memory.
#[derive(Debug)]
pub(crate) struct Reader {
    files: AwsFiles,
    place: Arc<Semaphore>,
}

/// The content of both files. A file that does not exist is empty.
pub struct SharedConfig {
    profiles: BTreeMap<String, Profile>,
    sso_sessions: BTreeMap<String, Section>,
    services: BTreeMap<String, Section>,
    /// Sections of the configuration file that the AWS CLI does not use.
    unused: Vec<Section>,
    config: Arc<Path>,
    credentials: Arc<Path>,
}

impl Reader {
    pub(crate) fn new(files: AwsFiles) -> Self {
        Self { files, place: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) const fn files(&self) -> &AwsFiles {
        &self.files
    }

    /// Reads both files and applies `query` to them, on a thread that may wait for the disk. The content is dropped before the
    /// next call. Errors like [`SharedConfig::read`].
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&SharedConfig) -> T + Send + 'static,
    ) -> Result<T, FileError> {
        // The semaphore is never closed.
        let place = Arc::clone(&self.place).acquire_owned().await.ok();
        let files = self.files.clone();
        let result = tokio::task::spawn_blocking(move || {
            // Held by the thread: the caller may leave before the files are read.
            let _place = place;
            SharedConfig::read(&files).map(|config| query(&config))
        });
        // The task ends early only if the daemon ends.
        result.await.unwrap_or_else(|_| {
            let problem = FileProblem::Io(std::io::ErrorKind::Interrupted);
            Err(FileError { path: self.files.config.clone(), problem })
        })
    }
}

impl SharedConfig {
    /// Reads both files. Errors if a file cannot be read, is not UTF-8, or is one that the AWS CLI refuses.
    pub fn read(files: &AwsFiles) -> Result<Self, FileError> {
        Ok(Self::of_sections(files, file::read(&files.config)?, file::read(&files.credentials)?))
    }

    /// Like [`Self::read`], with the contents of the two files.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_contents(files: &AwsFiles, config: &[u8], credentials: &[u8]) -> Result<Self, FileProblem> {
        Ok(Self::of_sections(files, file::parse(config)?, file::parse(credentials)?))
    }

    fn of_sections(files: &AwsFiles, config_file: Vec<Section>, credentials_file: Vec<Section>) -> Self {
        let mut config = Self {
            profiles: BTreeMap::new(),
            sso_sessions: BTreeMap::new(),
            services: BTreeMap::new(),
            unused: Vec::new(),
            config: Arc::from(files.config.as_path()),
            credentials: Arc::from(files.credentials.as_path()),
        };
        for section in config_file {
            config.add_config_section(section);
        }
        for section in credentials_file {
            let profile = config.profile_mut(section.name.clone());
            profile.credentials = Some(section);
        }
        config
    }

    /// Sorts a section by its name. Of two sections for one name, such as `[profile a]` and `[profile "a"]`, the last counts.
    fn add_config_section(&mut self, section: Section) {
        match SectionKind::of(&section.name) {
            SectionKind::Profile(name) => self.profile_mut(name).config = Some(section),
            SectionKind::SsoSession(name) => {
                self.sso_sessions.insert(name, section);
            }
            SectionKind::Services(name) => {
                self.services.insert(name, section);
            }
            SectionKind::Unused => self.unused.push(section),
        }
    }

    fn profile_mut(&mut self, name: String) -> &mut Profile {
        let paths = [Arc::clone(&self.config), Arc::clone(&self.credentials)];
        self.profiles.entry(name.clone()).or_insert_with(|| Profile::new(name, paths))
    }

    /// Returns an AWS profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// Iterates over the names of the AWS profiles, sorted.
    pub fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// Returns the settings of `[sso-session NAME]`, as if they were a profile's.
    pub(crate) fn sso_session(&self, name: &str) -> Option<Profile> {
        Some(self.section_as_profile(name, self.sso_sessions.get(name)?))
    }

    /// Returns the settings of `[services NAME]`, as if they were a profile's.
    pub(crate) fn services(&self, name: &str) -> Option<Profile> {
        Some(self.section_as_profile(name, self.services.get(name)?))
    }

    fn section_as_profile(&self, name: &str, section: &Section) -> Profile {
        let mut profile = Profile::new(name.to_owned(), [Arc::clone(&self.config), Arc::clone(&self.credentials)]);
        profile.config = Some(section.clone());
        profile
    }

    /// Returns what to change if a section is meant to be this profile but has another name: `[work]` or
    /// `[profile Mike Dev]` in the configuration file, or `[profile work]` in the credentials file.
    pub(crate) fn misnamed_section(&self, profile: &str) -> Option<String> {
        let quoted = if profile.contains(char::is_whitespace) { format!("\"{profile}\"") } else { profile.to_owned() };
        let is_meant = |section: &&Section| {
            let name = section.name.strip_prefix("profile").unwrap_or(&section.name);
            name.trim().trim_matches(['"', '\'']) == profile
        };
        if let Some(section) = self.unused.iter().find(is_meant) {
            let place = Place::new(&self.config, section.line);
            return Some(format!("Rename the section [{}] in {place} to [profile {quoted}].", section.name));
        }
        let prefixed = self.profiles.get(&format!("profile {profile}"))?;
        let place = Place::new(&self.credentials, prefixed.credentials.as_ref()?.line);
        Some(format!("Rename the section [profile {profile}] in {place} to [{profile}]."))
    }
}

#[cfg(test)]
pub(crate) mod tests;
