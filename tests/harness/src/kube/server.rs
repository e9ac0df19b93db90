//! The API server of one cluster.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::api::objects::Objects;
use super::authenticator::Authenticator;
use super::handler;
use super::log::{Log, Served};
use super::shared::{ClusterState, SharedCluster};
use crate::aws::{AwsHandle, Cluster};
use crate::certificate::ServerCertificate;
use crate::clock::Clock;
use crate::serve::Server;

/// A running API server. Dropping it stops it and frees its port.
#[derive(Debug)]
pub struct ApiServer {
    pub(super) shared: Arc<SharedCluster>,
    server: Server,
}

impl ApiServer {
    /// Starts the API server of the cluster `name` on a free port of 127.0.0.1, with a CA of its own and a few pods. It
    /// sends tokens to `aws` and asks there who has access; [`ApiServer::cluster`] is what EKS should say of it.
    pub fn start(clock: Clock, aws: &AwsHandle, name: &str, region: &str) -> Self {
        let certificate = ServerCertificate::new(name);
        let acceptor = certificate.acceptor();
        let readers = ["system:masters", "view"].map(str::to_owned).into();
        let state =
            ClusterState { objects: Objects::of_cluster(name, clock.now()), readers, rejecting: 0, tokens: Vec::new() };
        let shared = Arc::new(SharedCluster {
            authenticator: Authenticator::new(clock.clone(), aws.clone(), name, region),
            clock,
            name: name.to_owned(),
            region: region.to_owned(),
            certificate,
            log: Log::default(),
            state: Mutex::new(state),
        });
        let handlers = Arc::clone(&shared);
        let server =
            Server::start(name, Some(acceptor), move |request| handler::handle(Arc::clone(&handlers), request));
        Self { shared, server }
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
        &self.shared.certificate.ca_pem
    }

    /// The same in base64, as `certificate-authority-data` has it.
    pub fn ca_base64(&self) -> String {
        STANDARD.encode(self.ca_pem())
    }

    /// What EKS says of it, for [`AwsHandle::add_cluster`].
    pub fn cluster(&self) -> Cluster {
        Cluster::new(&self.shared.name, &self.shared.region).endpoint(&self.url()).ca_pem(self.ca_pem())
    }

    /// A kubeconfig whose only user has this token: to see what the server says without an exec plugin.
    pub fn kubeconfig(&self, token: &str) -> String {
        let (name, url, ca) = (&self.shared.name, self.url(), self.ca_base64());
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
        let now = self.shared.clock.now();
        self.shared.state().objects.add_pod(namespace, name, now);
    }

    /// Lets the members of a group read pods and namespaces. At first `system:masters` and `view` may.
    pub fn allow_group(&self, group: &str) {
        self.shared.state().readers.insert(group.to_owned());
    }

    /// Takes that right from a group.
    pub fn forbid_group(&self, group: &str) {
        self.shared.state().readers.remove(group);
    }
}

/// What it does to requests, and what it has seen of them.
impl ApiServer {
    /// Answers the next `n` requests with 401, whatever token they bear; 0 ends it, `usize::MAX` is for ever.
    pub fn reject_next(&self, n: usize) {
        self.shared.state().rejecting = n;
    }

    /// Every request that has been answered, oldest first.
    pub fn requests(&self) -> Vec<Served> {
        self.shared.log.all()
    }

    /// Every token that a request has borne, refused ones too: once each, oldest first.
    pub fn tokens(&self) -> Vec<String> {
        self.shared.state().tokens.clone()
    }

    /// Who a token lets in, as a request with it would find out; the error is what the server's own log would say.
    pub fn who(&self, token: &str) -> Result<String, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(self.shared.authenticator.authenticate(token)).map(|user| user.username)
    }

    /// Waits until at least `n` requests have been answered. Panics with the log after `timeout` of real time.
    #[track_caller]
    pub fn wait_for_requests(&self, n: usize, timeout: Duration) {
        let came = self.shared.log.wait(n, timeout);
        assert!(came, "waited {timeout:?} for {n} requests; what came:\n{:#?}", self.requests());
    }

    /// How many tokens the authenticator has sent to STS.
    pub fn sts_calls(&self) -> usize {
        self.shared.authenticator.sts_calls()
    }

    /// How many requests were answered from the cache of tokens, without the authenticator.
    pub fn cache_hits(&self) -> usize {
        self.shared.authenticator.cache_hits()
    }

    /// Forgets every cached token, as a restarted API server has.
    pub fn forget_tokens(&self) {
        self.shared.authenticator.forget();
    }
}
