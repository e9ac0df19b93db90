//! The file that the daemon writes for prompts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ProfileName, ProfileState};

/// The content of the file beside the socket that `rolecall prompt` reads instead of calling the daemon, which could block
/// a shell. It has no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptState {
    /// The process id of the daemon. The file of another process is out of date.
    pub pid: u32,
    /// Whether the agent is locked.
    #[serde(default)]
    pub locked: bool,
    /// The profiles with a session or a failure.
    #[serde(default)]
    pub profiles: BTreeMap<ProfileName, PromptProfile>,
}

/// What a prompt shows of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptProfile {
    /// The state in one word.
    pub state: ProfileState,
    /// When the session expires, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}
