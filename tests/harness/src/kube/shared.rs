//! The state of an API server, shared with its request handlers.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api::objects::Objects;
use super::authenticator::Authenticator;
use super::log::Log;
use crate::certificate::ServerCertificate;
use crate::clock::Clock;

/// What the request handlers of a server share.
#[derive(Debug)]
pub(crate) struct SharedCluster {
    pub(crate) clock: Clock,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) certificate: ServerCertificate,
    pub(crate) authenticator: Authenticator,
    pub(crate) log: Log,
    pub(crate) state: Mutex<ClusterState>,
}

#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) objects: Objects,
    /// Groups that may read pods and namespaces.
    pub(crate) readers: BTreeSet<String>,
    /// How many further requests are rejected with 401.
    pub(crate) rejecting: usize,
    /// Every token of a request, each once.
    pub(crate) tokens: Vec<String>,
}

impl SharedCluster {
    pub(crate) fn state(&self) -> MutexGuard<'_, ClusterState> {
        // A panic under the lock is a failed test already; a second panic while it unwinds would abort the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
