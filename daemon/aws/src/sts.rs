//! Calls to STS.

mod denied;
mod inputs;
mod response;
mod session_token;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::types::Credentials as StsCredentials;

use crate::client::{ATTEMPT_TIMEOUT, Aws};
use crate::credentials;
use crate::denial::Denial;
use crate::error::{AwsError, AwsErrorCode, AwsErrorKind};
use crate::texts;
use rolecall_core::config::SESSION_RANGE;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::config::network::Service;
use rolecall_core::endpoint_calls::TotalTimeout;
use rolecall_core::role_chain::{MAX_CHAINED_DURATION, RoleStep, StsEndpoint};
use rolecall_core::session::Session;
use rolecall_protocol::{ErrorBody, ErrorCode, MfaSerial, RoleArn, SessionName, SourceName};
pub use session_token::{MfaCode, get_session_token};

/// A failed call to STS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", .error.message)]
pub struct StsError {
    /// The operation.
    pub operation: StsOperation,
    /// The error.
    pub error: AwsError,
}

/// An operation of STS with its main input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsOperation {
    /// AssumeRole.
    AssumeRole(RoleArn),
    /// GetSessionToken with a code of this MFA device.
    GetSessionToken(MfaSerial),
    /// GetCallerIdentity.
    GetCallerIdentity,
}

/// The input of AssumeRole.
#[derive(Clone, Copy)]
pub struct AssumeRoleInput<'a> {
    /// The endpoint to call.
    pub endpoint: &'a StsEndpoint,
    /// The role and its parameters.
    pub step: &'a RoleStep,
    /// The session name.
    pub name: &'a SessionName,
    /// The session that signs the call.
    pub base: &'a Session,
    /// The MFA code, if the role requires one in the call.
    pub code: Option<MfaCode<'a>>,
    /// Whether AWS limited the last session to one hour.
    pub is_clamped: bool,
}

/// Assumes a role. Retries transient errors within 7 s. Requests a session of one hour if AWS grants no longer one.
pub async fn assume_role(aws: &Aws, input: AssumeRoleInput<'_>) -> Result<Session, StsError> {
    let step = input.step;
    let failed = |error| StsError { operation: StsOperation::AssumeRole(step.role.clone()), error };
    let client = client(aws, input.endpoint, input.base).await.map_err(failed)?;
    let timeout = TotalTimeout::default();
    let send = |duration: Duration| send_with_retries(aws, &input, &client, duration, &timeout);
    let longest = if input.is_clamped { step.duration.min(MAX_CHAINED_DURATION) } else { step.duration };
    let (response, granted) = match send(longest).await {
        // The base is a session of a role, or the role allows less. AWS always grants one hour.
        Err(error) if longest > MAX_CHAINED_DURATION && input.code.is_none() && is_too_long(&error) => {
            tracing::info!(role = %step.role, "session duration limited to 1 h by AWS");
            (send(MAX_CHAINED_DURATION).await, MAX_CHAINED_DURATION)
        }
        response => (response, longest),
    };
    response
        .and_then(|response| session_from_response(&response, step, aws.now()))
        .map(|session| Session { is_clamped: granted < step.duration, ..session })
        .map_err(failed)
}

/// Returns the ARN of the principal whose credentials these are.
pub async fn get_caller_identity(aws: &Aws, endpoint: &StsEndpoint, session: &Session) -> Result<String, StsError> {
    let failed = |error| StsError { operation: StsOperation::GetCallerIdentity, error };
    let client = client(aws, endpoint, session).await.map_err(failed)?;
    // In a box because the future has many kilobytes.
    let call = Box::pin(client.get_caller_identity().send());
    let response = aws.call(endpoint, ATTEMPT_TIMEOUT, call).await;
    match response.map_err(failed)?.arn {
        Some(arn) => Ok(rolecall_protocol::sanitize_for_terminal(&arn)),
        None => Err(failed(AwsError::invalid_response("the response has no ARN"))),
    }
}

