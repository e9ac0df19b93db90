//! Calls to EKS.

mod access_entries;
mod access_policies;
mod cluster_config;
mod error;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_protocol::Region;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use access_entries::{AccessEntry, AccessEntryChange, NewAccessEntry, STANDARD};
pub use access_policies::{AccessPolicy, AccessScope, AssociatedPolicy};
pub use cluster_config::{AccessConfig, ClusterUpdate, EndpointAccess, UpdateError, UpdateStatus, VpcConfig};
pub use error::{EksError, EksErrorReason};

use crate::client::Aws;
use crate::endpoints;
use crate::retry;
use crate::signed_call::{Request, Target, WireFormat};
use rolecall_core::config::network::Service;
use rolecall_core::config::partition;

/// RFC 3986's unreserved characters stay as they are in a path segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The pages of a list that are read. A page has 100 items, and no list of EKS has 10,000.
const MAX_PAGES: usize = 100;
const MAX_ITEMS: usize = 10_000;

/// Calls EKS in one region with the credentials of one session.
#[derive(Debug)]
pub struct EksClient<'a> {
    config: SdkConfig,
    region: &'a Region,
    url: String,
}

/// A cluster as DescribeCluster returns it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksCluster {
    /// The ARN.
    pub arn: Option<String>,
    /// The URL of the API server; absent while the cluster is being created.
    pub endpoint: Option<String>,
    /// The CA of the API server; absent while the cluster is being created.
    pub certificate_authority: Option<CertificateAuthority>,
    /// The Kubernetes version, such as `1.35`.
    pub version: Option<String>,
    /// Such as `ACTIVE` or `CREATING`.
    pub status: Option<String>,
    /// The platform version of EKS, such as `eks.9`.
    pub platform_version: Option<String>,
    /// Its network; absent for a cluster that is not in a VPC.
    pub resources_vpc_config: Option<VpcConfig>,
    /// How it authenticates IAM principals; absent for an old cluster.
    pub access_config: Option<AccessConfig>,
}

/// The CA of an API server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CertificateAuthority {
    /// PEM in base64, as a kubeconfig has it.
    pub data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DescribeClusterOutput {
    cluster: Option<EksCluster>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListClustersOutput {
    clusters: Option<Vec<String>>,
    next_token: Option<String>,
}

/// One page of a list.
struct Page<T> {
    items: Vec<T>,
    next_token: Option<String>,
}

/// A response whose content does not matter; it must be a JSON object.
#[derive(Debug, Deserialize)]
struct Ignored {}

impl<'a> EksClient<'a> {
    /// Returns a client for the configured address of EKS, or else the region's own. `None` if AWS's rules have no EKS
    /// address for that region, FIPS or dual-stack setting.
    pub async fn new(config: SdkConfig, region: &'a Region) -> Option<Self> {
        let url = if let Some(url) = Aws::endpoint_url_of(&config, Service::Eks) {
            url
        } else {
            let (fips, dual_stack) = (config.use_fips(), config.use_dual_stack());
            regional_url(region, fips.unwrap_or_default(), dual_stack.unwrap_or_default()).await?
        };
        Some(Self { config, region, url })
    }

    /// DescribeCluster, in one attempt. `None` if the response has no cluster.
    pub async fn describe_cluster(&self, name: &str) -> Result<Option<EksCluster>, EksError> {
        let output: DescribeClusterOutput = self.once("DescribeCluster", path(&["clusters", name])).await?;
        Ok(output.cluster)
    }

    /// DescribeCluster, and again while EKS throttles it. Errors if the response has no cluster.
    pub async fn describe_cluster_retrying(&self, name: &str) -> Result<EksCluster, EksError> {
        let path = path(&["clusters", name]);
        let output: DescribeClusterOutput = self.retrying("DescribeCluster", "GET", path, None).await?;
        output.cluster.ok_or_else(|| EksError::invalid_response("the response of EKS has no cluster"))
    }

    /// The first page of ListClusters, in one attempt.
    pub async fn list_clusters(&self) -> Result<Vec<String>, EksError> {
        let output: ListClustersOutput = self.once("ListClusters", path(&["clusters"])).await?;
        Ok(output.clusters.unwrap_or_default())
    }

    /// ListClusters, all pages, and again while EKS throttles it.
    pub async fn list_all_clusters(&self) -> Result<Vec<String>, EksError> {
        let page = |output: ListClustersOutput| Page {
            items: output.clusters.unwrap_or_default(),
            next_token: output.next_token,
        };
        self.list("ListClusters", &path(&["clusters"]), page).await
    }

    /// Reads a list from all its pages. Errors if it has more than [`MAX_PAGES`] or [`MAX_ITEMS`], rather than leave out items.
    async fn list<O, T>(
        &self,
        operation: &'static str,
        path: &str,
        page: impl Fn(O) -> Page<T>,
    ) -> Result<Vec<T>, EksError>
    where
        O: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let (mut items, mut query) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let found = page(self.retrying(operation, "GET", format!("{path}{query}"), None).await?);
            items.extend(found.items);
            if items.len() > MAX_ITEMS {
                return Err(EksError::invalid_response(&format!("{operation} of EKS has more than {MAX_ITEMS} items")));
            }
            let Some(token) = found.next_token.filter(|token| !token.is_empty()) else { return Ok(items) };
            query = format!("?nextToken={}", utf8_percent_encode(&token, ENCODED));
        }
        Err(EksError::invalid_response(&format!("{operation} of EKS has more than {MAX_PAGES} pages")))
    }

    async fn once<T>(&self, operation: &'static str, path: String) -> Result<T, EksError>
    where
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let request = Request { operation, method: "GET", path, body: String::new() };
        let outcome = retry::send_once(&self.config, self.target(), request, read).await;
        outcome.map_err(|failed| EksError::new(operation, failed))
    }

    async fn retrying<T>(
        &self,
        operation: &'static str,
        method: &'static str,
        path: String,
        body: Option<&Value>,
    ) -> Result<T, EksError>
    where
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request { operation, method, path, body };
        let outcome = retry::send_with_retries(&self.config, self.target(), request, read).await;
        outcome.map_err(|failed| EksError::new(operation, failed))
    }

    fn target(&self) -> Target<'a> {
        Target { service: Service::Eks, url: self.url.clone(), region: self.region, format: WireFormat::RestJson }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BoxError> {
    // The response of a deletion may be empty (Smithy, AWS restJson1, "empty body serialization").
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(Into::into)
}

