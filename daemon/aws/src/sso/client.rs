//! Calls to the OIDC service of IAM Identity Center, which issues tokens.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use jiff::Timestamp;
use rolecall_protocol::{HttpUrl, LoginFlow, Secret, sanitize_for_terminal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::SsoError;
use super::session::SsoSession;
use super::token::{GrantedToken, RegisteredClient};
use crate::client::Aws;
use crate::endpoints;
use crate::error::{AwsError, AwsErrorKind};
use crate::http::InsecureEndpoint;
use crate::unsigned_call::{self, UnsignedCallError, UnsignedRequest};
use rolecall_core::config::network::Service;
use rolecall_core::config::{SourceConfig, SourceKind};

/// The name of this client in AWS's list of logins.
const CLIENT_NAME: &str = "rolecall";
/// The registered redirect URI. The port of a loopback redirect may differ at each login (RFC 8252, 7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/oauth/callback";
/// The grant type of RFC 8628.
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The shortest interval between two polls.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval if AWS names none (RFC 8628, 3.2).
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Calls IAM Identity Center for one session.
pub(super) struct SsoClient<'a> {
    pub(super) aws: &'a Aws,
    pub(super) session: &'a SsoSession,
}

/// What a CreateToken call exchanges for a token.
pub(super) enum Grant<'a> {
    Device { code: &'a Secret<String> },
    Browser { code: &'a Secret<String>, verifier: &'a Secret<String>, redirect: &'a str },
    Refresh { token: &'a Secret<String> },
}

/// A started device flow, before the user approves it.
pub(super) struct DeviceAuthorization {
    pub(super) code: Secret<String>,
    pub(super) url: String,
    pub(super) user_code: String,
    pub(super) expires_in: Duration,
    pub(super) interval: Duration,
}

/// The page on which the user approves a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerificationPage {
    pub(super) url: String,
    /// The code that the page shows; `None` in the browser flow.
    pub(super) code: Option<String>,
    pub(super) expires: SystemTime,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GrantError {
    /// The user has not decided yet.
    Pending,
    /// The polls are too frequent.
    SlowDown,
    /// The code expired.
    Expired,
    /// The user denied the login.
    Denied,
    /// The grant is invalid, expired or used.
    Refused(AwsError),
    /// Another error.
    Aws(AwsError),
}

#[derive(Debug, Deserialize)]
struct RegisterClientOutput {
    #[serde(rename = "clientId")]
    id: Option<String>,
    #[serde(rename = "clientSecret")]
    secret: Option<Secret<String>>,
    #[serde(default, rename = "clientSecretExpiresAt")]
    secret_expires_at: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartDeviceAuthorizationOutput {
    device_code: Option<Secret<String>>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    verification_uri_complete: Option<String>,
    #[serde(default)]
    expires_in: i32,
    #[serde(default)]
    interval: i32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateTokenOutput {
    access_token: Option<Secret<String>>,
    #[serde(default)]
    expires_in: i32,
    refresh_token: Option<Secret<String>>,
}

impl<'a> SsoClient<'a> {
    pub(super) const fn new(aws: &'a Aws, session: &'a SsoSession) -> Self {
        Self { aws, session }
    }

    /// RegisterClient.
    pub(super) async fn register_client(&self, flow: LoginFlow) -> Result<RegisteredClient, SsoError> {
        let mut grants = match flow {
            LoginFlow::Device => vec![DEVICE_CODE_GRANT],
            LoginFlow::Browser => vec!["authorization_code"],
        };
        let mut input = json!({ "clientName": CLIENT_NAME, "clientType": "public" });
        if flow == LoginFlow::Browser {
            input["redirectUris"] = json!([REDIRECT_URI]);
            input["issuerUrl"] = json!(self.session.start_url);
        }
        if self.session.refreshes() {
            grants.push("refresh_token");
            input["scopes"] = json!(self.session.registration_scopes());
        }
        input["grantTypes"] = json!(grants);
        let response: RegisterClientOutput = self.oidc("RegisterClient", "/client/register", &input).await?;
        let expires = Timestamp::from_second(response.secret_expires_at).map(SystemTime::from);
        match (response.id, response.secret, expires) {
            (Some(id), Some(secret), Ok(expires)) if !id.is_empty() => {
                Ok(RegisteredClient { id, secret, expires: self.aws.clock().stamp(expires) })
            }
            _ => Err(incomplete("client")),
        }
    }

    /// StartDeviceAuthorization: gets a code that the user approves on any device.
    pub(super) async fn start_device_authorization(
        &self,
        client: &RegisteredClient,
    ) -> Result<DeviceAuthorization, SsoError> {
        let input = json!({
            "clientId": client.id, "clientSecret": client.secret.expose(), "startUrl": self.session.start_url,
        });
        let response: StartDeviceAuthorizationOutput =
            self.oidc("StartDeviceAuthorization", "/device_authorization", &input).await?;
        let url = response.verification_uri_complete.or(response.verification_uri);
        let (Some(code), Some(url), Some(user_code)) = (response.device_code, url, response.user_code) else {
            return Err(incomplete("code"));
        };
        if !may_be_opened(&url) {
            return Err(SsoError::Aws(AwsError::invalid_response(
                "AWS returned an address that is not a web page over https",
            )));
        }
        let interval = match seconds(response.interval) {
            Duration::ZERO => DEFAULT_POLL_INTERVAL,
            interval => interval.max(MIN_POLL_INTERVAL),
        };
        let user_code = sanitize_for_terminal(&user_code);
        let expires_in = seconds(response.expires_in);
        Ok(DeviceAuthorization { code, url, user_code, expires_in, interval })
    }

    /// CreateToken.
    pub(super) async fn create_token(
        &self,
        client: &RegisteredClient,
        grant: Grant<'_>,
    ) -> Result<GrantedToken, GrantError> {
        let mut input = json!({ "clientId": client.id, "clientSecret": client.secret.expose() });
        match grant {
            Grant::Device { code } => {
                input["grantType"] = json!(DEVICE_CODE_GRANT);
                input["deviceCode"] = json!(code.expose());
            }
            Grant::Refresh { token } => {
                input["grantType"] = json!("refresh_token");
                input["refreshToken"] = json!(token.expose());
            }
            Grant::Browser { code, verifier, redirect } => {
                input["grantType"] = json!("authorization_code");
                input["code"] = json!(code.expose());
                input["codeVerifier"] = json!(verifier.expose());
                input["redirectUri"] = json!(redirect);
            }
        }
        let config = self.config().await.map_err(GrantError::Aws)?;
        let request = self.oidc_request(&config, "CreateToken", "/token", &input).await.map_err(GrantError::Aws)?;
        let response: CreateTokenOutput =
            unsigned_call::send(&config, request).await.map_err(|error| GrantError::from_call(&error))?;
        match (response.access_token, seconds(response.expires_in)) {
            (Some(access), expires_in) if !access.expose().is_empty() && !expires_in.is_zero() => {
                Ok(GrantedToken { access, expires_in, refresh: response.refresh_token })
            }
            _ => Err(GrantError::Aws(AwsError::invalid_response("the response of AWS has no token"))),
        }
    }

    /// The address at which a browser requests a code: a path of the OIDC endpoint.
    pub(super) async fn authorize_url(&self) -> Result<String, SsoError> {
        let url = format!("{}/authorize", self.oidc_url(&self.config().await?).await?.trim_end_matches('/'));
        if may_be_opened(&url) {
            Ok(url)
        } else {
            Err(AwsError::new(AwsErrorKind::Insecure, InsecureEndpoint.to_string()).into())
        }
    }

    /// Calls an operation of OIDC whose errors have no special meaning.
    async fn oidc<T>(&self, operation: &'static str, path: &str, input: &Value) -> Result<T, SsoError>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let config = self.config().await?;
        let request = self.oidc_request(&config, operation, path, input).await?;
        unsigned_call::send(&config, request).await.map_err(|error| SsoError::Aws(with_description(&error)))
    }

    async fn oidc_request(
        &self,
        config: &SdkConfig,
        operation: &'static str,
        path: &str,
        input: &Value,
    ) -> Result<UnsignedRequest, AwsError> {
        let (url, body) = (self.oidc_url(config).await?, Secret::new(input.to_string()));
        Ok(UnsignedRequest { operation, method: "POST", url, path: path.to_owned(), header: None, body })
    }

    async fn oidc_url(&self, config: &SdkConfig) -> Result<String, AwsError> {
        self.url(config, Service::SsoOidc, "oidc", "oidc-fips").await
    }

    /// The configured address of a service, or else the region's own, with one of the two hosts.
    pub(super) async fn url(
        &self,
        config: &SdkConfig,
        service: Service,
        plain: &str,
        fips: &str,
    ) -> Result<String, AwsError> {
        if let Some(url) = Aws::endpoint_url_of(config, service) {
            return Ok(url);
        }
        let variant = (config.use_fips().unwrap_or_default(), config.use_dual_stack().unwrap_or_default());
        let region = &self.session.region;
        endpoints::regional_url(region, variant, plain, fips).await.ok_or_else(|| {
            AwsError::new(AwsErrorKind::Setting, format!("there is no IAM Identity Center in region {region}"))
        })
    }

    /// A configuration with the endpoints of the AWS profile and without credentials.
    pub(super) async fn config(&self) -> Result<SdkConfig, AwsError> {
        let source = SourceConfig::plain(SourceKind::AwsProfile(self.session.profile.clone()));
        let none = Credentials::new("", "", None, None, "none");
        let mut config = self.aws.client_config(&source, &self.session.region, none).await?.into_builder();
        config.set_credentials_provider(None);
        Ok(config.build())
    }
}

impl GrantError {
    fn from_call(error: &UnsignedCallError) -> Self {
        match error.as_service_error().and_then(|error| error.code()).unwrap_or_default() {
            "AuthorizationPendingException" => Self::Pending,
            "SlowDownException" => Self::SlowDown,
            "ExpiredTokenException" => Self::Expired,
            "AccessDeniedException" => Self::Denied,
            "InvalidGrantException" | "InvalidClientException" | "UnauthorizedClientException" => {
                Self::Refused(with_description(error))
            }
            _ => Self::Aws(with_description(error)),
        }
    }
}

impl From<GrantError> for SsoError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Expired | GrantError::Pending | GrantError::SlowDown => Self::Expired,
            GrantError::Denied => Self::Denied,
            GrantError::Refused(error) | GrantError::Aws(error) => Self::Aws(error),
        }
    }
}

/// The error of an OIDC call. Its text is in `error_description`, where other services have `message`.
fn with_description(error: &UnsignedCallError) -> AwsError {
    let body = error.raw_response().and_then(|response| response.body().bytes());
    let body: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
    let error = AwsError::from_sdk(error);
    let description = body.as_ref().and_then(|body| body.get("error_description")).and_then(Value::as_str);
    match description.map(sanitize_for_terminal).filter(|text| !text.is_empty()) {
        Some(text) => AwsError { message: format!("{}: {text}", error.message), ..error },
        None => error,
    }
}

pub(super) fn incomplete(what: &str) -> SsoError {
    SsoError::Aws(AwsError::invalid_response(format!("the response of AWS has no {what}")))
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

/// Whether a URL may be opened in a browser: a web page over https, or on this machine.
fn may_be_opened(url: &str) -> bool {
    HttpUrl::parse(url).is_ok_and(|url| url.is_secure())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses from the tests of the SDK's own client of OIDC.
    #[tokio::test]
    async fn oidc_url_by_partition_and_variant() {
        for (region, variant, host) in [
            ("eu-west-1", (false, false), "oidc.eu-west-1.amazonaws.com"),
            ("us-east-1", (true, true), "oidc-fips.us-east-1.api.aws"),
            ("us-east-1", (true, false), "oidc-fips.us-east-1.amazonaws.com"),
            ("us-east-1", (false, true), "oidc.us-east-1.api.aws"),
            ("cn-north-1", (true, false), "oidc-fips.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", (false, false), "oidc.cn-north-1.amazonaws.com.cn"),
            ("us-gov-east-1", (true, true), "oidc-fips.us-gov-east-1.api.aws"),
            ("us-gov-east-1", (true, false), "oidc.us-gov-east-1.amazonaws.com"),
            ("us-gov-east-1", (false, false), "oidc.us-gov-east-1.amazonaws.com"),
            ("us-iso-east-1", (true, false), "oidc-fips.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", (false, false), "oidc.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            let url = endpoints::regional_url(&region.parse().unwrap(), variant, "oidc", "oidc-fips").await;
            assert_eq!(url, Some(format!("https://{host}")), "{region} {variant:?}");
        }
    }

    #[test]
    fn may_be_opened_https_or_this_machine_only() {
        for url in ["https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH", "http://127.0.0.1:80/x"] {
            assert!(may_be_opened(url), "{url}");
        }
        for url in [
            "http://device.sso.eu-west-1.amazonaws.com/",
            "http://localhost@evil.com/",
            "http://127.0.0.1.evil.com/",
            "http://127.0.0.1:80@evil.com/",
            "https://device.sso.eu-west-1.amazonaws.com@evil.com/",
            "http://evil.com\\@127.0.0.1/",
            "http://evil.com#@localhost/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://x.com/\"; rm -rf ~",
            "https://x.com/\u{1b}[0m",
        ] {
            assert!(!may_be_opened(url), "{url}");
        }
    }
}
