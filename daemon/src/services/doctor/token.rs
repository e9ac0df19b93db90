//! The token: its size, and whether STS accepts it.

use rolecall_protocol::{AdministratorRequest, Finding, FindingArea};

use super::diagnosis::{Diagnosis, FatalFinding, plugin_failure};
use rolecall_aws::token::{self, Token, TokenError};
use rolecall_core::session::Session;

/// Signs a token that no cache of the API server knows.
pub(super) async fn sign(diagnosis: &Diagnosis<'_>, session: &Session) -> Result<Token, FatalFinding> {
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
        Box::new(finding)
    })
}

/// Returns the finding of a token that EKS can read.
pub(super) fn finding(token: &Token) -> Finding {
    let (size, limit) = (thousands(token.length()), thousands(token::MAX_TOKEN_LEN));
    Finding::ok(FindingArea::ApiServer, "token", format!("token of {size} of {limit} bytes"))
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
            "Reduce the session tags, session policies and SAML or OIDC attributes of {}: they make its session token \
             too long for EKS.",
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
