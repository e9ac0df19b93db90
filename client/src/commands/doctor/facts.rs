//! What several checks look at, read once.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use rolecall_protocol::{Endpoint, Status, location};

use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::environment::Environment;
use crate::error::CliError;

/// The configuration, the agent and its status. The agent is started if it does not run.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) environment: Environment,
    pub(super) zone: TimeZone,
    pub(super) config_path: Option<PathBuf>,
    /// `None` if the file cannot be read.
    pub(super) config: Option<ConfigFile>,
    /// Why it cannot be read.
    pub(super) config_error: Option<CliError>,
    pub(super) agent: Result<Agent, Unreachable>,
}

/// An agent that answers.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) daemon: Daemon,
    pub(super) status: Status,
}

/// Why no agent answers.
#[derive(Debug)]
pub(super) struct Unreachable {
    pub(super) error: CliError,
    /// The process that accepts connections and does not answer.
    pub(super) hung_pid: Option<i32>,
}

impl Facts {
    pub(super) fn gather(context: &Context) -> Self {
        let config_path = location::config().ok();
        let loaded = config_path.as_deref().map(ConfigFile::load).transpose();
        let (config, config_error) = match loaded {
            Ok(config) => (config, None),
            Err(error) => (None, Some(error.into())),
        };
        let (environment, zone) = (context.environment.clone(), context.zone.clone());
        Self { environment, zone, config_path, config, config_error, agent: agent(context) }
    }

    /// Returns the names of the profiles: those that the agent serves, and without an agent those in the configuration.
    pub(super) fn profile_names(&self) -> Vec<String> {
        match (&self.agent, &self.config) {
            (Ok(agent), _) => agent.status.profiles.iter().map(|profile| profile.name.to_string()).collect(),
            (Err(_), Some(config)) => config.all_profile_names(),
            (Err(_), None) => Vec::new(),
        }
    }
}

fn agent(context: &Context) -> Result<Agent, Unreachable> {
    let daemon = context.daemon().map_err(Unreachable::from)?;
    let status = daemon.call_json::<Status>(&Endpoint::Status, b"").and_then(|_| {
        // The file may have changed a moment ago.
        Daemon::reload();
        daemon.call_json(&Endpoint::Status, b"")
    });
    match status {
        Ok(status) => Ok(Agent { daemon, status }),
        Err(error) => {
            let is_hung = matches!(error, CallError::NoResponse(_) | CallError::Busy(_));
            let pid = if is_hung { daemon.listener_pid().ok().flatten() } else { None };
            Err(Unreachable { error: error.into(), hung_pid: pid.map(|pid| pid.as_raw_nonzero().get()) })
        }
    }
}

impl From<CallError> for Unreachable {
    fn from(error: CallError) -> Self {
        Self { error: error.into(), hung_pid: None }
    }
}
