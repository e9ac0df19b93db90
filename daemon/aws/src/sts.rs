//! One AssumeRole. The only module that calls STS.

mod inputs;
mod session_token;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::types::Credentials as StsCredentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use crate::client::{ATTEMPT_TIMEOUT, Aws};
use crate::error::{AwsError, AwsErrorKind};
use crate::texts::{self, ExtraPermission};
use rolecall_core::config::SESSION_RANGE;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::config::network::Service;
use rolecall_core::role_chain::{MAX_CHAINED_DURATION, RoleStep, StsEndpoint};
use rolecall_core::session::Session;
use rolecall_protocol::{ErrorBody, ErrorCode, MfaSerial, RoleArn, SessionName, SourceName};
pub use session_token::{MfaCode, get_session_token};

/// Attempts after the first, and the back-off's first step (B5).
const MAX_RETRIES: usize = 2;
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Attempts after the first where the machine has just woken up: its network comes back within seconds (B10).
const MAX_RETRIES_WAKING: usize = 6;
/// How long all attempts together may take from the first one's beginning (waiting for its turn is no fault of AWS's): a
/// caller hears of it before their own deadline of 9 s.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(7);
/// A back-off and an attempt that have less than this are not worth it.
const MIN_TIME_LEFT: Duration = Duration::from_millis(1500);

/// Why STS did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", .error.message)]
pub struct StsError {
    /// What it was asked.
    pub operation: StsOperation,
    /// What it said.
    pub error: AwsError,
}

/// What STS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsOperation {
    /// AssumeRole.
    AssumeRole(RoleArn),
    /// GetSessionToken with a code of that device.
    GetSessionToken(MfaSerial),
    /// GetCallerIdentity.
    GetCallerIdentity,
}

/// What one AssumeRole takes.
#[derive(Clone, Copy)]
pub struct AssumeRoleInput<'a> {
    /// Whose endpoints are called.
    pub endpoint: &'a StsEndpoint,
    /// The role, and how it is asked for.
    pub step: &'a RoleStep,
    /// What the session is called.
    pub name: &'a SessionName,
    /// The session that signs.
    pub base: &'a Session,
    /// A code of an MFA device, where the call itself is made with one.
    pub code: Option<MfaCode<'a>>,
    /// Whether an hour is all that AWS gave last time.
    pub is_clamped: bool,
}

/// Assumes a role. What is transient is tried again, briefly.
pub async fn assume_role(aws: &Aws, wanted: AssumeRoleInput<'_>) -> Result<Session, StsError> {
    let step = wanted.step;
    let client = client(aws, wanted.endpoint, wanted.base).await;
    let first_attempt = OnceLock::new();
    let ask = |duration: Duration| send_with_retries(aws, &wanted, &client, duration, &first_attempt);
    let most = if wanted.is_clamped { step.duration.min(MAX_CHAINED_DURATION) } else { step.duration };
    let (answer, got) = match ask(most).await {
        // The base turned out to be a role's own session, or the role allows less: an hour is what AWS always grants.
        Err(error) if most > MAX_CHAINED_DURATION && wanted.code.is_none() && is_too_long(&error) => {
            tracing::info!(role = %step.role, "Asking for a session of one hour, since AWS grants no longer one");
            (ask(MAX_CHAINED_DURATION).await, MAX_CHAINED_DURATION)
        }
        answer => (answer, most),
    };
    answer
        .and_then(|answer| accept(&answer, step, aws.now()))
        .map(|session| Session { is_clamped: got < step.duration, ..session })
        .map_err(|error| StsError { operation: StsOperation::AssumeRole(step.role.clone()), error })
}

/// Asks STS whose credentials these are.
pub async fn get_caller_identity(aws: &Aws, endpoint: &StsEndpoint, session: &Session) -> Result<String, StsError> {
    let failed = |error| StsError { operation: StsOperation::GetCallerIdentity, error };
    let client = client(aws, endpoint, session).await;
    let answer = aws.call(endpoint, ATTEMPT_TIMEOUT, client.get_caller_identity().send()).await;
    match answer.map_err(failed)?.arn {
        Some(arn) => Ok(rolecall_protocol::sanitize_for_terminal(&arn)),
        None => Err(failed(AwsError::invalid_response("STS answered without saying who it is"))),
    }
}

