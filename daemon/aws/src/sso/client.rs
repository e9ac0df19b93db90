//! Calls to IAM Identity Center: OIDC, which issues tokens, and the portal, which returns a role's credentials for a token.
//! No call is signed.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_ssooidc::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_ssooidc::operation::create_token::CreateTokenError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use rolecall_protocol::{HttpUrl, LoginFlow, Secret, sanitize_for_terminal};
use serde_json::Value;

use super::error::SsoError;
use super::session::SsoSession;
use super::token::{GrantedToken, RegisteredClient};
use crate::client::Aws;
use crate::credentials;
use crate::error::{AwsError, AwsErrorKind, innermost};
use crate::http::InsecureEndpoint;
use rolecall_core::config::network::Service;
use rolecall_core::config::{SourceConfig, SourceKind};
use rolecall_core::session::Session;

/// The name of this client in AWS's list of logins.
const CLIENT_NAME: &str = "rolecall";
/// The registered redirect URI. The port of a loopback redirect may differ at each login (RFC 8252, 7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/oauth/callback";
/// The grant type of RFC 8628.
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The shortest interval between two polls.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The accounts of a login, or the roles of an account, that are read. An organization has at most 10,000 accounts by default
/// (quotas of AWS Organizations).
const MAX_LISTED: usize = 10_000;
/// The interval if AWS names none (RFC 8628, 3.2).
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Calls IAM Identity Center for one session.
pub(super) struct SsoClient<'a> {
    aws: &'a Aws,
    session: &'a SsoSession,
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

/// An account in which the user of a login has a role. The texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsoAccount {
    /// The id, 12 digits.
    pub id: String,
    /// The name.
    pub name: String,
}

/// Why there are no credentials.
pub(super) enum PortalError {
    /// The portal rejected the token.
    Unauthorized,
    /// Another error.
    Other(SsoError),
}

impl<'a> SsoClient<'a> {
    pub(super) const fn new(aws: &'a Aws, session: &'a SsoSession) -> Self {
        Self { aws, session }
    }

    /// RegisterClient.
    pub(super) async fn register_client(&self, flow: LoginFlow) -> Result<RegisteredClient, SsoError> {
        let mut call = self.oidc().await?.register_client();
        call = call.client_name(CLIENT_NAME).client_type("public");
        call = match flow {
            LoginFlow::Device => call.grant_types(DEVICE_CODE_GRANT),
            LoginFlow::Browser => call
                .grant_types("authorization_code")
                .redirect_uris(REDIRECT_URI)
                .issuer_url(self.session.start_url.as_str()),
        };
        if self.session.refreshes() {
            call = call.grant_types("refresh_token").set_scopes(Some(self.session.registration_scopes()));
        }
        let response = call.send().await.map_err(|error| SsoError::Aws(with_description(&error)))?;
        let expires = Timestamp::from_second(response.client_secret_expires_at).map(SystemTime::from);
        match (response.client_id, response.client_secret, expires) {
            (Some(id), Some(secret), Ok(expires)) if !id.is_empty() => {
                let expires = self.aws.clock().stamp(expires);
                Ok(RegisteredClient { id, secret: Secret::new(secret), expires })
            }
            _ => Err(incomplete("client")),
        }
    }

    /// StartDeviceAuthorization: gets a code that the user approves on any device.
    pub(super) async fn start_device_authorization(
        &self,
        client: &RegisteredClient,
    ) -> Result<DeviceAuthorization, SsoError> {
        let call = self.oidc().await?.start_device_authorization();
        let call = call.client_id(&client.id).client_secret(client.secret.expose());
        let response = call.start_url(&self.session.start_url).send().await;
        let response = response.map_err(|error| SsoError::Aws(with_description(&error)))?;
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
        Ok(DeviceAuthorization { code: Secret::new(code), url, user_code, expires_in, interval })
    }

