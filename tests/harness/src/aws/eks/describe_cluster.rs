//! DescribeCluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::cluster::Cluster;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::permission::authorize;
use super::target;
use crate::random::request_id;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = target::segment(call, 1);
    // The permission comes first: a caller without it does not learn which clusters exist.
    authorize(call, "eks:DescribeCluster", &name)?;
    let mut state = call.shared.state();
    let cluster = target::cluster(call, &mut state, &name)?.clone();
    let mut shown = describe(&cluster);
    if state.updates.is_in_progress(&cluster.arn()) {
        shown["status"] = json!("UPDATING");
    }
    Ok(Reply::json(200, &request_id(), &json!({ "cluster": shown })))
}

/// Returns the fields of the real response in the form of SDKs of 2026.
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
            "endpointPublicAccess": !cluster.public_networks.is_empty(),
            "endpointPrivateAccess": true,
            "publicAccessCidrs": cluster.public_networks,
        },
        "kubernetesNetworkConfig": { "serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4" },
        "logging": { "clusterLogging": [{ "types": ["api", "audit", "authenticator"], "enabled": false }] },
        "identity": { "oidc": { "issuer": issuer } },
        "status": cluster.status,
        "platformVersion": "eks.9",
        "tags": {},
        "health": { "issues": [] },
        "accessConfig": { "authenticationMode": cluster.authentication_mode },
        "upgradePolicy": { "supportType": "EXTENDED" },
    });
    // These are absent while a cluster is being created.
    if let Some(endpoint) = &cluster.endpoint {
        shown["endpoint"] = json!(endpoint);
    }
    if let Some(pem) = &cluster.ca_pem {
        shown["certificateAuthority"] = json!({ "data": STANDARD.encode(pem) });
    }
    if cluster.creator.is_some() {
        shown["accessConfig"]["bootstrapClusterCreatorAdminPermissions"] = json!(true);
    }
    if let Some(id) = &cluster.id {
        shown["id"] = json!(id);
    }
    shown
}
