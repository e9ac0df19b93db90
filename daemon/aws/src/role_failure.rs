//! Why an AssumeRole failed, who can fix it, and with which statement.
//!
//! AWS answers a wrong role name, a trust policy and a missing permission with one code. The message, the role and its trust
//! policy, where the caller may read them, tell these apart.

mod denied;
mod request;
mod role;

use rolecall_core::role_chain::{RoleStep, StsEndpoint};
use rolecall_core::session::Session;
use rolecall_core::trust_policy::{AssumeRoleFacts, Caller, MfaUse, TrustVerdict};
use rolecall_protocol::{AdministratorRequest, Hint, RoleArn, SourceName};

use crate::client::Aws;
use crate::error::{AwsErrorCode, AwsErrorKind};
use crate::sts::StsError;

/// A failed AssumeRole, with what the call was made of.
#[derive(Clone, Copy)]
pub struct FailedAssumeRole<'a> {
    /// The error.
    pub error: &'a StsError,
    /// The endpoint of the call.
    pub endpoint: &'a StsEndpoint,
    /// The role and its parameters.
    pub step: &'a RoleStep,
    /// The session name of the call.
    pub session_name: &'a str,
    /// The source of the profile.
    pub source: &'a SourceName,
    /// The session that signed the call. It signs the calls to IAM.
    pub base: &'a Session,
    /// The ARN of that session, by GetCallerIdentity.
    pub caller_arn: &'a str,
    /// The role of that session if the chain assumed it: its ARN has the path, which the session's ARN leaves out.
    pub caller_role: Option<&'a RoleArn>,
    /// The use of MFA in the call, or in that session.
    pub mfa: MfaUse,
}

/// Why an AssumeRole failed. The texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleFailure {
    /// The kind of cause.
    pub reason: RoleFailureReason,
    /// The cause as a sentence.
    pub cause: String,
    /// What the user does about it, if the user alone can.
    pub fix: Option<Hint>,
    /// What the trust policy of the role says, or why it was not read.
    pub trust_policy: TrustPolicyReading,
    /// What administrators do about it. All of them are needed, unless the cause says otherwise.
    pub requests: Vec<AdministratorRequest>,
}

/// The kind of cause of a failed AssumeRole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleFailureReason {
    /// The role does not exist, or has another path.
    RoleNotFound,
    /// No identity policy of the caller allows the call.
    IdentityPolicy,
    /// The trust policy does not allow the call to the caller.
    TrustPolicy,
    /// The trust policy requires an external id.
    ExternalId,
    /// The trust policy requires MFA.
    Mfa,
    /// AWS did not accept the MFA code or device.
    MfaCode,
    /// The trust policy requires another session name.
    SessionName,
    /// The trust policy requires other session tags, or `sts:TagSession` is not allowed.
    SessionTags,
    /// The trust policy requires another source identity, or `sts:SetSourceIdentity` is not allowed.
    SourceIdentity,
    /// A Deny statement applies.
    ExplicitDeny,
    /// A policy of the organization does not allow the call.
    OrganizationPolicy,
    /// The permissions boundary of the caller does not allow the call.
    PermissionsBoundary,
    /// The session policy of the caller does not allow the call.
    SessionPolicy,
    /// The policy of a VPC endpoint does not allow the call.
    VpcEndpointPolicy,
    /// The caller is the root user of an account.
    RootUser,
    /// AWS denied the call, and neither AWS nor the trust policy says why.
    Denied,
    /// The role does not allow sessions of that duration.
    Duration,
    /// STS is not activated in the region.
    RegionDisabled,
    /// The credentials of the caller have expired.
    CredentialsExpired,
    /// AWS does not know the access key of the caller.
    UnknownAccessKey,
    /// The signature does not match: the secret key is wrong.
    WrongSignature,
    /// Another error: of the network, the clock, or a parameter.
    Other,
}

/// What the trust policy of a role says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustPolicyReading {
    /// It was read, and judged.
    Judged(TrustVerdict),
    /// The caller may not read the role: it lacks this permission.
    Denied {
        /// `iam:GetRole`
        action: &'static str,
    },
    /// The role is in another account, whose roles the caller cannot read.
    OtherAccount,
    /// The role does not exist.
    NoRole,
    /// It is not needed, or IAM did not return it.
    NotRead,
}

impl RoleFailureReason {
    /// The name for programs, such as `trust_policy`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RoleNotFound => "role_not_found",
            Self::IdentityPolicy => "identity_policy",
            Self::TrustPolicy => "trust_policy",
            Self::ExternalId => "external_id",
            Self::Mfa => "mfa_required",
            Self::MfaCode => "mfa_code_refused",
            Self::SessionName => "session_name",
            Self::SessionTags => "session_tags",
            Self::SourceIdentity => "source_identity",
            Self::ExplicitDeny => "explicit_deny",
            Self::OrganizationPolicy => "organization_policy",
            Self::PermissionsBoundary => "permissions_boundary",
            Self::SessionPolicy => "session_policy",
            Self::VpcEndpointPolicy => "vpc_endpoint_policy",
            Self::RootUser => "root_user",
            Self::Denied => "role_denied",
            Self::Duration => "duration_too_long",
            Self::RegionDisabled => "sts_region_disabled",
            Self::CredentialsExpired => "credentials_expired",
            Self::UnknownAccessKey => "access_key_unknown",
            Self::WrongSignature => "signature_wrong",
            Self::Other => "role_failed",
        }
    }
}

