//! Sources, as the client finds and adds them. It changes none that is there.

use rolecall_protocol::{KeyName, MfaSerial, SourceName};
use toml_edit::{InlineTable, Item, TableLike, Value};

use super::{ConfigFile, ConfigFileError, child, set};

/// What a source signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceEntry<'a> {
    /// An AWS profile.
    AwsProfile(&'a str),
    /// Keys of the OS keyring.
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
    /// The sources that sign with these keys of the OS keyring, in the order of the file.
    pub(crate) fn sources_with_keyring(&self, keys: &KeyName) -> Vec<String> {
        self.sources_with(SourceEntry::Keyring(keys))
    }

    /// Adds a source that signs with these keys. Whether its name is free is for the caller to see.
    pub(crate) fn add_source_keyring(&mut self, source: &str, keys: &KeyName) -> Result<(), ConfigFileError> {
        self.add_source(source, SourceEntry::Keyring(keys), None)
    }

    /// The source that signs with this: the one that is there, or else a new one of nearly the same name, with this MFA
    /// device. A source of that very name which signs with something else stays what it is; the new one gets a number.
    pub(crate) fn ensure_source(
        &mut self,
        entry: SourceEntry<'_>,
        mfa: Option<&MfaSerial>,
    ) -> Result<SourceName, ConfigFileError> {
        let named = |name: &String| name.parse::<SourceName>().ok();
        let there: Vec<SourceName> = self.sources_with(entry).iter().filter_map(named).collect();
        let has_device = |source: &&SourceName| self.mfa_serial(source).as_deref() == mfa.map(MfaSerial::as_str);
        if let Some(source) = there.iter().find(has_device).or(there.first()) {
            return Ok(source.clone());
        }
        let taken = self.source_names();
        let source = free_names(entry.value()).find(|name| !taken.iter().any(|taken| taken == name.as_str()));
        let Some(source) = source else {
            return Err(ConfigFileError::NotATable { path: self.path.clone(), key: "sources".to_owned() });
        };
        self.add_source(source.as_str(), entry, mfa)?;
        Ok(source)
    }

    /// The MFA device of a source, if it has one.
    pub(crate) fn mfa_serial(&self, source: &SourceName) -> Option<String> {
        let source = self.sources()?.get(source.as_str())?.as_table_like()?;
        source.get("mfa")?.as_table_like()?.get("serial")?.as_str().map(str::to_owned)
    }

    fn add_source(
        &mut self,
        source: &str,
        entry: SourceEntry<'_>,
        mfa: Option<&MfaSerial>,
    ) -> Result<(), ConfigFileError> {
        let sources = child(&self.path, self.document.as_table_mut(), "sources", true)?;
        let table = child(&self.path, sources, source, false)?;
        set(table, entry.key(), Some(entry.value().into()));
        if let Some(serial) = mfa {
            let device: InlineTable = std::iter::once(("serial", Value::from(serial.as_str()))).collect();
            set(table, "mfa", Some(device.into()));
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

/// Names for a source that are made from what it signs with, which may have any characters: the first, then numbered.
fn free_names(from: &str) -> impl Iterator<Item = SourceName> {
    let plain: String =
        from.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let plain: String = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(56).collect();
    let plain = if plain.is_empty() { "aws".to_owned() } else { plain };
    let numbered = plain.clone();
    std::iter::once(plain)
        .chain((2..10_000).map(move |n| format!("{numbered}-{n}")))
        .filter_map(|name| name.parse().ok())
}
