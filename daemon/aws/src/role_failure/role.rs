//! The role in IAM: whether it exists, and its trust policy.

use std::time::Duration;

use rolecall_core::trust_policy::{Caller, TrustPolicy};
use rolecall_protocol::similar_names;

use super::{FailedAssumeRole, TrustPolicyReading};
use crate::client::Aws;
use crate::iam::{IamClient, IamPrincipal, Lookup};

/// How long the calls to IAM may take. The explanation is complete without them.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(4);

/// What IAM says about the role.
pub(super) struct RoleInIam {
    pub(super) reading: TrustPolicyReading,
    /// ARNs that may be meant, if there is no such role.
    pub(super) similar: Vec<String>,
}

impl RoleInIam {
    fn without_role(reading: TrustPolicyReading) -> Self {
        Self { reading, similar: Vec::new() }
    }
}

/// Reads the role with the session that signed the failed call.
pub(super) async fn read(aws: &Aws, failed: &FailedAssumeRole<'_>, caller: &Caller) -> RoleInIam {
    let role = failed.role();
    if role.account() != caller.account() || role.partition() != caller.partition() {
        return RoleInIam::without_role(TrustPolicyReading::OtherAccount);
    }
    let read = tokio::time::timeout(LOOKUP_TIMEOUT, look_up(aws, failed, caller)).await;
    read.unwrap_or_else(|_| RoleInIam::without_role(TrustPolicyReading::NotRead))
}

async fn look_up(aws: &Aws, failed: &FailedAssumeRole<'_>, caller: &Caller) -> RoleInIam {
    let (endpoint, role) = (failed.endpoint, failed.role());
    let credentials = failed.base.credentials.clone();
    let Ok(config) = aws.client_config(&endpoint.source, &endpoint.region, credentials).await else {
        return RoleInIam::without_role(TrustPolicyReading::NotRead);
    };
    let iam = IamClient::new(config, &endpoint.region);
    match iam.get_role(role.role_name()).await {
        // AssumeRole needs the exact ARN. The name finds a role with another path or in another case.
        Ok(Lookup::Found(found)) if found.arn != role.as_str() => {
            RoleInIam { reading: TrustPolicyReading::NoRole, similar: vec![found.arn] }
        }
        Ok(Lookup::Found(found)) => RoleInIam::without_role(judge(failed, caller, &found)),
        Ok(Lookup::NotFound) => {
            let names = iam.list_role_names().await.unwrap_or_default();
            let similar = similar_names(role.role_name(), names.iter().map(String::as_str));
            let similar = similar.into_iter().map(str::to_owned).collect();
            RoleInIam { reading: TrustPolicyReading::NoRole, similar }
        }
        Ok(Lookup::Denied { action }) => RoleInIam::without_role(TrustPolicyReading::Denied { action }),
        Err(error) => {
            tracing::info!(role = %role, %error, "role not read");
            RoleInIam::without_role(TrustPolicyReading::NotRead)
        }
    }
}

fn judge(failed: &FailedAssumeRole<'_>, caller: &Caller, found: &IamPrincipal) -> TrustPolicyReading {
    let policy = found.trust_policy.as_deref().map(TrustPolicy::parse);
    match policy {
        Some(Ok(policy)) => TrustPolicyReading::Judged(policy.judge(&failed.facts(caller))),
        Some(Err(_)) | None => TrustPolicyReading::NotRead,
    }
}
