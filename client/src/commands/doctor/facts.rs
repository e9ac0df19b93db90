//! What several checks look at, read once.

use std::path::PathBuf;

use rolecall_protocol::{Endpoint, Status, location};

use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::error::CliError;

/// The configuration, the agent and its status. The agent is started if it does not run.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) config_path: Option<PathBuf>,
    /// `None` if the file cannot be read; the check of files says why.
    pub(super) config: Option<ConfigFile>,
    pub(super) agent: Result<Agent, CliError>,
}

/// An agent that answers.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) daemon: Daemon,
    pub(super) status: Status,
}

impl Facts {
    pub(super) fn gather(context: &Context) -> Self {
        let config_path = location::config().ok();
        let config = config_path.as_deref().and_then(|path| ConfigFile::load(path).ok());
        Self { config_path, config, agent: agent(context).map_err(CliError::from) }
    }
}

fn agent(context: &Context) -> Result<Agent, CallError> {
    let daemon = context.daemon()?;
    let status = daemon.call_json(&Endpoint::Status, b"")?;
    Ok(Agent { daemon, status })
}