async fn client(aws: &Aws, endpoint: &StsEndpoint, base: &Session) -> Result<aws_sdk_sts::Client, AwsError> {
    let shared = aws.client_config(&endpoint.source, &endpoint.region, base.credentials.clone()).await?;
    let mut config = aws_sdk_sts::config::Builder::from(&shared).interceptor(response::CheckResponse);
    let url =
        endpoint.sts.url.as_ref().map(ToString::to_string).or_else(|| Aws::endpoint_url_of(&shared, Service::Sts));
    // The SDK rejects a configured URL together with the FIPS or dual-stack setting.
    let EndpointVariant { fips, dual_stack } = endpoint.sts.variant;
    if url.is_some() || fips {
        config.set_use_fips(Some(url.is_none()));
    }
    if url.is_some() || dual_stack {
        config.set_use_dual_stack(Some(url.is_none()));
    }
    config.set_endpoint_url(url);
    Ok(aws_sdk_sts::Client::from_conf(config.build()))
}

/// Sends AssumeRole, and again after transient errors, unless the first attempt uses up an MFA code.
async fn send_with_retries(
    aws: &Aws,
    input: &AssumeRoleInput<'_>,
    client: &aws_sdk_sts::Client,
    duration: Duration,
    timeout: &TotalTimeout,
) -> Result<AssumeRoleOutput, AwsError> {
    if input.code.is_some() {
        return send_once(aws, input, client, duration, timeout).await;
    }
    // The last attempt may end before the connection fails. The host of an earlier one is the same.
    let host = OnceLock::new();
    let attempt = || async {
        let sent = send_once(aws, input, client, duration, timeout).await;
        sent.inspect_err(|error| drop(error.host.clone().map(|name| host.set(name))))
    };
    let outcome = aws.with_retries(input.endpoint, timeout, attempt).await;
    outcome.map_err(|error| AwsError { host: error.host.clone().or_else(|| host.get().cloned()), ..error })
}

async fn send_once(
    aws: &Aws,
    input: &AssumeRoleInput<'_>,
    client: &aws_sdk_sts::Client,
    duration: Duration,
    timeout: &TotalTimeout,
) -> Result<AssumeRoleOutput, AwsError> {
    let step = input.step;
    let request = client
        .assume_role()
        .role_arn(step.role.as_str())
        .role_session_name(input.name.as_str())
        .set_external_id(step.external_id.as_ref().map(ToString::to_string))
        .set_serial_number(input.code.map(|code| code.serial.to_string()))
        .set_token_code(input.code.map(|code| code.code.expose().clone()))
        .duration_seconds(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    let request = match &step.inputs {
        Some(inputs) => inputs::with_optional(request, inputs),
        None => request,
    };
    // In a box because the futures of the SDK have many kilobytes.
    let timed = Box::pin(async {
        timeout.start();
        request.send().await
    });
    aws.call(input.endpoint, timeout.of_attempt(), timed).await
}

/// Returns the session of a response that is complete, not expired and of the requested role (fault matrix rows 64 to 66).
fn session_from_response(response: &AssumeRoleOutput, step: &RoleStep, now: SystemTime) -> Result<Session, AwsError> {
    let Some(credentials) = response.credentials() else {
        return Err(AwsError::invalid_response("the response has no credentials"));
    };
    let arn = response.assumed_role_user().map(|user| user.arn().to_owned()).unwrap_or_default();
    if !is_session_of(&arn, &step.role) {
        return Err(AwsError::invalid_response("the response has the session of another role"));
    }
    // AWS's sessions last 12 h at most, so a later expiry is an error.
    let credentials = checked_credentials(credentials, now, *SESSION_RANGE.end(), "AssumeRole")?;
    Ok(Session { credentials, arn: Some(arn), issued: now, is_clamped: false })
}

/// Returns complete and unexpired credentials. Their expiry is at most `longest` from now.
fn checked_credentials(
    credentials: &StsCredentials,
    now: SystemTime,
    longest: Duration,
    provider: &'static str,
) -> Result<Credentials, AwsError> {
    let (id, secret, token) =
        (credentials.access_key_id(), credentials.secret_access_key(), credentials.session_token());
    let expiry = match SystemTime::try_from(*credentials.expiration()) {
        Ok(expiry) if expiry > now => expiry.min(now + longest),
        _ => return Err(AwsError::invalid_response("the response has an expired session")),
    };
    credentials::check(Credentials::new(id, secret, Some(token.to_owned()), Some(expiry), provider), now)
        .map_err(|error| AwsError::invalid_response(format!("in the response, {error}")))
}

/// Whether `arn:P:sts::A:assumed-role/NAME/SESSION` is a session of the role. The ARN of a session leaves out the role's path.
fn is_session_of(arn: &str, role: &RoleArn) -> bool {
    let prefix = format!("arn:{}:sts::{}:assumed-role/{}/", role.partition(), role.account(), role.role_name());
    let is_of_role = arn.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
    is_of_role && arn.chars().all(|c| c.is_ascii_graphic())
}

fn is_too_long(error: &AwsError) -> bool {
    error.kind == AwsErrorKind::Rejected && texts::is_duration_too_long(&error.message)
}

impl fmt::Display for StsOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssumeRole(role) => write!(f, "AssumeRole of {role}"),
            Self::GetSessionToken(serial) => write!(f, "GetSessionToken with MFA device {serial}"),
            Self::GetCallerIdentity => f.write_str("GetCallerIdentity"),
        }
    }
}