/// A `clientRequestToken`. EKS applies requests with the same token once, so that a retry is safe.
fn request_token() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn path(segments: &[&str]) -> String {
    segments.iter().flat_map(|segment| ["/".to_owned(), utf8_percent_encode(segment, ENCODED).to_string()]).collect()
}

/// The address of EKS in a region. The partition `aws` has a FIPS host of its own form.
async fn regional_url(region: &Region, fips: bool, dual_stack: bool) -> Option<String> {
    let of_fips = if !dual_stack && partition(region) == "aws" { "fips.eks" } else { "eks-fips" };
    endpoints::regional_url(region, (fips, dual_stack), "eks", of_fips).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses from the tests of the SDK's own client of EKS.
    #[tokio::test]
    async fn regional_url_by_partition_and_variant() {
        for (region, fips, dual_stack, host) in [
            ("eu-west-1", false, false, "eks.eu-west-1.amazonaws.com"),
            ("us-east-1", false, false, "eks.us-east-1.amazonaws.com"),
            ("us-east-1", true, false, "fips.eks.us-east-1.amazonaws.com"),
            ("us-east-1", true, true, "eks-fips.us-east-1.api.aws"),
            ("us-east-1", false, true, "eks.us-east-1.api.aws"),
            ("cn-north-1", false, false, "eks.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", true, true, "eks-fips.cn-north-1.api.amazonwebservices.com.cn"),
            ("cn-north-1", true, false, "eks-fips.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", false, true, "eks.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-gov-east-1", false, false, "eks.us-gov-east-1.amazonaws.com"),
            ("us-gov-east-1", true, false, "eks.us-gov-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "eks.us-gov-west-1.amazonaws.com"),
            ("us-gov-east-1", true, true, "eks-fips.us-gov-east-1.api.aws"),
            ("us-iso-east-1", false, false, "eks.us-iso-east-1.c2s.ic.gov"),
            ("us-iso-east-1", true, false, "eks-fips.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "eks.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            let url = regional_url(&region.parse().unwrap(), fips, dual_stack).await;
            assert_eq!(url, Some(format!("https://{host}")), "{region} {fips} {dual_stack}");
        }
    }

    #[test]
    fn path_segment_arn_is_encoded() {
        let arn = "arn:aws:iam::111122223333:role/dev";
        assert_eq!(
            path(&["clusters", "prod", "access-entries", arn]),
            "/clusters/prod/access-entries/arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fdev"
        );
    }
}
