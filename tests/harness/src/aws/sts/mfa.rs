//! `SerialNumber` and `TokenCode`, which AssumeRole and GetSessionToken share.

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::mfa::CodeError;
use super::super::state::AwsState;
use super::validate::{SERIAL_PATTERN, Validator};

/// The device and the code of a request: both or neither.
pub(crate) struct Code<'a> {
    serial: Option<&'a str>,
    code: Option<&'a str>,
}

impl<'a> Code<'a> {
    pub(crate) fn read(check: &mut Validator<'a>) -> Self {
        let (serial, code) = (check.optional("SerialNumber"), check.optional("TokenCode"));
        if let Some(serial) = serial {
            check.pattern("serialNumber", serial, SERIAL_PATTERN);
            check.length("serialNumber", serial, 9, 256);
        }
        if let Some(code) = code {
            check.digits("tokenCode", code);
            check.length("tokenCode", code, 6, 6);
        }
        Self { serial, code }
    }

    /// Redeems the code. Returns whether the request has one.
    pub(crate) fn redeem(&self, call: &SignedCall<'_>, state: &mut AwsState) -> Result<bool, ApiError> {
        let failed = |why: &str| ApiError::new(403, "AccessDenied", format!("MultiFactorAuthentication failed{why}"));
        let (serial, code) = match (self.serial, self.code) {
            (None, None) => return Ok(false),
            (Some(serial), Some(code)) => (serial, code),
            _ => return Err(failed(", must provide both MFA serial number and one time pass code.")),
        };
        // Devices belong to users; sessions of roles have none.
        let redeemed = state.identities.devices.redeem(call.caller.identity(), serial, code, call.shared.clock.now());
        redeemed.map(|()| true).map_err(|refused| match refused {
            CodeError::Code => failed(" with invalid MFA one time pass code. "),
            CodeError::Device => failed(
                ", unable to validate MFA code.  Please verify your MFA serial number is valid and associated with \
                 this user.",
            ),
        })
    }
}
