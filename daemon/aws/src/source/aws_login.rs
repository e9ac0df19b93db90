//! Credentials of a login with `aws login`. The AWS CLI stores them for 15 min with a refresh token, and both tools refresh
//! them in the same file.

mod cached_login;
mod proof;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_core::config::{SourceConfig, SourceKind, partition};
use rolecall_protocol::{Region, Secret};
use rolecall_trusted_file::TrustError;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Login;
use super::SourceError;
use crate::client::Aws;
use crate::endpoints;
use crate::error::AwsError;
use crate::unsigned_call::{self, UnsignedCallError, UnsignedRequest};
use cached_login::CachedLogin;

/// Credentials with less time left are refreshed, as in AWS's SDKs.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);
/// The path of CreateOAuth2Token.
const TOKEN_PATH: &str = "/v1/token";

/// The response of CreateOAuth2Token.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshedLogin {
    access_token: AccessToken,
    expires_in: u32,
    refresh_token: Secret<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessToken {
    access_key_id: String,
    secret_access_key: Secret<String>,
    session_token: Secret<String>,
}

/// Returns the credentials of the login `session`, refreshed if they expire within 5 min. Errors with `LoginNeeded` if there is
/// no login, or AWS no longer refreshes it.
pub(super) async fn credentials(
    aws: &Aws,
    profile: &str,
    region: &Region,
    session: &str,
) -> Result<Credentials, SourceError> {
    let path = file(aws, session);
    let login = read(profile, &path).await?;
    let now = aws.now();
    if login.expires() > now + REFRESH_BEFORE {
        return Ok(login.credentials());
    }
    let refreshed = refresh(aws, profile, region, &login, now).await?;
    let before = login.refresh_token().clone();
    let login = login.refreshed(&refreshed, now + Duration::from_secs(refreshed.expires_in.into()));
    let credentials = login.credentials();
    let saved = tokio::task::spawn_blocking(move || login.save(&path, &before)).await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(profile, %error, "refreshed login not saved: the next refresh needs a new login");
    }
    Ok(credentials)
}

/// The file of a login. The AWS CLI and the SDKs give it this name.
fn file(aws: &Aws, session: &str) -> PathBuf {
    aws.files().logins.join(format!("login/cache/{}.json", hex::encode(Sha256::digest(session))))
}

/// Reads a login. Errors with `Invalid` if another user can change the file.
async fn read(profile: &str, path: &std::path::Path) -> Result<CachedLogin, SourceError> {
    let path = path.to_owned();
    match tokio::task::spawn_blocking(move || CachedLogin::read(&path)).await {
        Ok(Ok(Some(login))) => Ok(login),
        Ok(Err(error @ (TrustError::WritableByOthers { .. } | TrustError::ForeignOwner { .. }))) => {
            Err(SourceError::Invalid {
                profile: profile.to_owned(),
                message: format!("login_session: {error}"),
                hint: Some(error.advice()),
            })
        }
        _ => Err(login_needed(profile)),
    }
}

/// CreateOAuth2Token with the refresh token, which is bound to a key of this machine (RFC 9449).
async fn refresh(
    aws: &Aws,
    profile: &str,
    region: &Region,
    login: &CachedLogin,
    now: SystemTime,
) -> Result<RefreshedLogin, SourceError> {
    let failed = |message: String| SourceError::Failed { profile: profile.to_owned(), message };
    let network = aws.profile_network(profile).await?;
    let url = match aws.url_of(&network, "signin") {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => regional_url(region, network.fips, network.dual_stack)
            .await
            .ok_or_else(|| failed(format!("there is no AWS Sign-In in region {region}")))?,
    };
    // A file with another key is not one of the AWS CLI.
    let proof = proof::sign(login.proof_key(), &format!("{url}{TOKEN_PATH}"), now);
    let proof = proof.ok_or_else(|| login_needed(profile))?;
    let body = json!({
        "clientId": login.client_id(), "grantType": "refresh_token", "refreshToken": login.refresh_token(),
    });
    let request = UnsignedRequest {
        operation: "CreateOAuth2Token",
        method: "POST",
        url,
        path: TOKEN_PATH.to_owned(),
        header: Some(("dpop", proof)),
        body: Secret::new(body.to_string()),
    };
    let source = SourceConfig::plain(SourceKind::AwsProfile(profile.to_owned()));
    let config = aws.client_config(&source, region, None).await.map_err(|error| failed(error.message))?;
    unsigned_call::send(&config, request).await.map_err(|error| rejected(profile, &error))
}