impl RoleFailure {
    fn new(reason: RoleFailureReason, cause: impl Into<String>) -> Self {
        let (cause, trust_policy) = (cause.into(), TrustPolicyReading::NotRead);
        Self { reason, cause, fix: None, trust_policy, requests: Vec::new() }
    }

    fn fix(mut self, fix: impl Into<Hint>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn request(mut self, request: AdministratorRequest) -> Self {
        self.requests.push(request);
        self
    }
}

impl<'a> FailedAssumeRole<'a> {
    fn role(&self) -> &'a RoleArn {
        &self.step.role
    }

    /// The principal that signed; `None` if its ARN has an unknown form.
    fn caller(&self) -> Option<Caller> {
        let caller = Caller::parse(self.caller_arn)?;
        Some(match self.caller_role {
            Some(role) => caller.with_role_arn(role.as_str()),
            None => caller,
        })
    }

    fn facts<'b>(&'b self, caller: &'b Caller) -> AssumeRoleFacts<'b> {
        let inputs = self.step.inputs.as_deref();
        let tags = inputs.map(|inputs| inputs.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect());
        let transitive_tags =
            inputs.map(|inputs| inputs.transitive_tags.iter().map(rolecall_protocol::TagKey::as_str).collect());
        AssumeRoleFacts {
            caller,
            session_name: self.session_name,
            external_id: self.step.external_id.as_ref().map(rolecall_protocol::ExternalId::as_str),
            mfa: self.mfa,
            tags: tags.unwrap_or_default(),
            transitive_tags: transitive_tags.unwrap_or_default(),
            source_identity: inputs
                .and_then(|inputs| inputs.source_identity.as_ref())
                .map(rolecall_protocol::SourceIdentity::as_str),
        }
    }
}

/// Finds out why an AssumeRole failed. Reads the role from IAM if AWS denied the call and the role is in the caller's account.
pub async fn explain(aws: &Aws, failed: &FailedAssumeRole<'_>) -> RoleFailure {
    let error = &failed.error.error;
    if let (Some(denial), Some(caller)) = (failed.error.denial(), failed.caller()) {
        return denied::explain(aws, failed, &denial, &caller).await;
    }
    match (error.kind, error.code) {
        (_, Some(AwsErrorCode::RegionDisabled)) => region_disabled(failed),
        (AwsErrorKind::CredentialsRejected, Some(AwsErrorCode::ExpiredToken)) => {
            let cause = format!("the credentials of source \"{}\" have expired: {}", failed.source, error.message);
            RoleFailure::new(RoleFailureReason::CredentialsExpired, cause).fix(login(failed))
        }
        (AwsErrorKind::CredentialsRejected, Some(AwsErrorCode::UnknownKey)) => {
            let id = failed.base.credentials.access_key_id();
            let cause = format!(
                "AWS does not know the access key {} of source \"{}\": it was deleted, or belongs to another partition",
                rolecall_protocol::sanitize_for_terminal(id),
                failed.source
            );
            RoleFailure::new(RoleFailureReason::UnknownAccessKey, cause)
                .fix("Put the present access key where the source has it: AWS's own files or the OS keyring.")
        }
        (AwsErrorKind::CredentialsRejected, Some(AwsErrorCode::WrongSignature)) => {
            let cause = format!(
                "the signature does not match: the secret key of source \"{}\" is wrong, or a proxy changes requests",
                failed.source
            );
            RoleFailure::new(RoleFailureReason::WrongSignature, cause)
                .fix("Put the secret key again where the source has it: AWS's own files or the OS keyring.")
        }
        _ => {
            let reason =
                if failed.error.is_too_long() { RoleFailureReason::Duration } else { RoleFailureReason::Other };
            let body = failed.error.body(failed.source);
            let failure = RoleFailure::new(reason, body.message);
            match (reason, body.hint) {
                (RoleFailureReason::Duration, _) => duration(failed, failure),
                (_, Some(hint)) => failure.fix(hint),
                (_, None) => failure,
            }
        }
    }
}

fn login(failed: &FailedAssumeRole<'_>) -> Hint {
    Hint::command(format!("rolecall login {}", failed.source))
}

fn region_disabled(failed: &FailedAssumeRole<'_>) -> RoleFailure {
    let region = &failed.endpoint.region;
    let account = failed.caller_arn.split(':').nth(4).unwrap_or_default();
    let cause = format!("STS is not activated in {region} for the account {account}");
    RoleFailure::new(RoleFailureReason::RegionDisabled, cause).request(request::new(
        account,
        format!("Activate STS in {region}: IAM console, Account settings, Security Token Service (STS), Endpoints."),
    ))
}

fn duration(failed: &FailedAssumeRole<'_>, failure: RoleFailure) -> RoleFailure {
    let role = failed.role();
    let mut request = request::new(
        role.account(),
        format!("Raise the maximum session duration of {role} to {} s.", failed.step.duration.as_secs()),
    );
    request.commands = vec![format!(
        "aws iam update-role --role-name {} --max-session-duration {}",
        role.role_name(),
        failed.step.duration.as_secs()
    )];
    failure.fix("Set a shorter duration in the profile: duration = \"1h\".").request(request)
}
