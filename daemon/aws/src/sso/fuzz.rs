//! Calls to IAM Identity Center for [`crate::fuzz`].

use std::time::Duration;

use jiff::Timestamp;
use rolecall_core::session::Session;
use rolecall_protocol::{HttpUrl, LoginFlow, Region, Secret};

use super::client::{Grant, SsoClient};
use super::error::SsoError;
use super::session::SsoSession;
use super::token::RegisteredClient;
use crate::client::Aws;

/// Calls an operation, GetRoleCredentials by default. Returns the session of that one.
pub(crate) async fn call(aws: &Aws, operation: &str) -> Result<Option<Session>, SsoError> {
    let session = SsoSession {
        profile: "sso".to_owned(),
        name: Some("corp".to_owned()),
        start_url: "https://corp.awsapps.com/start".to_owned(),
        region: Region::us_east_1(),
        scopes: Vec::new(),
    };
    let client = SsoClient::new(aws, &session);
    let secret = || Secret::new("secret".to_owned());
    let registered = RegisteredClient { id: "id".to_owned(), secret: secret(), expires: Timestamp::UNIX_EPOCH };
    match operation {
        "RegisterClient" => assert!(!client.register_client(LoginFlow::Device).await?.id.is_empty()),
        "StartDeviceAuthorization" => {
            let started = client.start_device_authorization(&registered).await?;
            assert!(HttpUrl::parse(&started.url).is_ok_and(|url| url.is_secure()), "{}", started.url);
            assert!(!started.user_code.chars().any(char::is_control), "{:?}", started.user_code);
            assert!(!started.interval.is_zero());
        }
        "CreateToken" => {
            let granted = client.create_token(&registered, Grant::Refresh { token: &secret() }).await?;
            assert!(granted.expires_in > Duration::ZERO);
        }
        "Logout" => drop(client.logout(&secret()).await?),
        _ => match client.role_credentials(&secret(), "111122223333", "dev").await {
            Ok(session) => return Ok(Some(session)),
            Err(super::portal::PortalError::Other(error)) => return Err(error),
            Err(super::portal::PortalError::Unauthorized) => {}
        },
    }
    Ok(None)
}
