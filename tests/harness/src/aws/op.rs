//! The operations that the embedded AWS knows.

/// An operation of one of its services.
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
    /// AWS Sign-In, unsigned: what renews an `aws login`.
    CreateOAuth2Token,
    /// EKS.
    DescribeCluster,
    /// EKS.
    ListClusters,
    /// IAM Identity Center, OIDC.
    RegisterClient,
    /// IAM Identity Center, OIDC.
    StartDeviceAuthorization,
    /// IAM Identity Center, OIDC: the log has `grantType`.
    CreateToken,
    /// IAM Identity Center: a page that a person's browser opens to approve a login.
    Authorize,
    /// IAM Identity Center, portal.
    GetRoleCredentials,
    /// IAM Identity Center, portal.
    Logout,
    /// IAM Identity Center, portal.
    ListAccounts,
    /// IAM Identity Center, portal.
    ListAccountRoles,
    /// Anything else: it is logged and refused.
    Unknown,
}

impl Op {
    /// Every operation, for faults that hit all of AWS.
    pub const ALL: &[Self] = &[
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
        Self::GetCallerIdentity,
        Self::GetSessionToken,
        Self::CreateOAuth2Token,
        Self::DescribeCluster,
        Self::ListClusters,
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

    /// The operation of STS's `Action` parameter.
    pub(crate) fn of_action(action: &str) -> Self {
        match action {
            "AssumeRole" => Self::AssumeRole,
            "AssumeRoleWithWebIdentity" => Self::AssumeRoleWithWebIdentity,
            "GetCallerIdentity" => Self::GetCallerIdentity,
            "GetSessionToken" => Self::GetSessionToken,
            _ => Self::Unknown,
        }
    }
}
