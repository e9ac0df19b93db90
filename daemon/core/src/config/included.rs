//! What the configuration says about included files, and what an included file has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rolecall_protocol::{EntryKey, IncludePattern, ProfileName, SourceName};

use super::network::RawNetwork;
use super::schema::RawDefaults;
use super::{Pin, ProfileConfig, SourceConfig};

/// The included files that profiles and sources come from. Those of the configuration itself are not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// The profiles.
    pub profiles: BTreeMap<ProfileName, Origin>,
    /// The sources.
    pub sources: BTreeMap<SourceName, Origin>,
}

/// The included file that has a profile or a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It comes from this file.
    Included(Arc<Path>),
    /// The configuration itself overrides that of this file.
    Overrides(Arc<Path>),
}

/// What the configuration says about included files.
#[derive(Default)]
pub(crate) struct IncludeContext {
    pub(super) patterns: Vec<IncludePattern>,
    /// The contents of `[included.NAME]`.
    pub(super) pins: BTreeMap<ProfileName, UserPin>,
    pub(super) defaults: RawDefaults,
    pub(super) network: RawNetwork,
}

/// The API server and the entry key of a profile of an included file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserPin {
    pub(super) pin: Option<Arc<Pin>>,
    pub(super) entry_key: Option<EntryKey>,
}

/// The valid contents of an included file.
pub(super) struct IncludedFile {
    pub(super) sources: BTreeMap<SourceName, SourceConfig>,
    pub(super) profiles: BTreeMap<ProfileName, Arc<ProfileConfig>>,
}
