//! The operations that the embedded AWS knows.

/// An operation of one of its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// STS.
    AssumeRole,
    /// STS: signed in headers, or presigned, as an API server forwards a token.
    GetCallerIdentity,
    /// EKS.
    DescribeCluster,
    /// EKS.
    ListClusters,
    /// IAM.
    CreateAccessKey,
    /// IAM.
    DeleteAccessKey,
    /// IAM.
    ListAccessKeys,
    /// Anything else: it is logged and refused.
    Unknown,
}

impl Op {
    /// Every operation, for faults that hit all of AWS.
    pub const ALL: [Self; 8] = [
        Self::AssumeRole,
        Self::GetCallerIdentity,
        Self::DescribeCluster,
        Self::ListClusters,
        Self::CreateAccessKey,
        Self::DeleteAccessKey,
        Self::ListAccessKeys,
        Self::Unknown,
    ];

    /// The operation of the query protocol's `Action` parameter.
    pub(crate) fn of_action(action: &str) -> Self {
        match action {
            "AssumeRole" => Self::AssumeRole,
            "GetCallerIdentity" => Self::GetCallerIdentity,
            "CreateAccessKey" => Self::CreateAccessKey,
            "DeleteAccessKey" => Self::DeleteAccessKey,
            "ListAccessKeys" => Self::ListAccessKeys,
            _ => Self::Unknown,
        }
    }

    /// Whether it is one of IAM's, which share the query protocol and the path with STS's.
    pub(crate) fn is_of_iam(self) -> bool {
        matches!(self, Self::CreateAccessKey | Self::DeleteAccessKey | Self::ListAccessKeys)
    }
}
