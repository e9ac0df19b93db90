//! Finds and adds sources. Existing sources are never changed.

use rolecall_protocol::{KeyName, MfaSerial, SourceName};
use toml_edit::{InlineTable, Item, TableLike, Value};

use super::document::{ConfigFile, child_table};
use super::error::ConfigFileError;
use super::table::set_key;

/// Where a source gets its credentials from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceEntry<'a> {
    /// An AWS profile.
    AwsProfile(&'a str),
    /// An access key in the OS keyring.
    Keyring(&'a KeyName),
}

impl<'a> SourceEntry<'a> {
    const fn key(self) -> &'static str {
        match self {
            Self::AwsProfile(_) => "aws_profile",
            Self::Keyring(_) => "keyring",
        }
    }

    fn value(self) -> &'a str {
        match self {
            Self::AwsProfile(name) => name,
            Self::Keyring(name) => name.as_str(),
        }
    }
}

impl ConfigFile {
    /// Returns the names of the sources, in the order of the file.
    pub(crate) fn source_names(&self) -> Vec<String> {
        self.names("sources")
    }

    /// Returns the names of the access keys in the OS keyring that sources use.
    pub(crate) fn keyring_names(&self) -> Vec<String> {
        let sources = self.document.get("sources").and_then(Item::as_table_like);
        let keyring = |(_, source): (&str, &Item)| source.get("keyring").and_then(Item::as_str).map(str::to_owned);
        sources.map(|sources| sources.iter().filter_map(keyring).collect()).unwrap_or_default()
    }

    /// Returns the sources that use an access key of the OS keyring, in the order of the file.
    pub(crate) fn sources_with_keyring(&self, keys: &KeyName) -> Vec<String> {
        self.sources_with(SourceEntry::Keyring(keys))
    }

    /// Returns the sources that use an AWS profile, in the order of the file.
    pub(crate) fn sources_with_aws_profile(&self, name: &str) -> Vec<String> {
        self.sources_with(SourceEntry::AwsProfile(name))
    }

    /// Adds a source that uses an access key of the OS keyring. The caller checks that the name is not in use.
    pub(crate) fn add_source_keyring(&mut self, source: &str, keys: &KeyName) -> Result<(), ConfigFileError> {
        self.add_source(source, SourceEntry::Keyring(keys), None)
    }

    /// Returns the source with these credentials, preferably one with this MFA device, and adds one if there is none.
    /// The new name is similar to the name of the credentials: `Team A/dev` gives `Team-A-dev`, or `Team-A-dev-2` if
    /// that is in use.
    pub(crate) fn ensure_source(
        &mut self,
        entry: SourceEntry<'_>,
        mfa: Option<&MfaSerial>,
    ) -> Result<SourceName, ConfigFileError> {
        let named = |name: &String| name.parse::<SourceName>().ok();
        let existing: Vec<SourceName> = self.sources_with(entry).iter().filter_map(named).collect();
        let has_device = |source: &&SourceName| self.mfa_serial(source).as_deref() == mfa.map(MfaSerial::as_str);
        if let Some(source) = existing.iter().find(has_device).or(existing.first()) {
            return Ok(source.clone());
        }
        let taken = self.source_names();
        let source =
            source_name_candidates(entry.value()).find(|name| !taken.iter().any(|taken| taken == name.as_str()));
        let Some(source) = source else {
            return Err(ConfigFileError::NotATable { path: self.path.clone(), key: "sources".to_owned() });
        };
        self.add_source(source.as_str(), entry, mfa)?;
        Ok(source)
    }

    /// Returns the serial number of a source's MFA device, if it has one.
    pub(crate) fn mfa_serial(&self, source: &SourceName) -> Option<String> {
        let source = self.sources()?.get(source.as_str())?.as_table_like()?;
        source.get("mfa")?.as_table_like()?.get("serial")?.as_str().map(str::to_owned)
    }

    /// Returns the names of the profiles that use a source, in the order of the file.
    pub(crate) fn profiles_of_source(&self, source: &SourceName) -> Vec<String> {
        let profiles = self.document.get("profiles").and_then(Item::as_table_like);
        let uses = |item: &Item| item.as_table_like()?.get("source")?.as_str().map(|name| name == source.as_str());
        let all = profiles.into_iter().flat_map(TableLike::iter);
        all.filter(|(_, item)| uses(item) == Some(true)).map(|(name, _)| name.to_owned()).collect()
    }

    /// Removes a source and the comment directly above it. The caller checks that no profile uses it.
    pub(crate) fn remove_source(&mut self, source: &SourceName) {
        let sources = self.document.get_mut("sources").and_then(Item::as_table_like_mut);
        if let Some(Item::Table(table)) = sources.and_then(|sources| sources.remove(source.as_str())) {
            self.keep_comments_above(&table);
        }
    }

    fn add_source(
        &mut self,
        source: &str,
        entry: SourceEntry<'_>,
        mfa: Option<&MfaSerial>,
    ) -> Result<(), ConfigFileError> {
        let sources = child_table(&self.path, self.document.as_table_mut(), "sources", true)?;
        let table = child_table(&self.path, sources, source, false)?;
        set_key(table, entry.key(), Some(entry.value().into()));
        if let Some(serial) = mfa {
            let device: InlineTable = std::iter::once(("serial", Value::from(serial.as_str()))).collect();
            set_key(table, "mfa", Some(device.into()));
        }
        Ok(())
    }

    fn sources_with(&self, entry: SourceEntry<'_>) -> Vec<String> {
        let uses = |item: &Item| item.as_table_like()?.get(entry.key())?.as_str().map(|found| found == entry.value());
        let all = self.sources().into_iter().flat_map(TableLike::iter);
        all.filter(|(_, item)| uses(item) == Some(true)).map(|(name, _)| name.to_owned()).collect()
    }

    fn sources(&self) -> Option<&dyn TableLike> {
        self.document.get("sources").and_then(Item::as_table_like)
    }
}

/// Returns possible names for a source, made from the name of its credentials, which may have any characters: first
/// without, then with a number.
fn source_name_candidates(from: &str) -> impl Iterator<Item = SourceName> {
    let plain: String =
        from.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let plain: String = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(56).collect();
    let plain = if plain.is_empty() { "aws".to_owned() } else { plain };
    let numbered = plain.clone();
    std::iter::once(plain)
        .chain((2..10_000).map(move |n| format!("{numbered}-{n}")))
        .filter_map(|name| name.parse().ok())
}