impl StsError {
    /// Whether the role does not allow sessions of this length.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        is_too_long(&self.error)
    }

    /// What AWS says about a denied call. `None` for another error.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        self.error.denial()
    }

    /// The error in the protocol.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let Self { operation, error } = self;
        let cause = &error.message;
        if let Some((message, hint)) = error.of_endpoint("STS") {
            return ErrorBody::new(error.kind.code(), message).hint(hint);
        }
        if let Some(denial) = self.denial() {
            let message = format!("AWS denied {operation} with source \"{source}\": {cause}");
            return ErrorBody::new(error.kind.code(), message).hint(denied::hint(&denial, operation));
        }
        let (message, hint) = match error.kind {
            AwsErrorKind::Rejected if error.code == Some(AwsErrorCode::RegionDisabled) => (
                format!("AWS rejected {operation}: {cause}"),
                "Ask an administrator of the account to activate STS in the region (IAM console, Account settings), or set another region.",
            ),
            AwsErrorKind::Rejected if texts::is_session_too_large(cause) => (
                format!("AWS rejected {operation}: {cause}"),
                "Use fewer or shorter session tags and policies: together they are too large for a session.",
            ),
            AwsErrorKind::Rejected | AwsErrorKind::NotFound => (
                format!("AWS rejected {operation}: {cause}"),
                "Correct the profile; rolecall show NAME prints its settings",
            ),
            AwsErrorKind::CredentialsRejected => (
                format!("AWS rejected the credentials of source \"{source}\": {cause}"),
                "Replace them where the source has them: in AWS's own files or in the OS keyring",
            ),
            AwsErrorKind::Throttled => (format!("STS throttled the call: {cause}"), "Try again in a moment."),
            AwsErrorKind::Clock => (format!("AWS rejected the time of this machine: {cause}"), "Set the clock."),
            AwsErrorKind::Setting => {
                (format!("{cause}; the request was not sent"), "Fix AWS's own files, or run: rolecall agent restart")
            }
            // `of_endpoint` has the others.
            _ => (format!("{cause}; the request was not sent"), "Use https in endpoint_url of AWS's configuration."),
        };
        let code = if error.kind == AwsErrorKind::NotFound { ErrorCode::ConfigInvalid } else { error.kind.code() };
        ErrorBody::new(code, message).hint(hint)
    }
}

#[cfg(test)]
mod tests;
