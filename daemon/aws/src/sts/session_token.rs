//! GetSessionToken: long-lived keys and a code of an MFA device for a session that is good for all roles.

use std::time::Duration;

use rolecall_protocol::{MfaSerial, Secret};

use super::{StsError, StsOperation, client};
use crate::client::ATTEMPT_TIMEOUT;
use crate::client::Aws;
use crate::error::AwsError;
use crate::texts;
use rolecall_core::config::MFA_SESSION_RANGE;
use rolecall_core::role_chain::StsEndpoint;
use rolecall_core::session::Session;

/// A code, and the device that made it.
#[derive(Clone, Copy)]
pub struct MfaCode<'a> {
    /// The device.
    pub serial: &'a MfaSerial,
    /// The code, six digits. AWS takes each once.
    pub code: &'a Secret<String>,
}

/// Asks STS for a session that says of its owner that they have the device. Asked once: the code is used up by it.
pub async fn get_session_token(
    aws: &Aws,
    endpoint: &StsEndpoint,
    keys: &Session,
    code: MfaCode<'_>,
    length: Duration,
) -> Result<Session, StsError> {
    let client = client(aws, endpoint, keys).await;
    let request = client
        .get_session_token()
        .serial_number(code.serial.as_str())
        .token_code(code.code.expose().as_str())
        .duration_seconds(i32::try_from(length.as_secs()).unwrap_or(i32::MAX));
    let answer = aws.call(endpoint, ATTEMPT_TIMEOUT, Box::pin(request.send())).await;
    answer
        .and_then(|answer| accept(answer.credentials(), aws, keys))
        .map_err(|error| StsError { operation: StsOperation::GetSessionToken(code.serial.clone()), error })
}

fn accept(got: Option<&aws_sdk_sts::types::Credentials>, aws: &Aws, keys: &Session) -> Result<Session, AwsError> {
    let got = got.ok_or_else(|| AwsError::invalid_response("STS answered without credentials"))?;
    let (credentials, now) =
        (super::credentials(got, aws.now(), *MFA_SESSION_RANGE.end(), "GetSessionToken")?, aws.now());
    Ok(Session { credentials, arn: keys.arn.clone(), issued: now, is_clamped: false })
}

impl StsError {
    /// Whether the code was not taken: wrong, of another time, or used before (IAM says the same of all of them).
    #[must_use]
    pub fn is_code_refused(&self) -> bool {
        texts::is_mfa_code_refused(&self.error.message)
    }
}