async fn client(aws: &Aws, endpoint: &StsEndpoint, base: &Session) -> aws_sdk_sts::Client {
    let shared = aws.client_config(&endpoint.source, &endpoint.region, base.credentials.clone()).await;
    let mut config = aws_sdk_sts::config::Builder::from(&shared).interceptor(RejectDuplicateElements);
    let url =
        endpoint.sts.url.as_ref().map(ToString::to_string).or_else(|| Aws::endpoint_url_of(&shared, Service::Sts));
    // An address is one already: the SDK takes a wish for another form of it for a mistake.
    let EndpointVariant { fips, dual_stack } = endpoint.sts.variant;
    if url.is_some() || fips {
        config.set_use_fips(Some(url.is_none()));
    }
    if url.is_some() || dual_stack {
        config.set_use_dual_stack(Some(url.is_none()));
    }
    config.set_endpoint_url(url);
    aws_sdk_sts::Client::from_conf(config.build())
}

/// The call, and after what is transient a few more, as long as there is time and nobody asks to be left alone.
async fn send_with_retries(
    aws: &Aws,
    wanted: &AssumeRoleInput<'_>,
    client: &aws_sdk_sts::Client,
    duration: Duration,
    first_attempt: &OnceLock<Instant>,
) -> Result<AssumeRoleOutput, AwsError> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF)
        .with_max_times(if aws.clock().is_waking() { MAX_RETRIES_WAKING } else { MAX_RETRIES })
        .with_jitter();
    let may_retry = |error: &AwsError| {
        let is_time_left = time_left(first_attempt) > MIN_TIME_LEFT;
        // A code is used up by the first attempt.
        wanted.code.is_none()
            && error.kind.is_transient()
            && error.retry_after.is_none()
            && is_time_left
            // What it said is worth more than that it is not asked again.
            && aws.breakers().peek(wanted.endpoint, aws.now()).is_ok()
            && aws.limits().take_retry()
    };
    (|| send_once(aws, wanted, client, duration, first_attempt)).retry(backoff).when(may_retry).await
}

async fn send_once(
    aws: &Aws,
    wanted: &AssumeRoleInput<'_>,
    client: &aws_sdk_sts::Client,
    duration: Duration,
    first_attempt: &OnceLock<Instant>,
) -> Result<AssumeRoleOutput, AwsError> {
    let step = wanted.step;
    let request = client
        .assume_role()
        .role_arn(step.role.as_str())
        .role_session_name(wanted.name.as_str())
        .set_external_id(step.external_id.as_ref().map(ToString::to_string))
        .set_serial_number(wanted.code.map(|code| code.serial.to_string()))
        .set_token_code(wanted.code.map(|code| code.code.expose().clone()))
        .duration_seconds(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    let request = match &step.inputs {
        Some(inputs) => inputs::with(request, inputs),
        None => request,
    };
    // In a box: the SDK's futures have many kilobytes.
    let timed = Box::pin(async {
        first_attempt.get_or_init(Instant::now);
        request.send().await
    });
    aws.call(wanted.endpoint, time_left(first_attempt).min(ATTEMPT_TIMEOUT), timed).await
}

/// How long attempts may still take.
fn time_left(first_attempt: &OnceLock<Instant>) -> Duration {
    TOTAL_TIMEOUT.saturating_sub(first_attempt.get().map_or(Duration::ZERO, Instant::elapsed))
}

/// What an answer is believed for.
const UNIQUE_ELEMENTS: [&str; 5] = ["<AccessKeyId>", "<SecretAccessKey>", "<SessionToken>", "<Expiration>", "<Arn>"];

/// Refuses an answer that says one thing twice (row 64): the SDK's parser would take the last.
#[derive(Debug)]
struct RejectDuplicateElements;

impl Intercept for RejectDuplicateElements {
    fn name(&self) -> &'static str {
        "RejectDuplicateElements"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let count = |element: &str| body.windows(element.len()).filter(|at| *at == element.as_bytes()).count();
        match UNIQUE_ELEMENTS.iter().find(|element| count(element) > 1) {
            Some(element) => Err(format!("the answer says {element} twice").into()),
            None => Ok(()),
        }
    }
}

/// Believes an answer only if it is whole, not already over, and of the role that was asked for (rows 64 to 66).
fn accept(answer: &AssumeRoleOutput, step: &RoleStep, now: SystemTime) -> Result<Session, AwsError> {
    let Some(got) = answer.credentials() else {
        return Err(AwsError::invalid_response("STS answered without credentials"));
    };
    let arn = answer.assumed_role_user().map(|user| user.arn().to_owned()).unwrap_or_default();
    if !is_session_of(&arn, &step.role) {
        return Err(AwsError::invalid_response("STS answered with the session of another role"));
    }
    // No session lasts longer than AWS's twelve hours, so a later end is a mistake.
    let credentials = credentials(got, now, *SESSION_RANGE.end(), "AssumeRole")?;
    Ok(Session { credentials, arn: Some(arn), issued: now, is_clamped: false })
}

