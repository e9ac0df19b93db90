//! EKS clusters, as DescribeCluster returns them.

/// A cluster with defaults that a test can change.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) partition: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) version: String,
    pub(crate) status: String,
    pub(crate) id: Option<String>,
    pub(crate) authentication_mode: String,
    pub(crate) creator: Option<String>,
    /// Networks that reach the public endpoint; empty for a private endpoint only.
    pub(crate) public_networks: Vec<String>,
}

impl Cluster {
    /// An `ACTIVE` cluster of Kubernetes 1.33 in account 111122223333, without endpoint and CA.
    pub fn new(name: &str, region: &str) -> Self {
        Self {
            name: name.to_owned(),
            region: region.to_owned(),
            account: "111122223333".to_owned(),
            partition: "aws".to_owned(),
            endpoint: None,
            ca_pem: None,
            version: "1.33".to_owned(),
            status: "ACTIVE".to_owned(),
            id: None,
            authentication_mode: "API_AND_CONFIG_MAP".to_owned(),
            creator: None,
            public_networks: vec!["0.0.0.0/0".to_owned()],
        }
    }

    /// Sets the account: only its principals see the cluster.
    #[must_use]
    pub fn account(self, account: &str) -> Self {
        Self { account: account.to_owned(), ..self }
    }

    /// Sets the partition of the ARN; `aws` by default.
    #[must_use]
    pub fn partition(self, partition: &str) -> Self {
        Self { partition: partition.to_owned(), ..self }
    }

    /// Sets the URL of the API server.
    #[must_use]
    pub fn endpoint(self, url: &str) -> Self {
        Self { endpoint: Some(url.to_owned()), ..self }
    }

    /// Sets the CA of the API server, in PEM. EKS returns it in base64.
    #[must_use]
    pub fn ca_pem(self, pem: &str) -> Self {
        Self { ca_pem: Some(pem.to_owned()), ..self }
    }

    /// Sets the Kubernetes version: `1.33`.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self }
    }

    /// Sets the status: `CREATING`, `ACTIVE`, `DELETING`, `FAILED`, `UPDATING` or `PENDING`.
    #[must_use]
    pub fn status(self, status: &str) -> Self {
        Self { status: status.to_owned(), ..self }
    }

    /// Sets the id, which only a local cluster on an Outpost has. Its tokens are signed for the id instead of the
    /// name.
    #[must_use]
    pub fn local_id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// Sets the authentication mode: `CONFIG_MAP`, `API_AND_CONFIG_MAP` (the default) or `API`.
    #[must_use]
    pub fn authentication_mode(self, mode: &str) -> Self {
        Self { authentication_mode: mode.to_owned(), ..self }
    }

    /// Sets the user or role that created the cluster. In the mode `CONFIG_MAP` it is an administrator that no list shows; with
    /// the change of that mode it gets an access entry.
    #[must_use]
    pub fn creator(self, arn: &str) -> Self {
        Self { creator: Some(arn.to_owned()), ..self }
    }

    /// Limits the public endpoint to these networks. None: only the VPC reaches the API server.
    #[must_use]
    pub fn public_networks(self, networks: &[&str]) -> Self {
        Self { public_networks: networks.iter().map(|network| (*network).to_owned()).collect(), ..self }
    }

    /// Returns the ARN.
    pub fn arn(&self) -> String {
        format!("arn:{}:eks:{}:{}:cluster/{}", self.partition, self.region, self.account, self.name)
    }
}
