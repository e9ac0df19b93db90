//! GetSessionToken: exchanges an access key and an MFA code for a session that can assume all roles.

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

/// A code of an MFA device.
#[derive(Clone, Copy)]
pub struct MfaCode<'a> {
    /// The device.
    pub serial: &'a MfaSerial,
    /// The code, six digits. AWS accepts each code once.
    pub code: &'a Secret<String>,
}

/// Returns a session with MFA. Sends one attempt, which uses up the code.
pub async fn get_session_token(
    aws: &Aws,
    endpoint: &StsEndpoint,
    keys: &Session,
    code: MfaCode<'_>,
    length: Duration,
) -> Result<Session, StsError> {
    let failed = |error| StsError { operation: StsOperation::GetSessionToken(code.serial.clone()), error };
    let client = client(aws, endpoint, keys).await.map_err(failed)?;
    let request = client
        .get_session_token()
        .serial_number(code.serial.as_str())
        .token_code(code.code.expose().as_str())
        .duration_seconds(i32::try_from(length.as_secs()).unwrap_or(i32::MAX));
    let response = aws.call(endpoint, ATTEMPT_TIMEOUT, Box::pin(request.send())).await;
    response.and_then(|response| session_from_response(response.credentials(), aws, keys)).map_err(failed)
}

fn session_from_response(
    credentials: Option<&aws_sdk_sts::types::Credentials>,
    aws: &Aws,
    keys: &Session,
) -> Result<Session, AwsError> {
    let credentials = credentials.ok_or_else(|| AwsError::invalid_response("the response has no credentials"))?;
    let now = aws.now();
    let credentials = super::checked_credentials(credentials, now, *MFA_SESSION_RANGE.end(), "GetSessionToken")?;
    Ok(Session { credentials, arn: keys.arn.clone(), issued: now, is_clamped: false })
}

impl StsError {
    /// Whether AWS refused the MFA code. IAM has one error for wrong, expired and used codes.
    #[must_use]
    pub fn is_code_refused(&self) -> bool {
        texts::is_mfa_code_refused(&self.error.message)
    }
}
