//! The state of an API server, shared with its request handlers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::api::objects::{Kind, Objects};
use super::authenticator::{Authenticator, User};
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
    /// How many further requests are rejected with 401.
    pub(crate) rejecting: usize,
    /// Every token of a request, each once.
    pub(crate) tokens: Vec<String>,
    /// Another edit of an object, which arrives before the next replacement.
    pub(crate) edit_before_replace: Option<Value>,
    /// How many requests are rejected with 401 after the next replacement.
    pub(crate) reject_after_replace: Option<usize>,
}

impl SharedCluster {
    /// Returns the user of a token, or the reason why the token is invalid.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<User, String> {
        self.authenticator.authenticate(token, || self.aws_auth().map(|object| object["data"].clone())).await
    }

    /// Returns the ConfigMap aws-auth.
    pub(crate) fn aws_auth(&self) -> Option<Value> {
        let state = self.state();
        let found = state.objects.find(Kind::ConfigMap, Some("kube-system"), Some("aws-auth"));
        found.first().map(|object| object.json.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ClusterState> {
        // A panic under the lock is a failed test already; a second panic while it unwinds would abort the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
