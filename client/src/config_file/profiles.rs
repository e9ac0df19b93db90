//! Reads and edits profiles.

use rolecall_protocol::{ClusterName, EntryKey, ExternalId, Region, RoleArn, SourceName};
use toml_edit::{Array, Item};

use super::document::{ConfigFile, child_table};
use super::error::ConfigFileError;
use super::inputs::InputsEntry;
use super::table::set_key;

/// A profile as the client writes it. Fields that are `None` or empty have no key in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileEntry {
    pub(crate) cluster: ClusterName,
    pub(crate) region: Region,
    pub(crate) source: SourceName,
    pub(crate) role_arn: Option<RoleArn>,
    pub(crate) via: Vec<RoleArn>,
    pub(crate) external_id: Option<ExternalId>,
    pub(crate) session_name: Option<String>,
    pub(crate) duration: Option<String>,
    pub(crate) inputs: InputsEntry,
    pub(crate) server: Option<String>,
    pub(crate) ca_sha256: Option<String>,
}

impl ConfigFile {
    /// Returns the names of the profiles, in the order of the file.
    pub(crate) fn profile_names(&self) -> Vec<String> {
        self.names("profiles")
    }

    /// Returns a profile, or `None` if it does not exist or one of the client's keys is malformed.
    pub(crate) fn profile(&self, name: &str) -> Option<ProfileEntry> {
        let table = self.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
        let text = |key| table.get(key).and_then(Item::as_str);
        let via = match table.get("via") {
            Some(via) => via.as_array()?.iter().map(|arn| arn.as_str()?.parse().ok()).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(ProfileEntry {
            cluster: text("cluster")?.parse().ok()?,
            region: text("region")?.parse().ok()?,
            source: text("source")?.parse().ok()?,
            role_arn: text("role_arn").map(str::parse).transpose().ok()?,
            via,
            external_id: text("external_id").map(str::parse).transpose().ok()?,
            session_name: text("session_name").map(str::to_owned),
            duration: text("duration").map(str::to_owned),
            inputs: InputsEntry::read(table)?,
            server: text("server").map(str::to_owned),
            ca_sha256: text("ca_sha256").map(str::to_owned),
        })
    }

    /// Adds a profile, or updates its keys in place. Keys that [`ProfileEntry`] does not have stay.
    pub(crate) fn set_profile(&mut self, name: &str, entry: &ProfileEntry) -> Result<(), ConfigFileError> {
        let path = &self.path;
        let profiles = child_table(path, self.document.as_table_mut(), "profiles", true)?;
        let table = child_table(path, profiles, name, false)?;
        // A given certificate authority belongs to its server.
        let old_server = table.get("server").and_then(Item::as_str);
        if entry.ca_sha256.is_none() || entry.server.is_none() || entry.server.as_deref() != old_server {
            table.remove("certificate_authority_data");
        }
        let via: Array = entry.via.iter().map(RoleArn::as_str).collect();
        set_key(table, "cluster", Some(entry.cluster.as_str().into()));
        set_key(table, "region", Some(entry.region.as_str().into()));
        set_key(table, "source", Some(entry.source.as_str().into()));
        set_key(table, "role_arn", entry.role_arn.as_ref().map(|arn| arn.as_str().into()));
        set_key(table, "via", (!via.is_empty()).then(|| via.into()));
        set_key(table, "external_id", entry.external_id.as_ref().map(|id| id.as_str().into()));
        set_key(table, "session_name", entry.session_name.as_deref().map(Into::into));
        set_key(table, "duration", entry.duration.as_deref().map(Into::into));
        entry.inputs.write(table);
        set_key(table, "server", entry.server.as_deref().map(Into::into));
        set_key(table, "ca_sha256", entry.ca_sha256.as_deref().map(Into::into));
        Ok(())
    }

    /// Returns the pin mode of a profile: its own, or that of `[defaults]`.
    pub(crate) fn pin_mode(&self, name: &str) -> Option<&str> {
        let profile = self.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
        let defaults = self.document.get("defaults").and_then(Item::as_table_like);
        profile.get("pin").or_else(|| defaults?.get("pin"))?.as_str()
    }

    /// Whether a profile is marked as protected, in an included file if it comes from one.
    pub(crate) fn is_protected(&self, name: &str) -> bool {
        let of = |file: &ConfigFile| {
            let table = file.document.get("profiles")?.as_table_like()?.get(name)?.as_table_like()?;
            Some(table.get("protected").and_then(Item::as_bool).unwrap_or(false))
        };
        let of_included = || self.included_file(name).and_then(|(_, file)| of(file));
        of(self).or_else(of_included).unwrap_or(false)
    }

    /// Marks an existing profile as protected.
    pub(crate) fn set_protected(&mut self, name: &str) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_like_mut);
        if let Some(table) = profile {
            set_key(table, "protected", Some(true.into()));
        }
    }

    /// Returns a profile's entry key, if it has a well-formed one. That of an included profile is in `[included.NAME]`.
    pub(crate) fn entry_key(&self, name: &str) -> Option<EntryKey> {
        self.server_table(name)?.get("entry_key")?.as_str()?.parse().ok()
    }

    /// Returns a profile's entry key, which becomes `new` if it is missing or malformed. `None` without such a profile.
    pub(crate) fn entry_key_or_set(&mut self, name: &str, new: &EntryKey) -> Option<EntryKey> {
        if let Some(existing) = self.entry_key(name) {
            return Some(existing);
        }
        let table = self.server_table_mut(name)?;
        set_key(table, "entry_key", Some(new.to_text().expose().as_str().into()));
        Some(new.clone())
    }

    /// Moves a profile's entry key behind its other keys, where it was before the pin was written again.
    pub(crate) fn move_entry_key_last(&mut self, name: &str) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_mut);
        if let Some(table) = profile
            && let Some((key, item)) = table.remove_entry("entry_key")
        {
            table.insert_formatted(&key, item);
        }
    }

    /// Returns the server URL and the certificate authority, in base64, that the user gave to `rolecall add`.
    pub(crate) fn given_server(&self, name: &str) -> Option<(&str, &str)> {
        let table = self.server_table(name)?;
        let text = |key| table.get(key).and_then(Item::as_str);
        Some((text("server")?, text("certificate_authority_data")?))
    }

    /// Records that the server of an existing profile was given with this certificate authority; `None` if AWS described it.
    pub(crate) fn set_given_ca(&mut self, name: &str, ca_data: Option<&str>) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let profile = profiles.and_then(|profiles| profiles.get_mut(name)).and_then(Item::as_table_like_mut);
        if let Some(table) = profile {
            set_key(table, "certificate_authority_data", ca_data.map(Into::into));
        }
    }

    /// Removes a profile and the comment directly above it. Returns whether the profile existed.
    pub(crate) fn remove_profile(&mut self, name: &str) -> bool {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let Some(removed) = profiles.and_then(|profiles| profiles.remove(name)) else { return false };
        if let Item::Table(table) = removed {
            self.keep_comments_above(&table);
        }
        true
    }

    /// Gives a profile another name, in its place in the file. Returns whether the profile existed.
    pub(crate) fn rename_profile(&mut self, old: &str, new: &str) -> bool {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let Some(profiles) = profiles else { return false };
        // A table with a header has a position, which decides where it is written.
        let Some(profile) = profiles.remove(old) else { return false };
        profiles.insert(new, profile);
        true
    }
}
