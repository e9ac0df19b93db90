//! The findings of failed calls before the cluster: of sources, of STS and of role chains.

use rolecall_protocol::{AdministratorRequest, ErrorBody, ErrorCode, Finding, FindingArea};

use super::diagnosis::{Diagnosis, plugin_failure};
use crate::keyring::KeyringError;
use crate::sessions::{MfaError, SessionError};
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::SourceError;
use rolecall_aws::sso::SsoError;
use rolecall_aws::sts::{StsError, StsOperation};

/// Returns the finding of a session that could not be loaded.
pub(super) fn of_session(diagnosis: &Diagnosis<'_>, error: &SessionError) -> Finding {
    let source = &diagnosis.profile.source_name;
    let body = error.body(source);
    let code = match error {
        SessionError::Sts(error) | SessionError::Denied { error, .. } => {
            return of_sts_with(error, &body);
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
        SessionError::Ended => "source_credentials_expired",
        SessionError::Overdue | SessionError::Slow => "source_slow",
        SessionError::Lost => "internal",
    };
    let finding = problem(FindingArea::Source, "source", code, &body);
    match error {
        _ if body.code == ErrorCode::LoginNeeded => finding.fix(format!("rolecall login {source}")),
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
    let StsError { operation, error: cause } = error;
    let (area, code) = match cause.kind {
        AwsErrorKind::Denied => match operation {
            StsOperation::AssumeRole(_) => (FindingArea::Role, "role_denied"),
            _ => (FindingArea::Role, "sts_denied"),
        },
        AwsErrorKind::CredentialsRejected => (FindingArea::Source, "credentials_rejected"),
        AwsErrorKind::Clock => (FindingArea::Source, "clock_rejected"),
        AwsErrorKind::Rejected if error.is_too_long() => (FindingArea::Role, "duration_too_long"),
        AwsErrorKind::Rejected | AwsErrorKind::NotFound => (FindingArea::Role, "role_rejected"),
        AwsErrorKind::Throttled => (FindingArea::Role, "sts_throttled"),
        AwsErrorKind::Unreachable => (FindingArea::Role, "sts_unreachable"),
        AwsErrorKind::UnknownHost => (FindingArea::Role, "sts_unknown_host"),
        AwsErrorKind::Untrusted => (FindingArea::Role, "sts_untrusted"),
        AwsErrorKind::ServerFailed => (FindingArea::Role, "sts_failed"),
        AwsErrorKind::InvalidResponse => (FindingArea::Role, "sts_intercepted"),
        AwsErrorKind::Insecure | AwsErrorKind::Setting => (FindingArea::Role, "aws_settings_invalid"),
    };
    let name = match area {
        FindingArea::Source => "source",
        _ if matches!(operation, StsOperation::AssumeRole(_)) && !cause.kind.is_endpoint_failure() => "assume role",
        _ => "STS",
    };
    problem(area, name, code, body)
}

/// Returns the finding of STS without a response.
pub(super) fn sts_silent(diagnosis: &Diagnosis<'_>) -> Finding {
    let region = &diagnosis.profile.chain.region;
    let body = ErrorBody::new(ErrorCode::AwsUnavailable, format!("STS of {region} does not answer"))
        .hint(rolecall_aws::error::NETWORK_HINT);
    problem(FindingArea::Role, "STS", "sts_unreachable", &body)
}

/// Returns the finding of a region in which the account of the source does not use STS.
pub(super) fn region_disabled(diagnosis: &Diagnosis<'_>, arn: &str) -> Finding {
    let region = &diagnosis.profile.chain.region;
    let account = arn.split(':').nth(4).unwrap_or_default();
    let cause = format!("STS of {region} rejects the credentials of {arn}, which another region accepts");
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
