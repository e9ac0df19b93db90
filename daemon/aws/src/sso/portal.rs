//! Calls to the portal of IAM Identity Center, which returns a role's credentials for a token.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::result::SdkError;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use rolecall_protocol::{Secret, sanitize_for_terminal};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{SsoClient, incomplete};
use super::error::SsoError;
use crate::credentials;
use crate::error::{AwsError, AwsErrorKind};
use crate::unsigned_call::{self, UnsignedCallError, UnsignedRequest};
use rolecall_core::config::network::Service;
use rolecall_core::session::Session;

/// The header that carries the access token.
const TOKEN_HEADER: &str = "x-amz-sso_bearer_token";
/// RFC 3986's unreserved characters stay as they are in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The accounts of a login, or the roles of an account, that are read. An organization has at most 10,000 accounts by default
/// (quotas of AWS Organizations).
const MAX_LISTED: usize = 10_000;
/// The pages of a list that are read.
const MAX_PAGES: usize = 1_000;

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentialsOutput {
    role_credentials: Option<RoleCredentials>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentials {
    access_key_id: Option<String>,
    secret_access_key: Option<Secret<String>>,
    session_token: Option<Secret<String>>,
    /// In milliseconds since 1970.
    #[serde(default)]
    expiration: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAccountsOutput {
    #[serde(default)]
    account_list: Vec<Account>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    account_id: Option<String>,
    account_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAccountRolesOutput {
    #[serde(default)]
    role_list: Vec<Role>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Role {
    role_name: Option<String>,
}

/// A response whose content does not matter; it must be a JSON object.
#[derive(Debug, Deserialize)]
struct Ignored {}

impl SsoClient<'_> {
    /// GetRoleCredentials.
    pub(super) async fn role_credentials(
        &self,
        access: &Secret<String>,
        account: &str,
        role: &str,
    ) -> Result<Session, PortalError> {
        let path = format!("/federation/credentials?role_name={}&account_id={}", encoded(role), encoded(account));
        let found: RoleCredentialsOutput = self.portal("GetRoleCredentials", "GET", path, access).await?;
        let issued = self.aws.now();
        let made = found.role_credentials.and_then(|found| {
            let expires = Timestamp::from_millisecond(found.expiration).ok().map(SystemTime::from)?;
            let (id, secret, token) = (found.access_key_id?, found.secret_access_key?, found.session_token?);
            let (secret, token) = (secret.expose().clone(), Some(token.expose().clone()));
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
        let mut accounts = Vec::new();
        let mut query = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!("/assignment/accounts?{query}");
            let page: ListAccountsOutput = self.portal("ListAccounts", "GET", path, access).await?;
            for account in page.account_list {
                let (Some(id), name) = (account.account_id, account.account_name.unwrap_or_default()) else { continue };
                accounts.push(SsoAccount { id: sanitize_for_terminal(&id), name: sanitize_for_terminal(&name) });
            }
            limit(accounts.len())?;
            let Some(next) = page.next_token.filter(|next| !next.is_empty()) else { return Ok(accounts) };
            query = format!("next_token={}", encoded(&next));
        }
        Err(too_long())
    }

    /// ListAccountRoles, all pages: the names of the roles that the user has in an account.
    pub(super) async fn roles(&self, access: &Secret<String>, account: &str) -> Result<Vec<String>, PortalError> {
        let mut roles = Vec::new();
        let mut query = format!("account_id={}", encoded(account));
        for _ in 0..MAX_PAGES {
            let path = format!("/assignment/roles?{query}");
            let page: ListAccountRolesOutput = self.portal("ListAccountRoles", "GET", path, access).await?;
            let names = page.role_list.into_iter().filter_map(|role| role.role_name);
            roles.extend(names.map(|name| sanitize_for_terminal(&name)));
            limit(roles.len())?;
            let Some(next) = page.next_token.filter(|next| !next.is_empty()) else { return Ok(roles) };
            query = format!("account_id={}&next_token={}", encoded(account), encoded(&next));
        }
        Err(too_long())
    }

    /// Logout. Returns `false` if the login had ended already.
    pub(super) async fn logout(&self, access: &Secret<String>) -> Result<bool, SsoError> {
        match self.portal::<Ignored>("Logout", "POST", "/logout".to_owned(), access).await {
            Ok(_) => Ok(true),
            Err(PortalError::Unauthorized) => Ok(false),
            Err(PortalError::Other(error)) => Err(error),
        }
    }

    async fn portal<T>(
        &self,
        operation: &'static str,
        method: &'static str,
        path: String,
        access: &Secret<String>,
    ) -> Result<T, PortalError>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let failed = |error: AwsError| PortalError::Other(error.into());
        let config = self.config().await.map_err(failed)?;
        let url = self.url(&config, Service::Sso, "portal.sso", "portal.sso-fips").await.map_err(failed)?;
        let header = Some((TOKEN_HEADER, Secret::new(access.expose().clone())));
        let request = UnsignedRequest { operation, method, url, path, header, body: Secret::new(String::new()) };
        unsigned_call::send(&config, request).await.map_err(|error| PortalError::from_call(&error))
    }
}

impl PortalError {
    fn from_call(error: &UnsignedCallError) -> Self {
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

/// Errors if a list has more items than are read, rather than leave out items.
fn limit(items: usize) -> Result<(), PortalError> {
    if items <= MAX_LISTED { Ok(()) } else { Err(too_long()) }
}

fn too_long() -> PortalError {
    PortalError::Other(AwsError::invalid_response(format!("a list of more than {MAX_LISTED} items")).into())
}

/// Percent-encodes a value of a query.
fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}