    /// CreateToken.
    pub(super) async fn create_token(
        &self,
        client: &RegisteredClient,
        grant: Grant<'_>,
    ) -> Result<GrantedToken, GrantError> {
        let mut call = self.oidc().await.map_err(GrantError::Aws)?.create_token();
        call = call.client_id(&client.id).client_secret(client.secret.expose());
        call = match grant {
            Grant::Device { code } => call.grant_type(DEVICE_CODE_GRANT).device_code(code.expose()),
            Grant::Refresh { token } => call.grant_type("refresh_token").refresh_token(token.expose()),
            Grant::Browser { code, verifier, redirect } => call
                .grant_type("authorization_code")
                .code(code.expose())
                .code_verifier(verifier.expose())
                .redirect_uri(redirect),
        };
        let response = call.send().await.map_err(|error| GrantError::from_sdk(&error))?;
        match (response.access_token, seconds(response.expires_in)) {
            (Some(access), expires_in) if !access.is_empty() && !expires_in.is_zero() => {
                let refresh = response.refresh_token.map(Secret::new);
                Ok(GrantedToken { access: Secret::new(access), expires_in, refresh })
            }
            _ => Err(GrantError::Aws(AwsError::invalid_response("the response of AWS has no token"))),
        }
    }

    /// GetRoleCredentials.
    pub(super) async fn role_credentials(
        &self,
        access: &Secret<String>,
        account: &str,
        role: &str,
    ) -> Result<Session, PortalError> {
        let shared = self.config().await.map_err(|error| PortalError::Other(error.into()))?;
        let call = aws_sdk_sso::Client::new(&shared).get_role_credentials();
        let response = call.access_token(access.expose()).account_id(account).role_name(role).send().await;
        let found = response.map_err(|error| PortalError::from_sdk(&error))?.role_credentials;
        let issued = self.aws.now();
        let made = found.and_then(|found| {
            let expires = Timestamp::from_millisecond(found.expiration).ok().map(SystemTime::from)?;
            let (id, secret) = (found.access_key_id?, found.secret_access_key?);
            let token = Some(found.session_token?);
            Some(Credentials::new(id, secret, token, Some(expires), "sso"))
        });
        let credentials = made.ok_or_else(|| PortalError::Other(incomplete("complete credentials")))?;
        let credentials = credentials::check(credentials, issued).map_err(|error| {
            PortalError::Other(AwsError::invalid_response(format!("in the response of AWS, {error}")).into())
        })?;
        Ok(Session { credentials, arn: None, issued, is_clamped: false })
    }

    /// ListAccounts, all pages: the accounts in which the user has a role, with their names.
    pub(super) async fn accounts(&self, access: &Secret<String>) -> Result<Vec<SsoAccount>, PortalError> {
        let shared = self.config().await.map_err(|error| PortalError::Other(error.into()))?;
        let call = aws_sdk_sso::Client::new(&shared).list_accounts().access_token(access.expose());
        let mut pages = call.into_paginator().items().send();
        let mut accounts = Vec::new();
        while let Some(account) = pages.next().await {
            let account = account.map_err(|error| PortalError::from_sdk(&error))?;
            let (Some(id), name) = (account.account_id, account.account_name.unwrap_or_default()) else { continue };
            accounts.push(SsoAccount { id: sanitize_for_terminal(&id), name: sanitize_for_terminal(&name) });
            limit(accounts.len())?;
        }
        Ok(accounts)
    }

    /// ListAccountRoles, all pages: the names of the roles that the user has in an account.
    pub(super) async fn roles(&self, access: &Secret<String>, account: &str) -> Result<Vec<String>, PortalError> {
        let shared = self.config().await.map_err(|error| PortalError::Other(error.into()))?;
        let call = aws_sdk_sso::Client::new(&shared).list_account_roles();
        let mut pages = call.access_token(access.expose()).account_id(account).into_paginator().items().send();
        let mut roles = Vec::new();
        while let Some(role) = pages.next().await {
            let role = role.map_err(|error| PortalError::from_sdk(&error))?;
            roles.extend(role.role_name.map(|name| sanitize_for_terminal(&name)));
            limit(roles.len())?;
        }
        Ok(roles)
    }