/// Credentials that are whole and not already over; none last longer than `most`.
fn credentials(
    got: &StsCredentials,
    now: SystemTime,
    most: Duration,
    provider: &'static str,
) -> Result<Credentials, AwsError> {
    if got.access_key_id().is_empty() || got.secret_access_key().is_empty() || got.session_token().is_empty() {
        return Err(AwsError::invalid_response("STS answered with credentials that lack a part"));
    }
    let expiry = match SystemTime::try_from(*got.expiration()) {
        Ok(expiry) if expiry > now => expiry.min(now + most),
        _ => return Err(AwsError::invalid_response("STS answered with a session that is already over")),
    };
    let (id, secret) = (got.access_key_id(), got.secret_access_key());
    Ok(Credentials::new(id, secret, Some(got.session_token().to_owned()), Some(expiry), provider))
}

/// Whether `arn:P:sts::A:assumed-role/NAME/SESSION` is a session of that role; its path is lost on the way.
fn is_session_of(arn: &str, role: &RoleArn) -> bool {
    let prefix = format!("arn:{}:sts::{}:assumed-role/{}/", role.partition(), role.account(), role.role_name());
    arn.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
}

fn is_too_long(error: &AwsError) -> bool {
    error.kind == AwsErrorKind::Rejected && texts::is_duration_too_long(&error.message)
}

impl fmt::Display for StsOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssumeRole(role) => write!(f, "assume {role}"),
            Self::GetSessionToken(serial) => write!(f, "give a session for a code of {serial}"),
            Self::GetCallerIdentity => f.write_str("say whose credentials these are"),
        }
    }
}

impl StsError {
    /// Whether AWS grants no session as long as that.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        is_too_long(&self.error)
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let Self { operation, error } = self;
        let said = &error.message;
        let (message, hint) = match error.kind {
            AwsErrorKind::Denied => {
                (format!("AWS does not let source \"{source}\" {operation}: {said}"), denied_hint(said))
            }
            AwsErrorKind::Rejected if texts::is_session_too_large(said) => (
                format!("STS refuses the request to {operation}: {said}"),
                "Session tags and policies together are too large for a session: use fewer or shorter ones.",
            ),
            AwsErrorKind::Rejected | AwsErrorKind::NotFound => (
                format!("STS refuses the request to {operation}: {said}"),
                "Mend the profile; rolecall show tells what is asked for.",
            ),
            AwsErrorKind::CredentialsRejected => (
                format!("AWS does not take the credentials of source \"{source}\": {said}"),
                "Renew them in AWS's own configuration; rolecall show tells where the source takes them from.",
            ),
            AwsErrorKind::Throttled => (format!("STS asks for fewer calls ({said})"), "Try again in a moment."),
            AwsErrorKind::Unreachable => {
                (format!("STS cannot be reached: {said}"), "Check the network, the VPN and the proxy.")
            }
            AwsErrorKind::InvalidResponse => (
                format!("what answers in the place of STS is not STS: {said}"),
                "Check the network: a login page or a proxy may be in between.",
            ),
            AwsErrorKind::Clock => (format!("AWS refuses the time of this machine: {said}"), "Set the clock."),
            AwsErrorKind::Insecure => {
                (format!("{said}; nothing was sent"), "Use https in endpoint_url of AWS's configuration.")
            }
        };
        let code = if error.kind == AwsErrorKind::NotFound { ErrorCode::ConfigInvalid } else { error.kind.code() };
        ErrorBody::new(code, message).hint(hint)
    }
}

/// What has to be allowed: some of what a role can be given wants a permission of its own.
fn denied_hint(said: &str) -> &'static str {
    match texts::denied_permission(said) {
        Some(ExtraPermission::TagSession) => {
            "Session tags want sts:TagSession: the role's trust policy and your own permissions both have to allow it, and on a chain those of every role that transitive tags reach."
        }
        Some(ExtraPermission::SetSourceIdentity) => {
            "A source identity wants sts:SetSourceIdentity: the trust policy of every role of the chain has to allow it, and so have your own permissions."
        }
        None => "Check the role's trust policy and your own permissions: both have to allow it.",
    }
}

#[cfg(test)]
mod tests;
