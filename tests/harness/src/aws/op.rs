//! The operations of the embedded AWS.

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// STS.
    AssumeRole,
    /// STS, unsigned.
    AssumeRoleWithWebIdentity,
    /// STS: signed in headers, or presigned, as an API server forwards a token.
    GetCallerIdentity,
    /// STS.
    GetSessionToken,
    /// AWS Sign-In, unsigned: renews a login of `aws login`.
    CreateOAuth2Token,
    /// EKS.
    DescribeCluster,
    /// EKS.
    ListClusters,
    /// EKS.
    ListAccessEntries,
    /// EKS.
    DescribeAccessEntry,
    /// EKS.
    CreateAccessEntry,
    /// EKS.
    UpdateAccessEntry,
    /// EKS.
    DeleteAccessEntry,
    /// EKS.
    ListAccessPolicies,
    /// EKS.
    ListAssociatedAccessPolicies,
    /// EKS.
    AssociateAccessPolicy,
    /// EKS.
    DisassociateAccessPolicy,
    /// EKS.
    UpdateClusterConfig,
    /// EKS.
    DescribeUpdate,
    /// IAM.
    CreateAccessKey,
    /// IAM.
    DeleteAccessKey,
    /// IAM.
    ListAccessKeys,
    /// IAM.
    GetRole,
    /// IAM.
    ListRoles,
    /// IAM.
    GetUser,
    /// IAM Identity Center, OIDC.
    RegisterClient,
    /// IAM Identity Center, OIDC.
    StartDeviceAuthorization,
    /// IAM Identity Center, OIDC: the log has `grantType`.
    CreateToken,
    /// IAM Identity Center: the page in the browser on which a user approves a login.
    Authorize,
    /// IAM Identity Center, portal.
    GetRoleCredentials,
    /// IAM Identity Center, portal.
    Logout,
    /// IAM Identity Center, portal.
    ListAccounts,
    /// IAM Identity Center, portal.
    ListAccountRoles,
    /// Any other request: logged and rejected.
    Unknown,
}

impl Op {
    /// All operations, for faults that affect all of AWS.
    pub const ALL: &[Self] = &[
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
        Self::GetCallerIdentity,
        Self::GetSessionToken,
        Self::CreateOAuth2Token,
        Self::DescribeCluster,
        Self::ListClusters,
        Self::ListAccessEntries,
        Self::DescribeAccessEntry,
        Self::CreateAccessEntry,
        Self::UpdateAccessEntry,
        Self::DeleteAccessEntry,
        Self::ListAccessPolicies,
        Self::ListAssociatedAccessPolicies,
        Self::AssociateAccessPolicy,
        Self::DisassociateAccessPolicy,
        Self::UpdateClusterConfig,
        Self::DescribeUpdate,
        Self::CreateAccessKey,
        Self::DeleteAccessKey,
        Self::ListAccessKeys,
        Self::GetRole,
        Self::ListRoles,
        Self::GetUser,
        Self::RegisterClient,
        Self::StartDeviceAuthorization,
        Self::CreateToken,
        Self::Authorize,
        Self::GetRoleCredentials,
        Self::Logout,
        Self::ListAccounts,
        Self::ListAccountRoles,
        Self::Unknown,
    ];

    /// Returns the operation of an `Action` parameter of the query protocol.
    pub(crate) fn of_action(action: &str) -> Self {
        match action {
            "AssumeRole" => Self::AssumeRole,
            "AssumeRoleWithWebIdentity" => Self::AssumeRoleWithWebIdentity,
            "GetCallerIdentity" => Self::GetCallerIdentity,
            "CreateAccessKey" => Self::CreateAccessKey,
            "DeleteAccessKey" => Self::DeleteAccessKey,
            "ListAccessKeys" => Self::ListAccessKeys,
            "GetRole" => Self::GetRole,
            "GetUser" => Self::GetUser,
            "ListRoles" => Self::ListRoles,
            "GetSessionToken" => Self::GetSessionToken,
            _ => Self::Unknown,
        }
    }

    /// Returns whether this is an operation of IAM, which has the same protocol and path as STS.
    pub(crate) fn is_of_iam(self) -> bool {
        matches!(
            self,
            Self::CreateAccessKey
                | Self::DeleteAccessKey
                | Self::ListAccessKeys
                | Self::GetRole
                | Self::GetUser
                | Self::ListRoles
        )
    }
}
