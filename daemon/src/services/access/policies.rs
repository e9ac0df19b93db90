//! The policies endpoint: the access policies of EKS, and what each allows.

use rolecall_protocol::{AccessPolicies, AccessPolicy, ProfileName, sanitize_for_terminal};

use super::error::eks_error;
use super::{AccessService, AgentError};

/// What the access policies of EKS allow (EKS user guide, "Review access policy permissions").
const KNOWN_POLICIES: [(&str, &str); 17] = [
    ("AmazonEKSAdminPolicy", "Most actions in the scope, also on roles and role bindings, like the ClusterRole admin."),
    ("AmazonEKSAdminViewPolicy", "List and read everything, secrets included."),
    ("AmazonEKSClusterAdminPolicy", "Everything, like the group system:masters. Grant it for the whole cluster."),
    ("AmazonEKSEditPolicy", "Read and change most objects, secrets included, but no roles, like the ClusterRole edit."),
    ("AmazonEKSViewPolicy", "List and read most objects, but no secrets and no roles, like the ClusterRole view."),
    ("AmazonEKSSecretReaderPolicy", "Read secrets."),
    ("AmazonEKSAutoNodePolicy", "What nodes of EKS Auto Mode need. Not for users."),
    ("AmazonEKSBlockStoragePolicy", "What the storage of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSBlockStorageClusterPolicy", "What the storage of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSComputePolicy", "What the compute of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSComputeClusterPolicy", "What the compute of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSLoadBalancingPolicy", "What the load balancing of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSLoadBalancingClusterPolicy", "What the load balancing of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSNetworkingPolicy", "What the networking of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSNetworkingClusterPolicy", "What the networking of EKS Auto Mode needs. Not for users."),
    ("AmazonEKSHybridPolicy", "What EKS needs to reach nodes outside of AWS. Not for users."),
    ("AmazonEKSClusterInsightsPolicy", "What EKS reads for the insights of a cluster. Not for users."),
];

impl AccessService {
    /// Lists the access policies of EKS in the profile's region.
    pub async fn policies(&self, name: &ProfileName) -> Result<AccessPolicies, AgentError> {
        let profile = self.config.profile(name)?;
        let list = async {
            let cluster = self.connect(&profile, None).await?;
            let found = cluster.eks.list_access_policies().await;
            let found = found.map_err(|error| AgentError::new(name, eks_error(&error)))?;
            let policy = |policy: rolecall_aws::eks::AccessPolicy| AccessPolicy {
                allows: known_policy(&policy.name).map(str::to_owned),
                name: sanitize_for_terminal(&policy.name),
                arn: sanitize_for_terminal(&policy.arn),
            };
            let mut policies: Vec<_> = found.into_iter().map(policy).collect();
            policies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(AccessPolicies { policies })
        };
        self.lock.while_unlocked(name, Box::pin(list)).await
    }
}

fn known_policy(name: &str) -> Option<&'static str> {
    KNOWN_POLICIES.iter().find(|(known, _)| *known == name).map(|(_, allows)| *allows)
}
