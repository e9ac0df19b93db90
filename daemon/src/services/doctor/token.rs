//! The token: its size, and whether STS accepts it.

use std::time::Duration;

use rolecall_protocol::{AdministratorRequest, Finding, FindingArea, FindingState, Hint};

use super::diagnosis::{Diagnosis, Fatal, UNAUTHORIZED, plugin_failure};
use rolecall_aws::error::{AwsError, AwsErrorKind};
use rolecall_aws::token::{self, Token, TokenError};
use rolecall_core::session::Session;

/// How long STS may take to check a token.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// Signs a token that no cache of the API server knows.
pub(super) async fn sign(diagnosis: &Diagnosis<'_>, session: &Session) -> Result<Token, Fatal> {
    let profile = diagnosis.profile;
    let now = diagnosis.components.aws.now();
    let minted = token::mint(session, &profile.chain.region, profile.variant, &profile.cluster, now).await;
    minted.map_err(|error| {
        let body = error.body();
        let code = match &error {
            TokenError::TooLarge(_) => "token_too_large",
            TokenError::NoEndpoint(_) => "region_without_sts",
            TokenError::Signing => "internal",
        };
        let mut finding = Finding::problem(FindingArea::ApiServer, "token", code, &body.message)
            .consequence(plugin_failure(body.code));
        if let Some(hint) = &body.hint {
            finding = finding.fix(hint);
        }
        if matches!(error, TokenError::TooLarge(_)) {
            finding = finding.administrator(shorter_session(diagnosis));
        }
        finding.into()
    })
}

/// Sends the token to STS, as the API server does. Errors with `Unreachable` if STS does not answer in time.
pub(super) async fn verify(diagnosis: &Diagnosis<'_>, token: &Token) -> Result<String, AwsError> {
    let profile = diagnosis.profile;
    let endpoint = profile.chain.endpoint();
    let verifying = token::verify(&diagnosis.components.aws, &endpoint, &token.token, &profile.cluster);
    diagnosis.within(VERIFY_TIMEOUT, verifying).await.unwrap_or_else(|| Err(AwsError::timed_out()))
}

/// Returns the finding of a token of `length` bytes that STS has checked. What the API server accepts is no problem.
pub(super) fn finding(
    diagnosis: &Diagnosis<'_>,
    length: usize,
    verified: &Result<String, AwsError>,
    is_accepted: bool,
) -> Finding {
    let size = format!("token of {} of {} bytes", thousands(length), thousands(token::MAX_TOKEN_LEN));
    let Err(error) = verified else {
        return Finding::ok(FindingArea::ApiServer, "token", format!("{size}, accepted by STS"));
    };
    if error.kind.is_endpoint_failure() || error.kind == AwsErrorKind::Setting {
        let cause = format!("{size}; whether STS accepts it was not checked: {}", error.message);
        return Finding::not_checked(FindingArea::ApiServer, "token", "token_not_verified", cause);
    }
    let fix = match error.kind {
        AwsErrorKind::Clock => "Set the clock of this computer.".into(),
        _ => Hint::command(format!("rolecall refresh {}", diagnosis.profile.name)),
    };
    let cause = format!("STS rejects the token: {}", error.message);
    let finding = Finding::problem(FindingArea::ApiServer, "token", "token_rejected_by_sts", cause)
        .consequence(UNAUTHORIZED)
        .fix(fix);
    let state = if is_accepted { FindingState::Warning } else { FindingState::Problem };
    Finding { state, ..finding }
}

/// Returns a number below a million with a comma after its thousands.
fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// Returns the request for a session whose token is small enough.
fn shorter_session(diagnosis: &Diagnosis<'_>) -> AdministratorRequest {
    AdministratorRequest {
        to: "an administrator of the identity provider or of the role".to_owned(),
        request: format!(
            "Reduce the session tags, session policies and SAML or OIDC attributes of {}: they make its session token too \
             long for EKS.",
            diagnosis.identity()
        ),
        commands: Vec::new(),
        statement: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_has_a_comma_after_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1204, "1,204"), (4096, "4,096"), (12_005, "12,005")] {
            assert_eq!(thousands(number), text);
        }
    }
}
