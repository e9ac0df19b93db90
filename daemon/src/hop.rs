//! One AssumeRole. The only module that calls STS.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use backon::{ExponentialBuilder, Retryable};

use crate::aws::{Aws, AwsError, AwsErrorKind};
use crate::config::{SESSION_RANGE, SourceConfig};
use crate::profile::{CHAINED_MAX, Hop};
use crate::session::Session;
use rolecall_protocol::{ErrorBody, ErrorCode, Region, RoleArn, SourceName};

/// Attempts after the first, and the back-off's first step (B5).
const RETRIES: usize = 2;
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why STS did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked}: {}", .error.message)]
pub struct HopError {
    /// What it was asked.
    pub asked: Asked,
    /// What it said.
    pub error: AwsError,
}

/// What STS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// AssumeRole.
    Assume(RoleArn),
    /// GetCallerIdentity.
    Identify,
}

/// Assumes the role with the credentials of `base`. What is transient is tried again, briefly.
pub async fn assume(
    aws: &Aws,
    source: &SourceConfig,
    region: &Region,
    hop: &Hop,
    base: &Session,
) -> Result<Session, HopError> {
    let client = client(aws, source, region, base).await;
    let backoff = ExponentialBuilder::new()
        .with_min_delay(BACKOFF)
        .with_max_delay(BACKOFF_MAX)
        .with_max_times(RETRIES)
        .with_jitter();
    let ask = |duration: Duration| {
        let client = &client;
        (move || call(aws, client, hop, duration)).retry(backoff).when(|error: &AwsError| error.kind.is_transient())
    };
    let answer = match ask(hop.duration).await {
        // The base turned out to be a role's own session, or the role allows less: an hour is what AWS always grants.
        Err(error) if hop.duration > CHAINED_MAX && is_too_long(&error) => {
            tracing::info!(role = %hop.role, "Asking for a session of one hour, since AWS grants no longer one");
            ask(CHAINED_MAX).await
        }
        answer => answer,
    };
    answer
        .and_then(|answer| accept(&answer, hop, aws.time().now()))
        .map_err(|error| HopError { asked: Asked::Assume(hop.role.clone()), error })
}

/// Asks STS whose credentials these are.
pub async fn caller_identity(
    aws: &Aws,
    source: &SourceConfig,
    region: &Region,
    session: &Session,
) -> Result<String, HopError> {
    let failed = |error| HopError { asked: Asked::Identify, error };
    let client = client(aws, source, region, session).await;
    let pass = aws.limits().pass().await;
    let answer = client.get_caller_identity().send().await;
    drop(pass);
    match answer.map_err(|error| failed(AwsError::of(&error)))?.arn {
        Some(arn) => Ok(rolecall_protocol::sanitize_for_terminal(&arn)),
        None => Err(failed(AwsError::garbled("STS answered without saying who it is"))),
    }
}

async fn client(aws: &Aws, source: &SourceConfig, region: &Region, base: &Session) -> aws_sdk_sts::Client {
    let shared = aws.client_config(source, region, base.credentials.clone()).await;
    let config = aws_sdk_sts::config::Builder::from(&shared).build();
    aws_sdk_sts::Client::from_conf(config)
}

async fn call(
    aws: &Aws,
    client: &aws_sdk_sts::Client,
    hop: &Hop,
    duration: Duration,
) -> Result<AssumeRoleOutput, AwsError> {
    let _pass = aws.limits().pass().await;
    client
        .assume_role()
        .role_arn(hop.role.as_str())
        .role_session_name(hop.session_name.as_str())
        .set_external_id(hop.external_id.as_ref().map(ToString::to_string))
        .duration_seconds(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX))
        .send()
        .await
        .map_err(|error| AwsError::of(&error))
}

/// Believes an answer only if it is whole, not already over, and of the role that was asked for (rows 64 to 66).
fn accept(answer: &AssumeRoleOutput, hop: &Hop, now: SystemTime) -> Result<Session, AwsError> {
    let Some(got) = answer.credentials() else {
        return Err(AwsError::garbled("STS answered without credentials"));
    };
    if got.access_key_id().is_empty() || got.secret_access_key().is_empty() || got.session_token().is_empty() {
        return Err(AwsError::garbled("STS answered with credentials that lack a part"));
    }
    let arn = answer.assumed_role_user().map(|user| user.arn().to_owned()).unwrap_or_default();
    if !is_session_of(&arn, &hop.role) {
        return Err(AwsError::garbled("STS answered with the session of another role"));
    }
    // No session lasts longer than AWS's twelve hours, so a later end is a mistake.
    let latest = now + *SESSION_RANGE.end();
    let expiry = match SystemTime::try_from(*got.expiration()) {
        Ok(expiry) if expiry > now => expiry.min(latest),
        _ => return Err(AwsError::garbled("STS answered with a session that is already over")),
    };
    let credentials = Credentials::new(
        got.access_key_id(),
        got.secret_access_key(),
        Some(got.session_token().to_owned()),
        Some(expiry),
        "AssumeRole",
    );
    Ok(Session { credentials, arn: Some(arn), issued: now })
}

