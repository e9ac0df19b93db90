//! The access endpoints: who may enter a profile's cluster, and changes of that.
//!
//! All calls to EKS and IAM use the profile's own session, and all calls to the API server a token of the profile.

mod aws_auth_change;
mod backup;
mod caller;
mod change;
mod connection;
mod entries;
pub(super) mod error;
mod explain;
mod grant;
mod lint;
mod list;
mod migrate;
mod mode;
mod policies;
mod principals;
pub(super) mod rbac;
mod reading;
mod recover;
pub(super) mod rejection;
mod report;
mod restore;
mod revoke;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode};
use tokio::sync::{Mutex, watch};

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_sessions::ProfileSessions;
use super::token_cache::TokenCache;
use rolecall_aws::client::Aws;

pub use lint::lint;

/// Runs work on an aws-auth on a thread of its own: one of 1 MiB takes seconds, and one thread serves all requests.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ErrorBody> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ErrorBody::new(ErrorCode::Internal, "reading aws-auth failed"))
}

/// Calls of one request to AWS at the same time.
const MAX_PARALLEL_CALLS: usize = 8;

/// Reads and changes who may enter clusters.
pub struct AccessService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    profiles: Arc<ProfileSessions>,
    token_cache: Arc<TokenCache>,
    aws: Aws,
    settings: OnceLock<AccessSettings>,
    /// Held by the change in progress.
    turn: Mutex<()>,
    in_progress: InProgress,
}

/// What the program that runs the agent decides.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// The folder of the backups of aws-auth. Without it aws-auth is not changed.
    pub backups: Option<PathBuf>,
    /// The pauses between checks.
    pub pace: Pace,
}

/// The pauses between checks whose outcome takes time.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between checks of an update of the cluster, which takes minutes.
    pub update: Duration,
    /// Between checks of the caller's access, which changes within seconds.
    pub check: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { update: Duration::from_secs(5), check: Duration::from_millis(1500) }
    }
}

impl AccessService {
    pub(crate) fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        profiles: Arc<ProfileSessions>,
        token_cache: Arc<TokenCache>,
        aws: Aws,
    ) -> Self {
        let in_progress = InProgress::default();
        Self {
            config,
            lock,
            profiles,
            token_cache,
            aws,
            settings: OnceLock::new(),
            turn: Mutex::default(),
            in_progress,
        }
    }

    /// Sets the settings, once and before the first request.
    pub fn configure(&self, settings: AccessSettings) {
        let _ = self.settings.set(settings);
    }

    fn settings(&self) -> &AccessSettings {
        self.settings.get_or_init(AccessSettings::default)
    }

    /// Errors with `restart_refused` during a change: a restart would end it half way.
    pub fn check_settled(&self) -> Result<(), AgentError> {
        if *self.in_progress.0.borrow() == 0 {
            return Ok(());
        }
        let message = "the agent was not restarted: the access of a cluster is being changed";
        Err(AgentError(ErrorBody::new(ErrorCode::RestartRefused, message).hint("Try again in a minute.")))
    }

    /// Waits at most `limit` for changes to end, and logs if they do not.
    pub async fn settle(&self, limit: Duration) {
        let mut changes = self.in_progress.0.subscribe();
        if tokio::time::timeout(limit, changes.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("agent stopped during a change of a cluster's access; check it: rolecall access list");
        }
    }
}

/// The number of changes in progress.
#[derive(Debug, Default)]
struct InProgress(watch::Sender<usize>);

/// A change in progress.
struct ChangeInProgress<'a>(&'a InProgress);

impl InProgress {
    fn begin(&self) -> ChangeInProgress<'_> {
        self.0.send_modify(|count| *count += 1);
        ChangeInProgress(self)
    }
}

impl Drop for ChangeInProgress<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
