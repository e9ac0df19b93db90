//! The optional parameters of AssumeRole in a profile's table.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use rolecall_protocol::{PolicyArn, SourceIdentity, TagKey, TagValue};
use toml_edit::{Array, InlineTable, Item, TableLike, Value};

use super::table::set_key;

/// The optional parameters of AssumeRole. Fields that are `None` or empty have no key in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InputsEntry {
    pub(crate) source_identity: Option<SourceIdentity>,
    pub(crate) tags: BTreeMap<TagKey, TagValue>,
    pub(crate) transitive_tags: Vec<TagKey>,
    pub(crate) policy_arns: Vec<PolicyArn>,
    /// JSON.
    pub(crate) policy: Option<String>,
    pub(crate) sts_endpoint: Option<String>,
    /// `Some(false)` overrides a default of `true`.
    pub(crate) fips: Option<bool>,
    pub(crate) dual_stack: Option<bool>,
}

impl InputsEntry {
    /// Reads the parameters from a profile's table. Returns `None` if one is malformed.
    pub(super) fn read(table: &dyn TableLike) -> Option<Self> {
        let text = |key| table.get(key).and_then(Item::as_str);
        Some(Self {
            source_identity: text("source_identity").map(str::parse).transpose().ok()?,
            tags: tags(table)?,
            transitive_tags: list(table, "transitive_tags")?,
            policy_arns: list(table, "policy_arns")?,
            policy: text("policy").map(str::to_owned),
            sts_endpoint: text("sts_endpoint").map(str::to_owned),
            fips: table.get("fips").and_then(Item::as_bool),
            dual_stack: table.get("dual_stack").and_then(Item::as_bool),
        })
    }

    /// Updates a profile's table, each key in its place.
    pub(super) fn write(&self, table: &mut dyn TableLike) {
        set_key(table, "source_identity", self.source_identity.as_ref().map(|name| name.as_str().into()));
        // Equal tags keep their spelling, which may be a table of their own.
        if tags(table).as_ref() != Some(&self.tags) {
            let pairs = self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            table.remove("tags");
            set_key(table, "tags", (!self.tags.is_empty()).then(|| pairs.collect::<InlineTable>().into()));
        }
        set_key(table, "transitive_tags", array(&self.transitive_tags));
        set_key(table, "policy_arns", array(&self.policy_arns));
        set_key(table, "policy", self.policy.as_deref().map(Into::into));
        set_key(table, "sts_endpoint", self.sts_endpoint.as_deref().map(Into::into));
        set_key(table, "fips", self.fips.map(Into::into));
        set_key(table, "dual_stack", self.dual_stack.map(Into::into));
    }

    /// Returns every key with its value as text.
    pub(crate) fn display_values(&self) -> [(&'static str, Option<String>); 8] {
        let tags: Vec<_> = self.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        [
            ("source_identity", self.source_identity.as_ref().map(ToString::to_string)),
            ("tags", joined(&tags)),
            ("transitive_tags", joined(&self.transitive_tags)),
            ("policy_arns", joined(&self.policy_arns)),
            ("policy", self.policy.clone()),
            ("sts_endpoint", self.sts_endpoint.clone()),
            ("fips", self.fips.map(|is| is.to_string())),
            ("dual_stack", self.dual_stack.map(|is| is.to_string())),
        ]
    }
}

fn tags(table: &dyn TableLike) -> Option<BTreeMap<TagKey, TagValue>> {
    let Some(item) = table.get("tags") else { return Some(BTreeMap::new()) };
    let pair = |(key, value): (&str, &Item)| Some((key.parse().ok()?, value.as_str()?.parse().ok()?));
    item.as_table_like()?.iter().map(pair).collect()
}

fn list<T: FromStr>(table: &dyn TableLike, key: &str) -> Option<Vec<T>> {
    let Some(item) = table.get(key) else { return Some(Vec::new()) };
    item.as_array()?.iter().map(|value| value.as_str()?.parse().ok()).collect()
}

fn array<T: Display>(list: &[T]) -> Option<Value> {
    (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect::<Array>().into())
}

fn joined<T: Display>(list: &[T]) -> Option<String> {
    (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