/// Whether `arn:P:sts::A:assumed-role/NAME/SESSION` is a session of that role; its path is lost on the way.
fn is_session_of(arn: &str, role: &RoleArn) -> bool {
    let prefix = format!("arn:{}:sts::{}:assumed-role/{}/", role.partition(), role.account(), role.role_name());
    arn.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
}

fn is_too_long(error: &AwsError) -> bool {
    error.kind == AwsErrorKind::Rejected && error.message.contains("DurationSeconds")
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assume(role) => write!(f, "assume {role}"),
            Self::Identify => f.write_str("say whose credentials these are"),
        }
    }
}

impl HopError {
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let Self { asked, error } = self;
        let said = &error.message;
        let (message, hint) = match error.kind {
            AwsErrorKind::Denied => (
                format!("AWS does not let source \"{source}\" {asked}: {said}"),
                "Check the role's trust policy and your own permissions: both have to allow it.",
            ),
            AwsErrorKind::Rejected | AwsErrorKind::NotFound => (
                format!("STS refuses the request to {asked}: {said}"),
                "Mend the profile; rolecall show tells what is asked for.",
            ),
            AwsErrorKind::BaseRejected => (
                format!("AWS does not take the credentials of source \"{source}\": {said}"),
                "Renew them in AWS's own configuration; rolecall show tells where the source takes them from.",
            ),
            AwsErrorKind::Throttled => (format!("STS asks for fewer calls ({said})"), "Try again in a moment."),
            AwsErrorKind::Unreachable => {
                (format!("STS cannot be reached: {said}"), "Check the network, the VPN and the proxy.")
            }
            AwsErrorKind::Garbled => (
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

#[cfg(test)]
mod tests {
    use aws_sdk_sts::types::{AssumedRoleUser, Credentials as StsCredentials};
    use aws_smithy_types::DateTime;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn hop() -> Hop {
        Hop {
            role: "arn:aws:iam::111122223333:role/team/developers".parse().unwrap(),
            session_name: "dev@laptop".parse().unwrap(),
            external_id: None,
            duration: Duration::from_hours(1),
        }
    }

    fn answer(arn: &str, seconds: i64) -> AssumeRoleOutput {
        let credentials = StsCredentials::builder()
            .access_key_id("ASIAEXAMPLE")
            .secret_access_key("secret")
            .session_token("token")
            .expiration(DateTime::from_secs(seconds))
            .build()
            .unwrap();
        let user = AssumedRoleUser::builder().assumed_role_id("x").arn(arn).build().unwrap();
        AssumeRoleOutput::builder().credentials(credentials).assumed_role_user(user).build()
    }

    const ARN: &str = "arn:aws:sts::111122223333:assumed-role/developers/dev@laptop";

    #[test]
    fn a_whole_answer_is_a_session() {
        let session = accept(&answer(ARN, 3600), &hop(), NOW).unwrap();
        assert_eq!(session.arn.as_deref(), Some(ARN));
        assert_eq!(session.expires(), Some(NOW + Duration::from_hours(1)));
    }

    #[test]
    fn row_65_ends_in_the_past_are_refused_and_far_ends_are_clamped() {
        for seconds in [0, -1, i64::MIN / 2] {
            assert_eq!(accept(&answer(ARN, seconds), &hop(), NOW).unwrap_err().kind, AwsErrorKind::Garbled);
        }
        let far = accept(&answer(ARN, 253_402_300_799), &hop(), NOW).unwrap();
        assert_eq!(far.expires(), Some(NOW + Duration::from_hours(12)));
    }

    #[test]
    fn row_66_the_session_of_another_role_is_refused() {
        for arn in [
            "",
            "arn:aws:sts::111122223333:assumed-role/admins/dev@laptop",
            "arn:aws:sts::999988887777:assumed-role/developers/dev@laptop",
            "arn:aws-cn:sts::111122223333:assumed-role/developers/dev@laptop",
            "arn:aws:sts::111122223333:assumed-role/developers",
        ] {
            assert!(accept(&answer(arn, 3600), &hop(), NOW).unwrap_err().message.contains("another role"), "{arn}");
        }
    }
}
