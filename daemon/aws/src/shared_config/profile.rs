//! One AWS profile: the settings of its section in each file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rolecall_protocol::aws_config::ini::{Section, Setting, Value};
use rolecall_protocol::{sanitize_for_terminal, similar_names};

/// The settings that Rolecall reads, and others that AWS's tools know. A similar key of a profile is a likely typing mistake.
const KNOWN_KEYS: [&str; 30] = [
    "aws_access_key_id",
    "aws_account_id",
    "aws_secret_access_key",
    "aws_security_token",
    "aws_session_token",
    "ca_bundle",
    "credential_process",
    "credential_source",
    "duration_seconds",
    "ec2_metadata_service_endpoint",
    "endpoint_url",
    "external_id",
    "ignore_configured_endpoint_urls",
    "login_session",
    "mfa_process",
    "mfa_serial",
    "output",
    "region",
    "role_arn",
    "role_session_name",
    "services",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_registration_scopes",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "sts_regional_endpoints",
    "web_identity_token_file",
];

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `~/.aws/config`
    Config,
    /// `~/.aws/credentials`
    Credentials,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: Arc<Path>,
    line: usize,
}

/// An AWS profile.
pub struct Profile {
    name: String,
    pub(super) config: Option<Section>,
    pub(super) credentials: Option<Section>,
    /// The paths of the configuration file and the credentials file.
    paths: [Arc<Path>; 2],
}

/// An AWS profile that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProfileError {
    /// The AWS profile: the requested one, or one in its `source_profile` chain.
    pub profile: String,
    /// The error.
    pub message: String,
    /// What to change.
    pub hint: Option<String>,
}

impl Place {
    pub(super) fn new(path: &Arc<Path>, line: usize) -> Self {
        Self { path: Arc::clone(path), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.path.display())
    }
}

impl ProfileError {
    /// An error without a hint of its own.
    pub(crate) fn new(profile: &str, message: impl Into<String>) -> Self {
        Self { profile: profile.to_owned(), message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Profile {
    pub(super) const fn new(name: String, paths: [Arc<Path>; 2]) -> Self {
        Self { name, config: None, credentials: None, paths }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Iterates over the keys and values. A key of both files has the value of the credentials file.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Value)> {
        let credentials = self.credentials.iter().flat_map(|section| &section.settings);
        let config = self.config.iter().flat_map(|section| &section.settings);
        let config = config.filter(|(key, _)| self.setting_in(FileKind::Credentials, key).is_none());
        credentials.chain(config).map(|(key, setting)| (key.as_str(), &setting.value))
    }

    /// Whether one of the files has the setting, even without a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.setting(key).is_some()
    }

    /// Whether a file has the setting, even without a value.
    pub(crate) fn has_in(&self, kind: FileKind, key: &str) -> bool {
        self.setting_in(kind, key).is_some()
    }

    /// Returns the value of a setting. Errors if it has several lines.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, ProfileError> {
        match self.setting(key) {
            Some((kind, _)) => self.text_in(kind, key),
            None => Ok(None),
        }
    }

    /// Like [`Self::text`], from one of the files.
    pub(crate) fn text_in(&self, kind: FileKind, key: &str) -> Result<Option<&str>, ProfileError> {
        let Some(setting) = self.setting_in(kind, key) else { return Ok(None) };
        match &setting.value {
            Value::Text(text) if !text.contains('\n') => Ok(Some(text)),
            _ => {
                let place = Place::new(self.path(kind), setting.line);
                let error = ProfileError::new(&self.name, format!("{key} in {place} continues in the next lines"));
                Err(error.with_hint("A line that is indented more than the one above it continues that line: indent all settings of a section alike."))
            }
        }
    }

    /// Returns the value of a setting that may continue in further lines, which are joined by line ends.
    pub(crate) fn lines(&self, key: &str) -> Option<&str> {
        match &self.setting(key)?.1.value {
            Value::Text(text) => Some(text),
            Value::Nested(_) => None,
        }
    }

    /// The place of a setting.
    pub(crate) fn place(&self, key: &str) -> Option<Place> {
        self.setting(key).map(|(kind, setting)| Place::new(self.path(kind), setting.line))
    }

    /// The place of a setting in one of the files.
    pub(crate) fn place_in(&self, kind: FileKind, key: &str) -> Option<Place> {
        self.setting_in(kind, key).map(|setting| Place::new(self.path(kind), setting.line))
    }

    /// The section header and its place, in the configuration file if it is there.
    pub(crate) fn header(&self) -> (String, Place) {
        let found =
            [FileKind::Config, FileKind::Credentials].into_iter().find_map(|kind| Some((kind, self.section(kind)?)));
        let (name, kind, line) = found.map_or((self.name.as_str(), FileKind::Config, 0), |(kind, section)| {
            (section.name.as_str(), kind, section.line)
        });
        (format!("[{}]", sanitize_for_terminal(name)), Place::new(self.path(kind), line))
    }

    /// Returns a key of this profile that is unknown and similar to a wanted one, with its place.
    pub(crate) fn misspelt(&self, wanted: &str) -> Option<(&str, Place)> {
        let unknown = self.settings().map(|(key, _)| key).filter(|key| !KNOWN_KEYS.contains(key));
        let key = *similar_names(wanted, unknown).first()?;
        Some((key, self.place(key)?))
    }

    fn setting(&self, key: &str) -> Option<(FileKind, &Setting)> {
        [FileKind::Credentials, FileKind::Config].into_iter().find_map(|kind| Some((kind, self.setting_in(kind, key)?)))
    }

    fn setting_in(&self, kind: FileKind, key: &str) -> Option<&Setting> {
        self.section(kind)?.settings.get(key)
    }

    const fn section(&self, kind: FileKind) -> Option<&Section> {
        match kind {
            FileKind::Config => self.config.as_ref(),
            FileKind::Credentials => self.credentials.as_ref(),
        }
    }

    const fn path(&self, kind: FileKind) -> &Arc<Path> {
        let [config, credentials] = &self.paths;
        match kind {
            FileKind::Config => config,
            FileKind::Credentials => credentials,
        }
    }
}
