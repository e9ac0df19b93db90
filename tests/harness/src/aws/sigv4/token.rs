//! EKS tokens, as the reference clients mint them, and invalid ones.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::sign::Signer;
use crate::aws::access_key::AccessKey;

/// A token; every part can be made invalid, and the signature covers the invalid part.
///
/// ```
/// # use rolecall_harness::{AccessKey, TokenSpec};
/// # let key = AccessKey { id: "AKIA".into(), secret: "s".into(), arn: String::new(), session_token: None };
/// let token = TokenSpec::new(&key, "eu-west-1", "prod", std::time::UNIX_EPOCH).mint();
/// assert!(token.starts_with("k8s-aws-v1."));
/// ```
#[derive(Clone, Debug)]
pub struct TokenSpec {
    key: AccessKey,
    region: String,
    at: SystemTime,
    prefix: String,
    scheme: String,
    host: String,
    path: String,
    expires: String,
    /// `None`: the header is not signed.
    cluster: Option<String>,
    query: Vec<(String, String)>,
    unsigned: String,
}

impl TokenSpec {
    /// A valid token: signed by `key` at `at` for `cluster` (its name), for the regional endpoint of `region`.
    pub fn new(key: &AccessKey, region: &str, cluster: &str, at: SystemTime) -> Self {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            key: key.clone(),
            region: region.to_owned(),
            at,
            prefix: "k8s-aws-v1.".to_owned(),
            scheme: "https".to_owned(),
            host: format!("sts.{region}.amazonaws.com"),
            path: "/".to_owned(),
            expires: "60".to_owned(),
            cluster: Some(cluster.to_owned()),
            query: vec![pair("Action", "GetCallerIdentity"), pair("Version", "2011-06-15")],
            unsigned: String::new(),
        }
    }

    /// Sets another prefix than `k8s-aws-v1.`.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// Sets another scheme than `https`.
    #[must_use]
    pub fn scheme(self, scheme: &str) -> Self {
        Self { scheme: scheme.to_owned(), ..self }
    }

    /// Sets another host than that of the region.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// Sets another path than `/`.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Sets another `X-Amz-Expires` than `60`.
    #[must_use]
    pub fn expires(self, seconds: &str) -> Self {
        Self { expires: seconds.to_owned(), ..self }
    }

    /// Removes `x-k8s-aws-id` from the signed headers.
    #[must_use]
    pub fn without_cluster(self) -> Self {
        Self { cluster: None, ..self }
    }

    /// Sets a signed parameter, and replaces one of that name.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.query.retain(|(known, _)| known != name);
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends text after the signature: a fragment, or `&Action=GetCallerIdentity` for a repeated parameter.
    #[must_use]
    pub fn append(self, text: &str) -> Self {
        Self { unsigned: text.to_owned(), ..self }
    }

    /// Returns the presigned URL inside the token.
    pub fn url(&self) -> String {
        let signer = Signer { key: &self.key, region: &self.region, service: "sts", at: self.at };
        let query: Vec<(&str, &str)> = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut headers = vec![("host", self.host.as_str())];
        headers.extend(self.cluster.as_deref().map(|cluster| ("x-k8s-aws-id", cluster)));
        let query = signer.presign(&self.path, &query, &headers, &self.expires);
        format!("{}://{}{}?{query}{}", self.scheme, self.host, self.path, self.unsigned)
    }

    /// Returns the token.
    pub fn mint(&self) -> String {
        format!("{}{}", self.prefix, URL_SAFE_NO_PAD.encode(self.url()))
    }
}
