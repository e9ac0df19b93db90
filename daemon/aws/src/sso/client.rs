//! The calls: OIDC, which gives tokens, and the portal, which gives a role's credentials for one. None is signed.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_ssooidc::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_ssooidc::operation::create_token::CreateTokenError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::service_config::ServiceConfigKey;
use jiff::Timestamp;
use rolecall_protocol::{Secret, sanitize_for_terminal};
use serde_json::Value;

use super::token::{Client, Granted};
use super::{SsoError, SsoSession};
use crate::client::Aws;
use crate::error::{AwsError, AwsErrorKind, innermost};
use rolecall_core::config::{SourceConfig, SourceKind};
use rolecall_core::session::Session;

/// What AWS lists us as, where a person looks who has logged in.
const CLIENT_NAME: &str = "rolecall";
/// What the browser comes back to: the port is whichever is free (RFC 8252, 7.3).
const REDIRECT: &str = "http://127.0.0.1/oauth/callback";
/// The grant of RFC 8628.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The least between two polls, whatever AWS says.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// What it is where AWS says nothing (RFC 8628, 3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// The calls of one session.
pub(super) struct Wire<'a> {
    aws: &'a Aws,
    session: &'a SsoSession,
}

/// What a client is registered for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Device,
    Browser,
}

/// What a token is asked for.
pub(super) enum Grant<'a> {
    Device { code: &'a Secret<String> },
    Browser { code: &'a Secret<String>, verifier: &'a Secret<String>, redirect: &'a str },
    Refresh { token: &'a Secret<String> },
}

/// A device authorization that waits for a person.
pub(super) struct Device {
    pub(super) code: Secret<String>,
    pub(super) url: String,
    pub(super) user_code: String,
    pub(super) life: Duration,
    pub(super) interval: Duration,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GrantError {
    /// The person has not said yet.
    Pending,
    /// That was asked too fast.
    SlowDown,
    /// It is too late.
    Expired,
    /// The person said no.
    Denied,
    /// What was given for it is not, or no longer, good.
    Refused(AwsError),
    /// Something else.
    Aws(AwsError),
}

/// Why there are no credentials.
pub(super) enum PortalError {
    /// The token is not, or no longer, good.
    Unauthorized,
    /// Something else.
    Other(SsoError),
}

impl<'a> Wire<'a> {
    pub(super) const fn new(aws: &'a Aws, session: &'a SsoSession) -> Self {
        Self { aws, session }
    }

    /// Makes us known.
    pub(super) async fn register(&self, purpose: Purpose) -> Result<Client, SsoError> {
        let mut call = self.oidc().await.register_client();
        call = call.client_name(CLIENT_NAME).client_type("public");
        call = match purpose {
            Purpose::Device => call.grant_types(DEVICE_CODE),
            Purpose::Browser => call
                .grant_types("authorization_code")
                .redirect_uris(REDIRECT)
                .issuer_url(self.session.start_url.as_str()),
        };
        if self.session.renews() {
            call = call.grant_types("refresh_token").set_scopes(Some(self.session.scopes()));
        }
        let answer = call.send().await.map_err(|error| SsoError::Aws(explained(&error)))?;
        let expires = Timestamp::from_second(answer.client_secret_expires_at).map(SystemTime::from);
        match (answer.client_id, answer.client_secret, expires) {
            (Some(id), Some(secret), Ok(expires)) if !id.is_empty() => {
                let expires = self.aws.clock().stamp(expires);
                Ok(Client { id, secret: Secret::new(secret), expires })
            }
            _ => Err(incomplete("a client")),
        }
    }

    /// Asks for a code that a person is to approve on any device.
    pub(super) async fn start_device(&self, client: &Client) -> Result<Device, SsoError> {
        let call = self.oidc().await.start_device_authorization();
        let call = call.client_id(&client.id).client_secret(client.secret.expose());
        let answer = call.start_url(&self.session.start_url).send().await;
        let answer = answer.map_err(|error| SsoError::Aws(explained(&error)))?;
        let url = answer.verification_uri_complete.or(answer.verification_uri);
        let (Some(code), Some(url), Some(user_code)) = (answer.device_code, url, answer.user_code) else {
            return Err(incomplete("a code"));
        };
        if !may_be_opened(&url) {
            return Err(SsoError::Aws(AwsError::invalid_response(
                "AWS answered with an address that no browser should open",
            )));
        }
        let interval = match seconds(answer.interval) {
            Duration::ZERO => DEFAULT_INTERVAL,
            interval => interval.max(MIN_INTERVAL),
        };
        let user_code = sanitize_for_terminal(&user_code);
        Ok(Device { code: Secret::new(code), url, user_code, life: seconds(answer.expires_in), interval })
    }

    /// Asks for a token.
    pub(super) async fn token(&self, client: &Client, grant: Grant<'_>) -> Result<Granted, GrantError> {
        let mut call = self.oidc().await.create_token();
        call = call.client_id(&client.id).client_secret(client.secret.expose());
        call = match grant {
            Grant::Device { code } => call.grant_type(DEVICE_CODE).device_code(code.expose()),
            Grant::Refresh { token } => call.grant_type("refresh_token").refresh_token(token.expose()),
            Grant::Browser { code, verifier, redirect } => call
                .grant_type("authorization_code")
                .code(code.expose())
                .code_verifier(verifier.expose())
                .redirect_uri(redirect),
        };
        let answer = call.send().await.map_err(|error| GrantError::of(&error))?;
        match (answer.access_token, seconds(answer.expires_in)) {
            (Some(access), life) if !access.is_empty() && !life.is_zero() => {
                Ok(Granted { access: Secret::new(access), life, refresh: answer.refresh_token.map(Secret::new) })
            }
            _ => Err(GrantError::Aws(AwsError::invalid_response("AWS answered without a token"))),
        }
    }

    /// A role's credentials.
    pub(super) async fn role(
        &self,
        access: &Secret<String>,
        account: &str,
        role: &str,
    ) -> Result<Session, PortalError> {
        let shared = self.config().await;
        let call = aws_sdk_sso::Client::new(&shared).get_role_credentials();
        let answer = call.access_token(access.expose()).account_id(account).role_name(role).send().await;
        let found = answer.map_err(|error| PortalError::of(&error))?.role_credentials;
        let issued = self.aws.now();
        let made = found.and_then(|found| {
            let expires = Timestamp::from_millisecond(found.expiration).ok().map(SystemTime::from)?;
            let (id, secret) = (found.access_key_id?, found.secret_access_key?);
            let token = Some(found.session_token?);
            Some(Credentials::new(id, secret, token, Some(expires), "sso"))
        });
        match made {
            Some(credentials) => Ok(Session { credentials, arn: None, issued, is_clamped: false }),
            None => Err(PortalError::Other(incomplete("all of the role's credentials"))),
        }
    }

    /// Ends the login. `false`: it had ended already.
    pub(super) async fn logout(&self, access: &Secret<String>) -> Result<bool, SsoError> {
        let shared = self.config().await;
        match aws_sdk_sso::Client::new(&shared).logout().access_token(access.expose()).send().await {
            Ok(_) => Ok(true),
            Err(error) => match PortalError::of(&error) {
                PortalError::Unauthorized => Ok(false),
                PortalError::Other(error) => Err(error),
            },
        }
    }

    /// Where a browser asks for a code: beside the tokens.
    pub(super) async fn authorize_url(&self) -> Result<String, SsoError> {
        let shared = self.config().await;
        let rejected = |error: &(dyn Error + 'static)| AwsError::new(AwsErrorKind::Rejected, innermost(error));
        let params = Params::builder()
            .region(self.session.region.to_string())
            .set_endpoint(oidc_endpoint(&shared))
            .build()
            .map_err(|error| rejected(&error))?;
        let resolver = DefaultResolver::new();
        let found = ResolveEndpoint::resolve_endpoint(&resolver, &params).await;
        let found = found.map_err(|error| rejected(error.as_ref()))?;
        let url = format!("{}/authorize", found.url().trim_end_matches('/'));
        if may_be_opened(&url) {
            Ok(url)
        } else {
            Err(AwsError::new(AwsErrorKind::Insecure, "the configured endpoint is plain http on another machine")
                .into())
        }
    }

    async fn oidc(&self) -> aws_sdk_ssooidc::Client {
        let shared = self.config().await;
        let mut config = aws_sdk_ssooidc::config::Builder::from(&shared);
        config.set_endpoint_url(oidc_endpoint(&shared));
        aws_sdk_ssooidc::Client::from_conf(config.build())
    }

    /// A configuration with the endpoints of the AWS profile, and nothing to sign with.
    async fn config(&self) -> SdkConfig {
        let source = SourceConfig::plain(SourceKind::AwsProfile(self.session.profile.clone()));
        let nobody = Credentials::new("", "", None, None, "nobody");
        let mut config = self.aws.client_config(&source, &self.session.region, nobody).await.into_builder();
        config.set_credentials_provider(None);
        config.build()
    }
}

impl GrantError {
    fn of(error: &SdkError<CreateTokenError, HttpResponse>) -> Self {
        match error.as_service_error() {
            Some(said) if said.is_authorization_pending_exception() => Self::Pending,
            Some(said) if said.is_slow_down_exception() => Self::SlowDown,
            Some(said) if said.is_expired_token_exception() => Self::Expired,
            Some(said) if said.is_access_denied_exception() => Self::Denied,
            Some(said)
                if said.is_invalid_grant_exception()
                    || said.is_invalid_client_exception()
                    || said.is_unauthorized_client_exception() =>
            {
                Self::Refused(explained(error))
            }
            _ => Self::Aws(explained(error)),
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
    fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let status = match error {
            SdkError::ServiceError(service) => service.raw().status().as_u16(),
            _ => 0,
        };
        match (status, AwsError::from_sdk(error)) {
            // A proxy's page has such a status too, but no code.
            (401, said) if said.kind != AwsErrorKind::InvalidResponse => Self::Unauthorized,
            (403, said) if said.kind != AwsErrorKind::InvalidResponse => Self::Other(SsoError::NoAssignment),
            (_, said) => Self::Other(SsoError::Aws(said)),
        }
    }
}

/// What an error of OIDC means, with the words that it has where other services have a message.
fn explained<E>(error: &SdkError<E, HttpResponse>) -> AwsError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let said = AwsError::from_sdk(error);
    let body = error.raw_response().and_then(|answer| answer.body().bytes());
    let body: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
    let words = body.as_ref().and_then(|body| body.get("error_description")).and_then(Value::as_str);
    match words.map(sanitize_for_terminal).filter(|words| !words.is_empty()) {
        Some(words) => AwsError { message: format!("{}: {words}", said.message), ..said },
        None => said,
    }
}

/// Where the AWS profile has its OIDC. The SDK looks for `sso-oidc` in `services`, and AWS's other tools for `sso_oidc`, as it
/// is documented.
fn oidc_endpoint(shared: &SdkConfig) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id("sso_oidc").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = shared.service_config().zip(key.ok()).and_then(|(config, key)| config.load_config(key));
    own.or_else(|| shared.endpoint_url().map(str::to_owned))
}

fn incomplete(what: &str) -> SsoError {
    SsoError::Aws(AwsError::invalid_response(format!("AWS answered without {what}")))
}

fn seconds(said: i32) -> Duration {
    Duration::from_secs(u64::try_from(said).unwrap_or_default())
}

/// Whether an address may be given to a browser: a web page, and one that nobody on the way can have changed.
fn may_be_opened(url: &str) -> bool {
    let is_plain = url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\'));
    let is_here = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    };
    is_plain && (url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_pages_are_opened() {
        for url in ["https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH", "http://127.0.0.1:80/x"] {
            assert!(may_be_opened(url), "{url}");
        }
        for url in [
            "http://device.sso.eu-west-1.amazonaws.com/",
            "http://localhost@evil.com/",
            "http://127.0.0.1.evil.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://x.com/\"; rm -rf ~",
            "https://x.com/\u{1b}[0m",
        ] {
            assert!(!may_be_opened(url), "{url}");
        }
    }
}