/// The address of AWS Sign-In in a region (its endpoint rules in botocore).
async fn regional_url(region: &Region, fips: bool, dual_stack: bool) -> Option<String> {
    let domain = match partition(region) {
        _ if fips || dual_stack => None,
        "aws" => Some("signin.aws.amazon.com"),
        "aws-cn" => Some("signin.amazonaws.cn"),
        "aws-us-gov" => Some("signin.amazonaws-us-gov.com"),
        "aws-iso" => Some("signin.c2shome.ic.gov"),
        "aws-iso-b" => Some("signin.sc2shome.sgov.gov"),
        "aws-iso-e" => Some("signin.csphome.adc-e.uk"),
        "aws-iso-f" => Some("signin.csphome.hci.ic.gov"),
        "aws-eusc" => Some("signin.amazonaws-eusc.eu"),
        _ => None,
    };
    match (domain, region.as_str()) {
        (Some(domain), region) => Some(format!("https://{region}.{domain}")),
        (None, "us-gov-west-1") if fips && !dual_stack => Some("https://signin-fips.amazonaws-us-gov.com".to_owned()),
        (None, region) if fips && !dual_stack && region.starts_with("us-gov-") => {
            Some(format!("https://{region}.signin-fips.amazonaws-us-gov.com"))
        }
        (None, _) => {
            let host = if fips { "signin-fips" } else { "signin" };
            endpoints::regional_url(region, (fips, dual_stack), host, host).await
        }
    }
}

/// The error of a refresh. AWS names the cause in the field `error` of the body.
fn rejected(profile: &str, error: &UnsignedCallError) -> SourceError {
    let body = error.raw_response().and_then(|response| response.body().bytes());
    let body: Value = body.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let is_permission = body["error"] == "INSUFFICIENT_PERMISSIONS";
    let is_service_error = error.as_service_error().is_some_and(|error| error.code().is_some());
    let error = AwsError::from_sdk(error);
    if is_service_error && !is_permission && !error.kind.is_transient() {
        return login_needed(profile);
    }
    SourceError::Failed { profile: profile.to_owned(), message: error.message }
}

fn login_needed(profile: &str) -> SourceError {
    let login = Login::Aws { profile: profile.to_owned() };
    SourceError::LoginNeeded { profile: profile.to_owned(), login }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses from the tests of the SDK's own client of AWS Sign-In.
    #[tokio::test]
    async fn regional_url_by_partition_and_variant() {
        for (region, fips, dual_stack, host) in [
            ("us-east-1", false, false, "us-east-1.signin.aws.amazon.com"),
            ("cn-north-1", false, false, "cn-north-1.signin.amazonaws.cn"),
            ("us-gov-west-1", false, false, "us-gov-west-1.signin.amazonaws-us-gov.com"),
            ("us-iso-east-1", false, false, "us-iso-east-1.signin.c2shome.ic.gov"),
            ("us-isob-east-1", false, false, "us-isob-east-1.signin.sc2shome.sgov.gov"),
            ("us-gov-west-1", true, false, "signin-fips.amazonaws-us-gov.com"),
            ("us-gov-east-1", true, false, "us-gov-east-1.signin-fips.amazonaws-us-gov.com"),
            ("us-east-1", true, false, "signin-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "signin.us-east-1.api.aws"),
            ("us-gov-west-1", false, true, "signin.us-gov-west-1.api.aws"),
            ("cn-north-1", false, true, "signin.cn-north-1.api.amazonwebservices.com.cn"),
        ] {
            let url = regional_url(&region.parse().unwrap(), fips, dual_stack).await;
            assert_eq!(url, Some(format!("https://{host}")), "{region} {fips} {dual_stack}");
        }
    }

    #[test]
    fn rejected_refresh_needs_a_login_and_a_failed_one_does_not() {
        use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
        use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
        use aws_smithy_types::body::SdkBody;
        use aws_smithy_types::error::ErrorMetadata;

        let answer = |status: u16, code: Option<&str>, error: &str| {
            let body = SdkBody::from(json!({ "error": error, "message": "no" }).to_string());
            let mut meta = ErrorMetadata::builder().message("no");
            if let Some(code) = code {
                meta = meta.code(code);
            }
            let response = HttpResponse::new(status.try_into().unwrap(), body);
            rejected("work", &SdkError::service_error(meta.build(), response))
        };
        for (status, code, error) in [
            (403, "AccessDeniedException", "TOKEN_EXPIRED"),
            (403, "AccessDeniedException", "USER_CREDENTIALS_CHANGED"),
            (400, "ValidationException", "INVALID_REQUEST"),
        ] {
            assert_eq!(answer(status, Some(code), error), login_needed("work"), "{error}");
        }
        for (status, code, error) in [
            (403, Some("AccessDeniedException"), "INSUFFICIENT_PERMISSIONS"),
            (429, Some("TooManyRequestsError"), "x"),
            (500, Some("InternalServerException"), "x"),
            (200, None, "x"),
        ] {
            assert!(matches!(answer(status, code, error), SourceError::Failed { .. }), "{status} {error}");
        }
        let unreachable = SdkError::dispatch_failure(ConnectorError::io(std::io::Error::other("no route").into()));
        assert!(matches!(rejected("work", &unreachable), SourceError::Failed { .. }));
    }
}
