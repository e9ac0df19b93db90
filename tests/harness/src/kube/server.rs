//! The API server of one cluster.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde_json::{Value, json};

use super::api::objects::{Kind, Objects};
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
    /// Starts the API server of the cluster `name` on a free port of 127.0.0.1, with a CA of its own and a few pods.
    /// It sends tokens to `aws` and uses its access entries. [`ApiServer::cluster`] is the description for EKS.
    pub fn start(clock: Clock, aws: &AwsHandle, name: &str, region: &str) -> Self {
        let certificate = ServerCertificate::new(name);
        let acceptor = certificate.acceptor();
        let state = ClusterState {
            objects: Objects::of_cluster(name, clock.now()),
            rejecting: 0,
            tokens: Vec::new(),
            edit_before_replace: None,
            reject_after_replace: None,
        };
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

    /// Returns `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.server.addr())
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Returns the certificate of its CA in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.shared.certificate.ca_pem
    }

    /// Returns the certificate of its CA in base64, as `certificate-authority-data`.
    pub fn ca_base64(&self) -> String {
        STANDARD.encode(self.ca_pem())
    }

    /// Returns the description for EKS, for [`AwsHandle::add_cluster`].
    pub fn cluster(&self) -> Cluster {
        Cluster::new(&self.shared.name, &self.shared.region).endpoint(&self.url()).ca_pem(self.ca_pem())
    }

    /// Returns a kubeconfig with this static token, without an exec plugin.
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

/// The objects of the cluster and the groups that may read them.
impl ApiServer {
    /// Adds a running pod, and its namespace if it is new.
    pub fn add_pod(&self, namespace: &str, name: &str) {
        let now = self.shared.clock.now();
        self.shared.state().objects.add_pod(namespace, name, now);
    }

    /// Binds the ClusterRole `view` to a group. At first the group `view` has it, and `system:masters` has `cluster-admin`.
    pub fn allow_group(&self, group: &str) {
        self.bind(None, &format!("view-{group}"), "view", &[("Group", group)]);
    }

    /// Binds a ClusterRole (`cluster-admin`, `admin`, `edit`, `view`, or one without rules) to users and groups, such as
    /// `("Group", "developers")`: with a RoleBinding in a namespace, or with a ClusterRoleBinding.
    pub fn bind(&self, namespace: Option<&str>, name: &str, role: &str, subjects: &[(&str, &str)]) {
        let now = self.shared.clock.now();
        self.shared.state().objects.bind(namespace, name, role, subjects, now);
    }
}

/// The ConfigMap kube-system/aws-auth.
impl ApiServer {
    /// Returns the ConfigMap, as the API serves it; `None` if there is none.
    pub fn aws_auth(&self) -> Option<Value> {
        self.shared.aws_auth()
    }

    /// Creates the ConfigMap with this data, or replaces its data, as another administrator does.
    pub fn set_aws_auth(&self, data: &[(&str, &str)]) {
        let mut object = self.aws_auth().unwrap_or_else(|| json!({ "metadata": {} }));
        object["data"] = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.put_aws_auth(object);
    }

    /// Deletes the ConfigMap.
    pub fn remove_aws_auth(&self) {
        self.shared.state().objects.remove(Kind::ConfigMap, "kube-system", "aws-auth");
    }

    /// Adds a line to `mapRoles`. An ARN with a path never matches, as in the real authenticator.
    pub fn map_role(&self, role_arn: &str, username: &str, groups: &[&str]) {
        self.add_line("mapRoles", "rolearn", role_arn, username, groups);
    }

    /// Adds a line to `mapUsers`.
    pub fn map_user(&self, user_arn: &str, username: &str, groups: &[&str]) {
        self.add_line("mapUsers", "userarn", user_arn, username, groups);
    }

    /// Stores this data just before the next replacement of an object: an edit of another administrator in between, which makes
    /// the replacement a conflict.
    pub fn edit_before_replace(&self, data: &[(&str, &str)]) {
        let data: Value = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.shared.state().edit_before_replace = Some(json!({ "data": data }));
    }

    /// Responds with 401 to this many requests after the next replacement of an object, whatever their token.
    pub fn reject_after_replace(&self, requests: usize) {
        self.shared.state().reject_after_replace = Some(requests);
    }

    fn put_aws_auth(&self, object: Value) {
        let now = self.shared.clock.now();
        self.shared.state().objects.put_json(Kind::ConfigMap, "kube-system", "aws-auth", object, now);
    }

    fn add_line(&self, list: &str, key: &str, arn: &str, username: &str, groups: &[&str]) {
        let mut object = self.aws_auth().unwrap_or_else(|| json!({ "metadata": {}, "data": {} }));
        let before = object["data"][list].as_str().unwrap_or_default();
        // A list in JSON is one in YAML too.
        let groups = format!("  groups: {}\n", json!(groups));
        object["data"][list] = json!(format!("{before}- {key}: {arn}\n  username: \"{username}\"\n{groups}"));
        self.put_aws_auth(object);
    }
}

/// Control and inspection of requests.
impl ApiServer {
    /// Responds to the next `n` requests with 401, whatever their token; 0 ends it, `usize::MAX` rejects all.
    pub fn reject_next(&self, n: usize) {
        self.shared.state().rejecting = n;
    }

    /// Returns every request so far, oldest first.
    pub fn requests(&self) -> Vec<Served> {
        self.shared.log.all()
    }

    /// Returns every token of a request, including rejected ones: each once, oldest first.
    pub fn tokens(&self) -> Vec<String> {
        self.shared.state().tokens.clone()
    }

    /// Returns the username of a token, or the reason why it is invalid.
    pub fn username(&self, token: &str) -> Result<String, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(self.shared.authenticate(token)).map(|user| user.username)
    }

    /// Waits until at least `n` requests have a response. Panics with the log after `timeout` of real time.
    #[track_caller]
    pub fn wait_for_requests(&self, n: usize, timeout: Duration) {
        let reached = self.shared.log.wait(n, timeout);
        assert!(reached, "waited {timeout:?} for {n} requests; the log:\n{:#?}", self.requests());
    }

    /// Returns how many tokens the authenticator has sent to STS.
    pub fn sts_calls(&self) -> usize {
        self.shared.authenticator.sts_calls()
    }

    /// Returns how many requests were served from the token cache.
    pub fn cache_hits(&self) -> usize {
        self.shared.authenticator.cache_hits()
    }

    /// Clears the token cache, as a restart of the API server does.
    pub fn clear_token_cache(&self) {
        self.shared.authenticator.clear_cache();
    }
}
