//! DescribeCluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::cluster::Cluster;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::permission::authorize;
use crate::random::request_id;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = call.request.segments().into_iter().nth(1).unwrap_or_default();
    // The permission comes first: a caller without it does not learn which clusters exist.
    authorize(call, "eks:DescribeCluster", &name)?;
    let account = call.caller.account();
    let state = call.shared.state();
    let owned =
        |cluster: &&Cluster| cluster.name == name && cluster.region == call.region && cluster.account == account;
    let cluster = state.clusters.iter().find(owned).ok_or_else(|| {
        ApiError::new(404, "ResourceNotFoundException", format!("No cluster found for name: {name}."))
    })?;
    Ok(Reply::json(200, &request_id(), &json!({ "cluster": describe(cluster) })))
}

/// Returns the fields of the real response for a cluster with public access, in the form of SDKs of 2026.
fn describe(cluster: &Cluster) -> Value {
    let (region, account) = (&cluster.region, &cluster.account);
    let issuer = format!("https://oidc.eks.{region}.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E");
    let mut shown = json!({
        "name": cluster.name,
        "arn": cluster.arn(),
        "createdAt": 1_735_689_600.0,
        "version": cluster.version,
        "roleArn": format!("arn:{}:iam::{account}:role/eks-cluster", cluster.partition),
        "resourcesVpcConfig": {
            "subnetIds": ["subnet-0a1b2c3d4e5f60718", "subnet-0918f7e6d5c4b3a29"],
            "securityGroupIds": [],
            "clusterSecurityGroupId": "sg-0123456789abcdef0",
            "vpcId": "vpc-0fedcba9876543210",
            "endpointPublicAccess": true,
            "endpointPrivateAccess": true,
            "publicAccessCidrs": ["0.0.0.0/0"],
        },
        "kubernetesNetworkConfig": { "serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4" },
        "logging": { "clusterLogging": [{ "types": ["api", "audit", "authenticator"], "enabled": false }] },
        "identity": { "oidc": { "issuer": issuer } },
        "status": cluster.status,
        "platformVersion": "eks.9",
        "tags": {},
        "health": { "issues": [] },
        "accessConfig": { "authenticationMode": "API_AND_CONFIG_MAP" },
        "upgradePolicy": { "supportType": "EXTENDED" },
    });
    // These are absent while a cluster is being created.
    if let Some(endpoint) = &cluster.endpoint {
        shown["endpoint"] = json!(endpoint);
    }
    if let Some(pem) = &cluster.ca_pem {
        shown["certificateAuthority"] = json!({ "data": STANDARD.encode(pem) });
    }
    if let Some(id) = &cluster.id {
        shown["id"] = json!(id);
    }
    shown
}
