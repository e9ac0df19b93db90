//! The findings of failed calls before the cluster: of sources, of STS and of role chains.

use std::time::Duration;

use rolecall_protocol::{AdministratorRequest, ErrorBody, ErrorCode, Finding, FindingArea, Hint};

use super::diagnosis::{Diagnosis, Fatal, plugin_failure};
use super::network;
use crate::keyring::KeyringError;
use crate::sessions::{DenialReason, MfaError, SessionError};
use rolecall_aws::error::{AwsError, AwsErrorCode, AwsErrorKind, NETWORK_HINT};
use rolecall_aws::role_failure::{RoleFailure, RoleFailureReason};
use rolecall_aws::source::SourceError;
use rolecall_aws::sso::SsoError;
use rolecall_aws::sts::{StsError, StsOperation};
use rolecall_core::config::partition;
use rolecall_core::role_chain::RoleChain;

/// How long the search for the reason of a failed AssumeRole may take.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Returns the findings of a chain whose session could not be loaded. The reason of a failed AssumeRole is looked up.
pub(super) async fn of_load(diagnosis: &Diagnosis<'_>, chain: &RoleChain, error: &SessionError) -> Fatal {
    if let SessionError::Sts(failed) = error
        && !failed.error.kind.is_endpoint_failure()
    {
        let source = &diagnosis.profile.source_name;
        let explaining = diagnosis.components.sessions.explain_role_failure(chain, source, failed);
        if let Some(Some(failure)) = diagnosis.within(EXPLAIN_TIMEOUT, explaining).await
            && failure.reason != RoleFailureReason::Other
        {
            return of_role(failure, error.body(source).code);
        }
    }
    of_session(diagnosis, error).into()
}

/// Returns the findings of a failed AssumeRole: one for each administrator who has to act.
fn of_role(failure: RoleFailure, code: ErrorCode) -> Fatal {
    let area = match failure.reason {
        RoleFailureReason::CredentialsExpired
        | RoleFailureReason::UnknownAccessKey
        | RoleFailureReason::WrongSignature
        | RoleFailureReason::RootUser => FindingArea::Source,
        _ => FindingArea::Role,
    };
    let name = if area == FindingArea::Source { "source" } else { "assume role" };
    let problem =
        |cause: &str| Finding::problem(area, name, failure.reason.code(), cause).consequence(plugin_failure(code));
    let mut first = problem(&failure.cause);
    if let Some(fix) = &failure.fix {
        first = first.fix(fix);
    }
    let mut requests = failure.requests.into_iter();
    if let Some(request) = requests.next() {
        first = first.administrator(request);
    }
    let more = requests.map(|request| problem("both sides have to allow it").administrator(request));
    Fatal(std::iter::once(first).chain(more).collect())
}

/// Returns the finding of a session that could not be loaded.
pub(super) fn of_session(diagnosis: &Diagnosis<'_>, error: &SessionError) -> Finding {
    let source = &diagnosis.profile.source_name;
    let body = error.body(source);
    let code = match error {
        SessionError::Sts(error) => return of_sts_with(error, &body),
        SessionError::Denied { reason, .. } => {
            let code = match reason {
                DenialReason::IsThisRole => "source_is_the_role",
                DenialReason::UnusedMfa(_) => "mfa_unused",
            };
            return problem(FindingArea::Role, "assume role", code, &body);
        }
        SessionError::Source(error) => of_source(error),
        SessionError::Keyring { error, .. } => match error {
            KeyringError::Locked | KeyringError::Prompting => "keyring_locked",
            KeyringError::NotFound => "access_key_missing",
            _ => "keyring_unavailable",
        },
        SessionError::Mfa(error) => match error {
            MfaError::Needed { .. } | MfaError::Refused { .. } => "mfa_code_needed",
            MfaError::Process(_) | MfaError::CommandRefused => "mfa_process_failed",
            MfaError::Temporary => "mfa_without_access_key",
        },
        SessionError::Ended => "credentials_expired",
        SessionError::Overdue | SessionError::Slow => "source_slow",
        SessionError::Lost => "internal",
    };
    let finding = problem(FindingArea::Source, "source", code, &body);
    match error {
        _ if body.code == ErrorCode::LoginNeeded => finding.fix(Hint::command(format!("rolecall login {source}"))),
        SessionError::Source(SourceError::Sso { profile, error: SsoError::NoAssignment, .. }) => {
            finding.administrator(AdministratorRequest {
                to: "an administrator of IAM Identity Center".to_owned(),
                request: format!("Assign the account and the permission set of AWS profile \"{profile}\" to me."),
                commands: Vec::new(),
                statement: None,
            })
        }
        _ => finding,
    }
}

fn of_source(error: &SourceError) -> &'static str {
    if error.login().is_some() {
        return "login_expired";
    }
    match error {
        SourceError::NoProfile { .. } => "aws_profile_missing",
        SourceError::Files(_) => "aws_files_unusable",
        SourceError::Invalid { .. } => "aws_profile_invalid",
        SourceError::Process { .. } => "credential_process_failed",
        SourceError::Credentials { .. } => "source_credentials_invalid",
        SourceError::Sso { error: SsoError::NoAssignment, .. } => "no_assignment",
        SourceError::Sso { .. } => "identity_center_failed",
        SourceError::LoginNeeded { .. } | SourceError::Failed { .. } => "source_failed",
    }
}