    /// Logout. Returns `false` if the login had ended already.
    pub(super) async fn logout(&self, access: &Secret<String>) -> Result<bool, SsoError> {
        let shared = self.config().await?;
        match aws_sdk_sso::Client::new(&shared).logout().access_token(access.expose()).send().await {
            Ok(_) => Ok(true),
            Err(error) => match PortalError::from_sdk(&error) {
                PortalError::Unauthorized => Ok(false),
                PortalError::Other(error) => Err(error),
            },
        }
    }

    /// The address at which a browser requests a code: a path of the OIDC endpoint.
    pub(super) async fn authorize_url(&self) -> Result<String, SsoError> {
        let shared = self.config().await?;
        let rejected = |error: &(dyn Error + 'static)| AwsError::new(AwsErrorKind::Rejected, innermost(error));
        let params = Params::builder()
            .region(self.session.region.to_string())
            .set_endpoint(Aws::endpoint_url_of(&shared, Service::SsoOidc))
            .build()
            .map_err(|error| rejected(&error))?;
        let resolver = DefaultResolver::new();
        let found = ResolveEndpoint::resolve_endpoint(&resolver, &params).await;
        let found = found.map_err(|error| rejected(error.as_ref()))?;
        let url = format!("{}/authorize", found.url().trim_end_matches('/'));
        if may_be_opened(&url) {
            Ok(url)
        } else {
            Err(AwsError::new(AwsErrorKind::Insecure, InsecureEndpoint.to_string()).into())
        }
    }

    async fn oidc(&self) -> Result<aws_sdk_ssooidc::Client, AwsError> {
        Ok(aws_sdk_ssooidc::Client::new(&self.config().await?))
    }

    /// A configuration with the endpoints of the AWS profile and without credentials.
    async fn config(&self) -> Result<SdkConfig, AwsError> {
        let source = SourceConfig::plain(SourceKind::AwsProfile(self.session.profile.clone()));
        let none = Credentials::new("", "", None, None, "none");
        let mut config = self.aws.client_config(&source, &self.session.region, none).await?.into_builder();
        config.set_credentials_provider(None);
        Ok(config.build())
    }
}

impl GrantError {
    fn from_sdk(error: &SdkError<CreateTokenError, HttpResponse>) -> Self {
        match error.as_service_error() {
            Some(service) if service.is_authorization_pending_exception() => Self::Pending,
            Some(service) if service.is_slow_down_exception() => Self::SlowDown,
            Some(service) if service.is_expired_token_exception() => Self::Expired,
            Some(service) if service.is_access_denied_exception() => Self::Denied,
            Some(service)
                if service.is_invalid_grant_exception()
                    || service.is_invalid_client_exception()
                    || service.is_unauthorized_client_exception() =>
            {
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

impl PortalError {
    fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let status = match error {
            SdkError::ServiceError(service) => service.raw().status().as_u16(),
            _ => 0,
        };
        match (status, AwsError::from_sdk(error)) {
            // A proxy can answer with these statuses, too, but without an error code.
            (401, error) if error.kind != AwsErrorKind::InvalidResponse => Self::Unauthorized,
            (403, error) if error.kind != AwsErrorKind::InvalidResponse => Self::Other(SsoError::NoAssignment),
            (_, error) => Self::Other(SsoError::Aws(error)),
        }
    }
}

/// The error of an OIDC call. Its text is in `error_description`, where other services have `message`.
fn with_description<E>(error: &SdkError<E, HttpResponse>) -> AwsError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let body = error.raw_response().and_then(|response| response.body().bytes());
    let body: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
    let error = AwsError::from_sdk(error);
    let description = body.as_ref().and_then(|body| body.get("error_description")).and_then(Value::as_str);
    match description.map(sanitize_for_terminal).filter(|text| !text.is_empty()) {
        Some(text) => AwsError { message: format!("{}: {text}", error.message), ..error },
        None => error,
    }
}

fn incomplete(what: &str) -> SsoError {
    SsoError::Aws(AwsError::invalid_response(format!("the response of AWS has no {what}")))
}

/// Errors if a list has more items than are read, rather than leave out items.
fn limit(items: usize) -> Result<(), PortalError> {
    if items <= MAX_LISTED {
        return Ok(());
    }
    Err(PortalError::Other(AwsError::invalid_response(format!("a list of more than {MAX_LISTED} items")).into()))
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
