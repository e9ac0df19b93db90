//! An EKS cluster's API server: TLS, bearer tokens verified as aws-iam-authenticator verifies them, and as much of the
//! Kubernetes API as `kubectl get pods`, `get ns`, `auth whoami` and `version` need.

mod kube;
mod log;
mod partition;
mod respond;
pub(crate) mod tls;
mod token;
mod webhook;

pub use log::Served;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::aws::{AwsHandle, Cluster};
use crate::clock::Clock;
use crate::serve::Server;
use kube::Objects;
use log::Log;
use tls::Identity;
use webhook::Webhook;

/// A running API server. Dropping it stops it and frees its port.
#[derive(Debug)]
pub struct ApiServer {
    inside: Arc<Inside>,
    server: Server,
}

/// What the server's handlers share.
#[derive(Debug)]
pub(crate) struct Inside {
    clock: Clock,
    name: String,
    region: String,
    identity: Identity,
    webhook: Webhook,
    log: Log,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    objects: Objects,
    /// Groups that may read pods and namespaces.
    readers: BTreeSet<String>,
    /// How many requests are still to be answered with 401.
    rejecting: usize,
    /// Every token that has been shown, once each.
    tokens: Vec<String>,
}

impl Inside {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a failed test already; a second one while the first unwinds would end the whole
        // run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiServer {
    /// Starts the API server of the cluster `name` on a free port of 127.0.0.1, with a CA of its own and a few pods. It
    /// sends tokens to `aws` and asks there who has access; [`ApiServer::cluster`] is what EKS should say of it.
    pub fn start(clock: Clock, aws: &AwsHandle, name: &str, region: &str) -> Self {
        let identity = Identity::new(name);
        let acceptor = identity.acceptor();
        let readers = ["system:masters", "view"].map(str::to_owned).into();
        let state =
            State { objects: Objects::of_cluster(name, clock.now()), readers, rejecting: 0, tokens: Vec::new() };
        let inside = Arc::new(Inside {
            webhook: Webhook::new(clock.clone(), aws.clone(), name, region),
            clock,
            name: name.to_owned(),
            region: region.to_owned(),
            identity,
            log: Log::default(),
            state: Mutex::new(state),
        });
        let shared = Arc::clone(&inside);
        let server = Server::start(name, Some(acceptor), move |request| respond::answer(Arc::clone(&shared), request));
        Self { inside, server }
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://{}", self.server.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The certificate of its CA as PEM text.
    pub fn ca_pem(&self) -> &str {
        &self.inside.identity.ca_pem
    }

    /// The same in base64, as `certificate-authority-data` has it.
    pub fn ca_base64(&self) -> String {
        STANDARD.encode(self.ca_pem())
    }

    /// What EKS says of it, for [`AwsHandle::add_cluster`].
    pub fn cluster(&self) -> Cluster {
        Cluster::new(&self.inside.name, &self.inside.region).endpoint(&self.url()).ca_pem(self.ca_pem())
    }

    /// A kubeconfig whose only user has this token: to see what the server says without an exec plugin.
    pub fn kubeconfig(&self, token: &str) -> String {
        let (name, url, ca) = (&self.inside.name, self.url(), self.ca_base64());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\n\
             clusters:\n- name: {name}\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\n\
             users:\n- name: {name}\n  user:\n    token: {token}\n\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n"
        )
    }
}

/// What is in the cluster, and who may read it.
impl ApiServer {
    /// Adds a running pod, and its namespace if it is new.
    pub fn add_pod(&self, namespace: &str, name: &str) {
        let now = self.inside.clock.now();
        self.inside.state().objects.add_pod(namespace, name, now);
    }

    /// Lets the members of a group read pods and namespaces. At first `system:masters` and `view` may.
    pub fn allow_group(&self, group: &str) {
        self.inside.state().readers.insert(group.to_owned());
    }

    /// Takes that right from a group.
    pub fn forbid_group(&self, group: &str) {
        self.inside.state().readers.remove(group);
    }
}

/// What it does to requests, and what it has seen of them.
impl ApiServer {
    /// Answers the next `n` requests with 401, whatever token they bear; 0 ends it, `usize::MAX` is for ever.
    pub fn reject_next(&self, n: usize) {
        self.inside.state().rejecting = n;
    }

    /// Every request that has been answered, oldest first.
    pub fn requests(&self) -> Vec<Served> {
        self.inside.log.all()
    }

    /// Every token that a request has borne, refused ones too: once each, oldest first.
    pub fn tokens(&self) -> Vec<String> {
        self.inside.state().tokens.clone()
    }

    /// Who a token lets in, as a request with it would find out; the error is what the server's own log would say.
    pub fn who(&self, token: &str) -> Result<String, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(self.inside.webhook.authenticate(token)).map(|user| user.username)
    }

    /// Waits until at least `n` requests have been answered. Panics with the log after `timeout` of real time.
    #[track_caller]
    pub fn wait_for_requests(&self, n: usize, timeout: Duration) {
        let came = self.inside.log.wait(n, timeout);
        assert!(came, "waited {timeout:?} for {n} requests; what came:\n{:#?}", self.requests());
    }

    /// How many tokens the authenticator has sent to STS.
    pub fn sts_calls(&self) -> usize {
        self.inside.webhook.sts_calls()
    }

    /// How many requests were answered from the cache of tokens, without the authenticator.
    pub fn cache_hits(&self) -> usize {
        self.inside.webhook.cache_hits()
    }

    /// Forgets every cached token, as a restarted API server has.
    pub fn forget_tokens(&self) {
        self.inside.webhook.forget();
    }
}

#[cfg(test)]
mod tests;