/// Returns the finding of a failed call to STS.
pub(super) fn of_sts(diagnosis: &Diagnosis<'_>, error: &StsError) -> Finding {
    of_sts_with(error, &error.body(&diagnosis.profile.source_name))
}

fn of_sts_with(error: &StsError, body: &ErrorBody) -> Finding {
    let (area, code) = sts_code(&error.error);
    let is_of_role = matches!(error.operation, StsOperation::AssumeRole(_)) && !error.error.kind.is_endpoint_failure();
    let name = match area {
        FindingArea::Source => "source",
        _ if is_of_role => "assume role",
        _ => "STS",
    };
    problem(area, name, &code, body)
}

fn sts_code(error: &AwsError) -> (FindingArea, String) {
    let (area, code) = match (error.kind, error.code) {
        (_, Some(AwsErrorCode::RegionDisabled)) => (FindingArea::Role, "sts_region_disabled"),
        (AwsErrorKind::CredentialsRejected, Some(AwsErrorCode::ExpiredToken)) => {
            (FindingArea::Source, "credentials_expired")
        }
        (AwsErrorKind::CredentialsRejected, Some(AwsErrorCode::WrongSignature)) => {
            (FindingArea::Source, "signature_wrong")
        }
        (AwsErrorKind::CredentialsRejected, _) => (FindingArea::Source, "access_key_unknown"),
        (AwsErrorKind::Clock, _) => (FindingArea::Source, "clock_rejected"),
        (AwsErrorKind::Denied, _) => (FindingArea::Role, "role_denied"),
        (AwsErrorKind::Rejected | AwsErrorKind::NotFound, _) => (FindingArea::Role, "role_rejected"),
        (AwsErrorKind::Throttled, _) => (FindingArea::Role, "sts_throttled"),
        (AwsErrorKind::ServerFailed, _) => (FindingArea::Role, "sts_failed"),
        (AwsErrorKind::InvalidResponse, _) => (FindingArea::Role, "sts_intercepted"),
        (AwsErrorKind::Insecure | AwsErrorKind::Setting, _) => (FindingArea::Role, "aws_settings_invalid"),
        (AwsErrorKind::Unreachable | AwsErrorKind::UnknownHost | AwsErrorKind::Untrusted, _) => {
            let code = error.failure.map_or("unreachable", network::code);
            return (FindingArea::Role, format!("sts_{code}"));
        }
    };
    (area, code.to_owned())
}

/// Returns the finding of STS without a response.
pub(super) fn sts_silent(diagnosis: &Diagnosis<'_>) -> Finding {
    let region = &diagnosis.profile.chain.region;
    let body = ErrorBody::new(ErrorCode::AwsUnavailable, format!("STS of {region} does not answer")).hint(NETWORK_HINT);
    problem(FindingArea::Role, "STS", "sts_unreachable", &body)
}

/// Returns the finding of a source whose principal is of another partition than the profile's region.
pub(super) fn other_partition(diagnosis: &Diagnosis<'_>, arn: &str) -> Option<Finding> {
    let profile = diagnosis.profile;
    let region = &profile.chain.region;
    let (own, found) = (partition(region), arn.split(':').nth(1)?);
    if found == own {
        return None;
    }
    let cause = format!("{arn} is of the partition {found}, and the region {region} is of the partition {own}");
    Some(
        Finding::problem(FindingArea::Source, "source", "source_in_other_partition", cause)
            .consequence(plugin_failure(ErrorCode::AccessDenied))
            .fix(format!("Set source in [profiles.{}] of config.toml to one of the partition {own}.", profile.name)),
    )
}

/// Returns the finding of a region in which the account of the source does not use STS.
pub(super) fn region_disabled(diagnosis: &Diagnosis<'_>, arn: &str) -> Finding {
    let region = &diagnosis.profile.chain.region;
    let account = arn.split(':').nth(4).unwrap_or_default();
    let cause = format!("STS of {region} does not know the access key of {arn}, which STS of another region knows");
    Finding::problem(FindingArea::Role, "STS", "sts_region_disabled", cause)
        .consequence(plugin_failure(ErrorCode::SourceUnavailable))
        .administrator(AdministratorRequest {
            to: format!("an administrator of the AWS account {account}"),
            request: format!("Enable the region {region}, or STS in it (IAM console, Account settings, Endpoints)."),
            commands: vec![format!("aws account enable-region --region-name {region}")],
            statement: None,
        })
}

/// Returns the finding of a role chain's error, with what kubectl prints.
fn problem(area: FindingArea, name: &str, code: &str, body: &ErrorBody) -> Finding {
    let finding = Finding::problem(area, name, code, &body.message).consequence(plugin_failure(body.code));
    match &body.hint {
        Some(hint) => finding.fix(hint),
        None => finding,
    }
}
